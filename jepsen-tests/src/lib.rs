//! Whole clusters of real processes under faults, with checkers.
//!
//! [`harness`] starts members of `kenger serve` and does to them what happens to machines: it kills
//! them, stops them, cuts the network between them and moves their clocks. What was asked and answered
//! meanwhile is written down as a [`history`]; [`check`] decides from it alone whether the promises were
//! kept, and judges the histories of the simulation (`sim/`) in the same way.
//!
//! A [`run`] puts these together: a cluster, clients that do what a [`workload`] says, faults by a
//! [`nemesis`], and the history of it all. A [`report`] shows it to people.
//!
//! The tests in `tests/process/` are aimed at one promise each; [`observe`] is what they watch with.
//!
//! A step of a test that fails ends the test, so everything here panics rather than returns errors.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails is a test that fails")]

pub mod check;
pub mod harness;
pub mod history;
pub mod mutants;
pub mod nemesis;
pub mod observe;
pub mod report;
pub mod run;
pub mod workload;
