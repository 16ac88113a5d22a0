//! Whole clusters of real processes under faults, with checkers.
//!
//! [`harness`] starts members of `kenger serve` and does to them what happens to machines: it kills
//! them, stops them, cuts the network between them and moves their clocks. [`check`] writes down what
//! was asked and answered meanwhile, and decides afterwards whether the promises were kept. The tests
//! are in `tests/process/`, one file for each promise.
//!
//! A step of a test that fails ends the test, so everything here panics rather than returns errors.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails is a test that fails")]

pub mod check;
pub mod harness;
