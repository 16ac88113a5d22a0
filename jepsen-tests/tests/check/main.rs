//! The judge is judged: hand-made histories, each with the rule that has to catch it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails is a test that fails")]

mod corpus;
mod corrupted;
mod legal;
mod notation;
mod published;
mod registry;
mod second_opinion;
mod world;
