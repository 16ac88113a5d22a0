//! The commands.

mod check;
mod list;
mod mix;
mod mutants;
mod product;
mod progress;
mod report;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Wrong arguments, as BSD's `sysexits` has it.
pub(crate) const USAGE: u8 = 64;
/// This machine lacks something that a run needs.
pub(crate) const UNAVAILABLE: u8 = 69;
/// Something of the machine failed: a file that cannot be written.
pub(crate) const IO: u8 = 74;

/// Whole clusters of real processes under faults, judged by checkers.
#[derive(Debug, Parser)]
#[command(max_term_width = 110, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 valid · 1 a promise was broken, or the run failed · 2 it could not be decided, or the run
did too little · 64 wrong arguments · 69 this machine lacks something · 74 a file cannot be read or
written";

const MUTANTS_EXIT_CODES: &str = "\
Exit codes: 0 each was caught by its checker, and the unchanged product is clean · 1 not so · 64 wrong
arguments";

const RUN_EXAMPLES: &str = "\
Examples:
  cargo run -p jepsen-tests -- run --workload register
  cargo run -p jepsen-tests -- run --workload register,feed --nemesis kill,partition --nodes 5 --seed 42
  cargo run -p jepsen-tests -- run --workload heartbeat --nemesis pause --backend proxy --time-limit 30

Exit codes: 0 valid · 1 a promise was broken, or the run failed · 2 it could not be decided, or the run
did too little · 64 wrong arguments · 69 this machine lacks something · 74 a file cannot be read or
written";

#[derive(Debug, Subcommand)]
enum Command {
    /// Make one run: a cluster, clients, faults; then judge what was seen.
    #[command(after_help = RUN_EXAMPLES)]
    Run(run::RunArgs),
    /// Make many runs, and go on after those that fail.
    #[command(after_help = EXIT_CODES)]
    Mix(mix::MixArgs),
    /// Judge a history again.
    #[command(after_help = EXIT_CODES)]
    Check(check::CheckArgs),
    /// Write the page about a run again, report.html in its directory.
    Report(report::ReportArgs),
    /// Break one rule of the product after the other, and see whether the checkers see it.
    #[command(after_help = MUTANTS_EXIT_CODES)]
    Mutants(mutants::MutantsArgs),
    /// Say what there is: workloads, nemeses, checkers.
    List,
}

pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help comes this way, too. If even this cannot be written, nobody is there.
            let _unwritten = error.print();
            return if error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    let code = match cli.command {
        Command::Run(args) => run::main(&args),
        Command::Mix(args) => mix::main(&args),
        Command::Check(args) => check::main(&args),
        Command::Report(args) => report::main(&args),
        Command::Mutants(args) => mutants::main(&args),
        Command::List => list::main(),
    };
    code.into()
}

/// Says what is wrong with the arguments.
pub(crate) fn wrong(what: &str) -> u8 {
    eprintln!("jepsen-tests: {what}");
    USAGE
}
