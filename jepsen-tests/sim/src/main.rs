//! Runs whole clusters of real members in a seeded simulation, and has the checkers of `jepsen-tests`
//! judge their histories.
//!
//! `cargo xtask sim -- run --seeds 0..200` simulates seeds, `replay --seed N` repeats one of them, and
//! `mutants` shows that broken rules are caught. A seed decides everything that happens in a run: the
//! same seed gives the same history, byte for byte.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails is a test that fails")]

mod campaign;
mod chance;
mod cli;
mod disk;
mod faults;
mod machine;
#[cfg(feature = "mutants")]
mod mutants;
mod net;
mod noting;
mod scenario;
mod sdk;
mod simulate;
mod world;

use std::process::ExitCode;

use tracing_subscriber::filter::{EnvFilter, LevelFilter};

fn main() -> ExitCode {
    // Members under faults have much to complain of; whoever looks into a seed says what he wants to hear.
    let quiet = EnvFilter::builder().with_default_directive(LevelFilter::OFF.into()).from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(quiet).with_writer(std::io::stderr).without_time().init();
    cli::main()
}
