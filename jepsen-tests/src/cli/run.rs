//! `run`: one run.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jepsen_tests::run::{Backend, Plan, Store, execute, wall_clock_ms};
use kenger_types::Timestamp;

use super::progress::Show;
use super::{IO, UNAVAILABLE, product, report, wrong};

/// Where runs are put if nobody says.
pub(super) const RUNS: &str = "target/jepsen";

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// What clients do: names from `list`, separated by commas
    #[arg(long, value_delimiter = ',', required = true, value_name = "NAMES")]
    workload: Vec<String>,
    /// What is done to the cluster: names from `list`, separated by commas; none if absent
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    nemesis: Vec<String>,
    /// How many members: 3 or 5
    #[arg(long, default_value_t = 5, value_name = "N")]
    nodes: u64,
    /// For how many seconds clients and faults are at work
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    time_limit: u64,
    /// What everything is drawn from that is drawn; a random one if absent
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// What joins the members: `netns` (network namespaces, needs root) or `proxy`
    #[arg(long, default_value_t = Backend::Netns)]
    backend: Backend,
    /// What holds the members' log: `sled` or `redb`
    #[arg(long, default_value = "sled")]
    store: Store,
    /// The directory of the run; a new one below target/jepsen if absent
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// After so many seconds the run has failed, whatever it is at; some minutes more than the time limit
    /// if absent
    #[arg(long, value_name = "SECONDS")]
    hard_limit: Option<u64>,
}

pub(super) fn main(args: &RunArgs) -> u8 {
    let seed = args.seed.unwrap_or_else(random_seed);
    let plan = Plan {
        workloads: args.workload.clone(),
        nemeses: args.nemesis.clone(),
        members: args.nodes,
        time_limit: Duration::from_secs(args.time_limit),
        seed,
        backend: args.backend,
        store: args.store,
        folder: args.out.clone().unwrap_or_else(|| folder(RUNS, seed)),
        hard_limit: args.hard_limit.map(Duration::from_secs),
    };
    if let Err(what) = plan.check() {
        return wrong(&what);
    }
    if let Err(what) = product::make() {
        eprintln!("jepsen-tests: {what}");
        return 1;
    }
    println!("{}", plan.command());
    println!("in {}", plan.folder.display());
    let mut show = Show::new(plan.time_limit);
    match execute(&plan, &mut |progress| show.take(progress)) {
        Ok(verdicts) => {
            show.finish();
            println!("{}", verdicts.text());
            println!("\nhistory and logs: {}", plan.folder.display());
            // A run that has not begun has nothing to show.
            if verdicts.run.is_some() && report::write(&plan.folder) != 0 {
                return IO;
            }
            if verdicts.is_impossible { UNAVAILABLE } else { verdicts.conclusion.exit_code() }
        }
        Err(error) => {
            show.finish();
            eprintln!("jepsen-tests: {}: {error}", plan.folder.display());
            IO
        }
    }
}

/// A seed for a run that is given none.
pub(super) fn random_seed() -> u64 {
    // Small enough to be typed.
    fastrand::u64(..100_000_000)
}

/// A directory for what is made now.
pub(super) fn folder(runs: &str, seed: u64) -> PathBuf {
    let now = Timestamp::from_unix_ms(wall_clock_ms()).to_string();
    let now: String = now.chars().filter(char::is_ascii_alphanumeric).collect();
    PathBuf::from(runs).join(format!("{now}-{seed}"))
}
