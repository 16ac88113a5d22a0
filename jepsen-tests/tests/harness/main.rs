//! The faults themselves: each takes hold, and is really over after its end. A run whose faults do
//! nothing would find nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails is a test that fails")]

mod disks;
mod links;
