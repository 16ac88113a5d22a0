//! The judge is judged: rules of the product are broken, one after the other, and each is to be caught
//! within a number of seeds.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use comfy_table::{Table, presets};
use kenger_mutant::Mutant;

use crate::campaign::{now, run_all};
use crate::cli::{RunOptions, SECONDS, members_of};
use crate::simulate::{Wanted, replay_command};

/// Rules that a simulation of members can show to be broken. Those of gateways, and of subscribers that do
/// not read, are for the runs with real processes.
const EXPECTED: &[Mutant] = &[
    Mutant::SkipSync,
    Mutant::ForgetVote,
    Mutant::AcknowledgeBeforeCommit,
    Mutant::ReadWithoutIndex,
    Mutant::ReadBeforeApplied,
    Mutant::ApplyTwice,
    Mutant::ResumeSkipsOne,
    Mutant::ExpireUnchecked,
    Mutant::RenewWhileExpiring,
    Mutant::WallClockLeases,
    Mutant::NoGrace,
    Mutant::HeartbeatWithoutQuorum,
    Mutant::SnapshotWithoutOverrides,
    Mutant::SnapshotWithoutTtls,
];

/// What to break, and how long to look.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// These alone; all that a simulation can show if none are given.
    #[arg(long = "mutant", value_parser = named)]
    mutants: Vec<Mutant>,
    /// Each is to be caught within so many seeds.
    #[arg(long, default_value_t = 60)]
    budget: u64,
    /// How long clients and faults are at work, in simulated seconds.
    #[arg(long, default_value_t = SECONDS)]
    seconds: u64,
    /// How many seeds are simulated at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

fn named(name: &str) -> Result<Mutant, String> {
    Mutant::from_name(name).ok_or_else(|| format!("there is no mutant {name:?}"))
}

struct Caught {
    seeds: u64,
    by: String,
    replay: String,
}

/// Breaks each rule and prints who caught it.
pub(crate) fn run(options: &Options) -> ExitCode {
    let mutants = if options.mutants.is_empty() { EXPECTED } else { &options.mutants };
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header(["mutant", "caught by", "seeds", "seconds", "to repeat it"]);
    let mut escaped = 0;
    for &mutant in mutants {
        let began = now();
        let caught = hunt(options, mutant);
        let seconds = format!("{:.1}", (now() - began).as_secs_f64());
        match caught {
            Some(Caught { seeds, by, replay }) => {
                println!("{mutant}: caught within {seeds} seeds by {by}");
                table.add_row([
                    mutant.name(),
                    &by,
                    &seeds.to_string(),
                    &seconds,
                    &format!("{replay} --mutant {mutant}"),
                ]);
            }
            None => {
                escaped += 1;
                println!("{mutant}: not caught within {} seeds", options.budget);
                table.add_row([mutant.name(), "nobody", &options.budget.to_string(), &seconds, ""]);
            }
        }
    }
    println!("{table}");
    println!("{} of {} mutants were caught", mutants.len() - escaped, mutants.len());
    if escaped == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn hunt(options: &Options, mutant: Mutant) -> Option<Caught> {
    let lasts = Duration::from_secs(options.seconds);
    let wanted: Vec<_> =
        (0..options.budget).map(|seed| Wanted { seed, members: members_of(seed), lasts }).collect();
    let folder = std::path::PathBuf::from("target/sim/mutants").join(mutant.name());
    let run = RunOptions { seconds: options.seconds, folder, mutant: Some(mutant) };
    let (mut seeds, mut caught) = (0, None);
    run_all(&wanted, (options.jobs, 0), &run, |told, _| {
        seeds += 1;
        if told.is_pass() {
            return true;
        }
        let by: BTreeSet<_> = told.failures.iter().map(|failure| failure.by.as_str()).collect();
        let by = by.into_iter().collect::<Vec<_>>().join(", ");
        caught = Some(Caught { seeds, by, replay: replay_command(&told.wanted) });
        false
    });
    caught
}
