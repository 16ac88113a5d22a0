//! `check`: the verdicts about a history, once more.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use jepsen_tests::check;
use jepsen_tests::run::{judge, read_history};

use super::{IO, wrong};

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The directory of a run, or a file with a history
    #[arg(value_name = "DIR|FILE")]
    path: PathBuf,
    /// These checkers alone: names from `list`, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    checker: Option<Vec<String>>,
}

pub(super) fn main(args: &CheckArgs) -> u8 {
    let known: Vec<_> = check::all().iter().map(|checker| checker.name()).collect();
    if let Some(name) = args.checker.iter().flatten().find(|name| !known.contains(&name.as_str())) {
        return wrong(&format!("there is no checker {name:?}; there are {}", known.join(", ")));
    }
    match read_history(&args.path) {
        Ok(history) => {
            let verdicts = judge(&Arc::new(history), Vec::new(), args.checker.as_deref());
            println!("{}", verdicts.text());
            verdicts.conclusion.exit_code()
        }
        Err(what) => {
            eprintln!("jepsen-tests: {what}");
            IO
        }
    }
}
