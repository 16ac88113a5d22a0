//! Runs whole clusters of real members in a seeded simulation, and has the checkers of `jepsen-tests`
//! judge their histories.
//!
//! `cargo xtask sim -- run --seeds 0..200` simulates seeds, `replay --seed N` repeats one of them, and
//! `mutants` shows that broken rules are caught. A seed decides everything that happens in a run: the
//! same seed gives the same history, byte for byte.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails is a test that fails")]

mod campaign;
mod cli;
mod disk;
mod faults;
mod machine;
#[cfg(feature = "mutants")]
mod mutants;
mod net;
mod scenario;
mod sdk;
mod simulate;
mod world;

use std::process::ExitCode;

/// Nothing was simulated: the program was built or called in a way that it does not take.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    if !cfg!(tokio_unstable) {
        eprintln!(
            "kenger-sim: this build draws the order of tasks by chance, so that no run could be repeated. \
             `cargo xtask sim -- ...` builds it with `--cfg tokio_unstable`."
        );
        return EXIT_USAGE.into();
    }
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .without_time()
        .init();
    cli::main()
}
