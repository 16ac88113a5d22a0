//! The command line.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use kenger_mutant::Mutant;

use crate::campaign::{self, Campaign};
use crate::chance;
use crate::simulate::{Summary, Told, Wanted, replay_command, simulate};

/// Whole clusters in a seeded simulation.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask sim --", bin_name = "cargo xtask sim --")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Simulate many seeds, and tell which of them fail.
    Run(RunArguments),
    /// Simulate one seed again, and write its history.
    Replay(ReplayArguments),
    /// Break one rule of the product after the other, and see within how many seeds it is caught.
    #[cfg(feature = "mutants")]
    Mutants(crate::mutants::Options),
}

/// How long clients and faults are at work, in simulated seconds, where nothing else is asked for.
pub(crate) const SECONDS: u64 = 5;

/// What every run is like.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunOptions {
    /// How long clients and faults are at work, in simulated seconds.
    #[arg(long, default_value_t = SECONDS, value_parser = clap::value_parser!(u64).range(2..=3600))]
    pub(crate) seconds: u64,
    /// Where histories are written.
    #[arg(long, default_value = "target/sim/histories")]
    pub(crate) folder: PathBuf,
    /// Break this rule of the product.
    #[arg(long, value_parser = mutant)]
    pub(crate) mutant: Option<Mutant>,
}

#[derive(Debug, Args)]
struct RunArguments {
    /// Which seeds: `FIRST..END`.
    #[arg(long, default_value = "0..200", value_parser = seeds)]
    seeds: Range<u64>,
    /// How many members: 3 or 5; both in turn if not given.
    #[arg(long, value_parser = members)]
    members: Option<u64>,
    /// How many seeds are simulated at a time; as many as there are processors if not given.
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// Simulate so many of the seeds twice, and fail if the two histories differ in a byte.
    #[arg(long, default_value_t = 0)]
    twice: u64,
    #[command(flatten)]
    options: RunOptions,
}

#[derive(Debug, Args)]
struct ReplayArguments {
    /// Which seed.
    #[arg(long)]
    seed: u64,
    /// How many members: 3 or 5.
    #[arg(long, value_parser = members)]
    members: u64,
    /// Tell what it came to in one line of JSON, and write no history of a run that has passed.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: RunOptions,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("{text:?} is no range of seeds like 0..200");
    let (first, end) = text.split_once("..").ok_or_else(wrong)?;
    let range = first.parse().map_err(|_| wrong())?..end.parse().map_err(|_| wrong())?;
    if range.is_empty() { Err(wrong()) } else { Ok(range) }
}

fn members(text: &str) -> Result<u64, String> {
    match text {
        "3" => Ok(3),
        "5" => Ok(5),
        _ => Err("a cluster has 3 or 5 members".to_owned()),
    }
}

fn mutant(name: &str) -> Result<Mutant, String> {
    if !cfg!(feature = "mutants") {
        return Err("this build has no mutants".to_owned());
    }
    Mutant::from_name(name).ok_or_else(|| format!("there is no mutant {name:?}"))
}

/// Members of a seed where none are asked for: clusters of three and of five in turn.
pub(crate) fn members_of(seed: u64) -> u64 {
    if seed.is_multiple_of(2) { 3 } else { 5 }
}

/// Breaks this rule from now on, or none.
pub(crate) fn break_rule(mutant: Option<Mutant>) {
    #[cfg(feature = "mutants")]
    kenger_mutant::set(mutant);
    #[cfg(not(feature = "mutants"))]
    debug_assert!(mutant.is_none(), "the arguments were checked");
}

/// From the arguments to the exit code.
pub(crate) fn main() -> ExitCode {
    match Arguments::parse().task {
        Task::Run(arguments) => run(arguments),
        Task::Replay(arguments) => replay(&arguments),
        #[cfg(feature = "mutants")]
        Task::Mutants(options) => crate::mutants::run(&options),
    }
}

fn run(arguments: RunArguments) -> ExitCode {
    let RunArguments { seeds, members, jobs, twice, options } = arguments;
    let lasts = Duration::from_secs(options.seconds);
    let wanted: Vec<_> = seeds
        .clone()
        .map(|seed| Wanted { seed, members: members.unwrap_or_else(|| members_of(seed)), lasts })
        .collect();
    let jobs = jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let campaign = Campaign::new(seeds.end - seeds.start);
    let mut unequal = 0;
    campaign::run_all(&wanted, (jobs, twice), &options, |told, again| {
        if again.is_some_and(|again| again != told.hash) {
            unequal += 1;
            println!("seed {}: simulated twice, and the histories differ", told.wanted.seed);
        }
        if !told.is_pass() {
            tell_failure(told, &options);
        }
        campaign.note(told);
        true
    });
    campaign.print(twice.min(seeds.end - seeds.start), unequal);
    if campaign.is_clean() && unequal == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell_failure(told: &Summary, options: &RunOptions) {
    println!("seed {} ({} members) failed:", told.wanted.seed, told.wanted.members);
    told.failures.iter().for_each(|failure| println!("    {}: {}", failure.by, failure.what));
    println!("    to repeat it: {}{}", replay_command(&told.wanted), mutant_argument(options.mutant));
    println!("    its history: {}", history_file(&told.wanted, &options.folder).display());
}

fn mutant_argument(mutant: Option<Mutant>) -> String {
    mutant.map(|mutant| format!(" --mutant {mutant}")).unwrap_or_default()
}

fn history_file(wanted: &Wanted, folder: &Path) -> PathBuf {
    folder.join(format!("seed-{}-members-{}.jsonl", wanted.seed, wanted.members))
}

fn write(told: &Told, folder: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let file = history_file(&told.summary.wanted, folder);
    told.history.write(BufWriter::new(File::create(&file)?))?;
    Ok(file)
}

fn replay(arguments: &ReplayArguments) -> ExitCode {
    let ReplayArguments { seed, members, json, options } = arguments;
    break_rule(options.mutant);
    let wanted = Wanted { seed: *seed, members: *members, lasts: Duration::from_secs(options.seconds) };
    let told = match chance::from_seed(*seed, || simulate(wanted)) {
        Ok(told) => told,
        Err(error) => {
            eprintln!("kenger-sim: nothing can be repeated here: {error}");
            return ExitCode::FAILURE;
        }
    };
    if *json {
        println!("{}", serde_json::to_string(&told.summary).expect("numbers and texts"));
        if !told.summary.is_pass()
            && let Err(error) = write(&told, &options.folder)
        {
            eprintln!("the history of seed {seed} could not be written: {error}");
        }
    } else {
        tell(&told, &options.folder);
    }
    if told.summary.is_pass() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(told: &Told, folder: &Path) {
    for finding in &told.findings {
        println!("{:<14} {}", finding.checker, finding.verdict);
        for problem in &finding.problems {
            println!("    {}: {} (records {:?})", problem.rule, problem.what, problem.records);
        }
    }
    told.problems.iter().for_each(|problem| println!("{problem}"));
    println!("the hash of the history is {:016x}", told.summary.hash);
    match write(told, folder) {
        Ok(file) => println!("the history is {}", file.display()),
        Err(error) => println!("the history could not be written: {error}"),
    }
}
