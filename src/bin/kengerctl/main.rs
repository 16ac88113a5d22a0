//! `kengerctl`: shows and steers a Kenger cluster.
//!
//! One module for what can be typed (`args`), one for each group of commands (`command`), one for
//! how answers look (`output`), and one for what went wrong and which exit code says so (`failure`).

mod args;
mod bench;
mod clock;
mod command;
mod confirm;
mod failure;
mod output;

use std::process::ExitCode;

use clap::Parser;

use args::Cli;
use failure::{Exit, Failure};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors. A closed pipe is no reason to complain.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    match run(cli) {
        // Whoever reads the output has seen enough (`kengerctl … | head`).
        Ok(()) | Err(Failure::OutputClosed) => Exit::Ok.into(),
        Err(failure) => {
            failure.print();
            failure.exit().into()
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    // One thread is enough for all that waits, and the load generator must leave the machine's other
    // processors to the members.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Io)?;
    runtime.block_on(command::run(cli))
}
