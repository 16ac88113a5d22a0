//! `jepsen-tests`: makes runs and judges their histories.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "see the library")]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
