//! `mutants`: whether the checkers see what they are there for.

use std::path::PathBuf;

use clap::Args;
use jepsen_tests::mutants::{self, Campaign, Entry};

use super::run::{folder, random_seed};
use super::wrong;

/// Where these runs are put if nobody says.
const RUNS: &str = "target/jepsen/mutants";

#[derive(Debug, Args)]
pub(super) struct MutantsArgs {
    /// These mutants alone: names from `--list`, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// Those alone that the ordinary tests run
    #[arg(long)]
    suite: bool,
    /// Say which mutants there are, in which runs they show and who must see them
    #[arg(long)]
    list: bool,
    /// Make so many runs of each mutant, whether it is caught or not, and say in how many it was
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: Option<u32>,
    /// The seed of the first run of each mutant; a random one if absent
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The directory of the runs; a new one below target/jepsen/mutants if absent
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn main(args: &MutantsArgs) -> u8 {
    let entries = match chosen(args) {
        Ok(entries) => entries,
        Err(what) => return wrong(&what),
    };
    if args.list {
        println!("{}", mutants::list(&entries));
        return 0;
    }
    match campaign(args, entries) {
        Ok(campaign) => run(&campaign),
        Err(what) => {
            eprintln!("jepsen-tests: {what}");
            1
        }
    }
}

fn chosen(args: &MutantsArgs) -> Result<Vec<Entry>, String> {
    let mut entries = mutants::table();
    if let Some(name) =
        args.only.iter().find(|name| entries.iter().all(|entry| entry.mutant.name() != **name))
    {
        return Err(format!("there is no mutant {name:?}; `mutants --list` names them all"));
    }
    entries.retain(|entry| args.only.is_empty() || args.only.iter().any(|name| name == entry.mutant.name()));
    entries.retain(|entry| entry.is_in_suite || !args.suite);
    Ok(entries)
}

fn campaign(args: &MutantsArgs, entries: Vec<Entry>) -> Result<Campaign, String> {
    eprintln!("building kenger with its mutants");
    let product = mutants::build()?;
    let runner = std::env::current_exe().map_err(|error| format!("where this program is: {error}"))?;
    let seed = args.seed.unwrap_or_else(random_seed);
    let folder = args.out.clone().unwrap_or_else(|| folder(RUNS, seed));
    Ok(Campaign { entries, runner, product, seed, runs: args.runs, folder })
}

fn run(campaign: &Campaign) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime for the runs");
    let (rows, control) = runtime.block_on(campaign.run(&mut |line| eprintln!("{line}")));
    println!("\n{}", mutants::report(&rows, &control));
    println!("\nseed {}, histories and logs: {}", campaign.seed, campaign.folder.display());
    let is_good = rows.iter().all(mutants::Row::is_caught) && control.stains.is_empty();
    u8::from(!is_good)
}
