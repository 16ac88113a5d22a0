//! `report`: the page about a run, once more.

use std::path::{Path, PathBuf};

use clap::Args;
use jepsen_tests::report::write_report;

use super::IO;

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// The directory of a run
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn main(args: &ReportArgs) -> u8 {
    write(&args.folder)
}

/// Writes the page and says where it is.
pub(super) fn write(folder: &Path) -> u8 {
    match write_report(folder) {
        Ok(path) => {
            println!("report: {}", path.display());
            0
        }
        Err(error) => {
            eprintln!("jepsen-tests: no report: {error}");
            IO
        }
    }
}
