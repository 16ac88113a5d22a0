//! `mix`: many runs, each a process of its own, so that one that hangs or breaks is one that failed.

mod table;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Args;
use jepsen_tests::harness::{Process, kenger, skip};
use jepsen_tests::run::{Combination, Conclusion, Plan, Verdicts, draw, short};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::run::{RUNS, folder, random_seed};
use super::{IO, product};

/// A run that says nothing of itself any more is ended this long after its own hard limit, which leaves
/// it time to be judged.
const BEYOND_HARD_LIMIT: Duration = Duration::from_secs(240);
/// Directories of runs that failed are kept, but no more than these; the runs themselves go on.
const KEPT_MAX: usize = 60;
/// Longest mix, in hours.
const HOURS_MAX: f64 = 168.0;
/// Exit code of a run that this machine cannot make.
const UNAVAILABLE: i32 = super::UNAVAILABLE as i32;

#[derive(Debug, Args)]
pub(super) struct MixArgs {
    /// A fixed list, in some minutes: what every change has to pass
    #[arg(long, required_unless_present = "long", conflicts_with = "long")]
    short: bool,
    /// Runs that are drawn, one after the other, until the time is up
    #[arg(long, requires = "hours")]
    long: bool,
    /// How long, in hours
    #[arg(long, value_name = "H", requires = "long", conflicts_with = "short", value_parser = hours)]
    hours: Option<f64>,
    /// What the runs of a long mix are drawn from; a random one if absent
    #[arg(long, value_name = "N", requires = "long", conflicts_with = "short")]
    seed: Option<u64>,
    /// The directory of the mix; a new one below target/jepsen if absent
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn hours(text: &str) -> Result<f64, String> {
    let hours: f64 = text.parse().map_err(|_| format!("{text:?} is not a number of hours"))?;
    if hours > 0.0 && hours <= HOURS_MAX {
        Ok(hours)
    } else {
        Err(format!("from more than 0 to {HOURS_MAX} hours, not {text}"))
    }
}

/// What came of one run of a mix: a line of `results.jsonl`.
#[derive(Debug, Serialize)]
struct Made {
    number: usize,
    command: String,
    workloads: Vec<String>,
    nemeses: Vec<String>,
    members: u64,
    backend: String,
    store: &'static str,
    seed: u64,
    seconds: u64,
    /// `None`: this machine cannot make it.
    conclusion: Option<Conclusion>,
    /// Rules that were broken or not decided.
    rules: Vec<String>,
    failures: Vec<String>,
    operations: u64,
    leader_changes: u64,
    faults: u64,
    /// Where its history is, if it was kept.
    folder: Option<PathBuf>,
}

pub(super) fn main(args: &MixArgs) -> u8 {
    if let Err(what) = product::make() {
        eprintln!("jepsen-tests: {what}");
        return 1;
    }
    let seed = args.seed.unwrap_or_else(random_seed);
    let out = args.out.clone().unwrap_or_else(|| folder(&format!("{RUNS}/mix"), seed));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(mix(args, seed, &out)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("jepsen-tests: {}: {error}", out.display());
            IO
        }
    }
}

async fn mix(args: &MixArgs, seed: u64, out: &Path) -> std::io::Result<u8> {
    std::fs::create_dir_all(out)?;
    let mut results = OpenOptions::new().create_new(true).append(true).open(out.join("results.jsonl"))?;
    let programs = Programs::copy(out)?;
    println!("in {}", out.display());
    if args.long {
        println!("the runs are drawn from seed {seed}");
    }
    let began = Instant::now();
    let until = args.hours.map(|hours| began + Duration::from_secs_f64(hours * 3_600.0));
    let mut rng = fastrand::Rng::with_seed(seed);
    let fixed = short();
    let mut all = Vec::new();
    let mut kept = 0;
    loop {
        let next = match until {
            None => fixed.get(all.len()).cloned().map(|run| (run, all.len() as u64 + 1)),
            Some(until) => (Instant::now() < until).then(|| (draw(&mut rng), rng.u64(..100_000_000))),
        };
        let Some((run, seed)) = next else { break };
        let mut made = make(&run, seed, all.len() + 1, out, &programs).await?;
        keep_or_remove(&mut made, &mut kept);
        println!("{}", line(&made));
        serde_json::to_writer(&mut results, &made)?;
        results.write_all(b"\n")?;
        all.push(made);
    }
    let text = table::text(&all, began.elapsed());
    File::create(out.join("table.md"))?.write_all(text.as_bytes())?;
    println!("\n{text}");
    let count = |wanted: fn(&Made) -> bool| all.iter().filter(|made| wanted(made)).count();
    let passed = count(|made| made.conclusion == Some(Conclusion::Valid));
    let failed = count(|made| made.conclusion.is_some_and(|conclusion| conclusion != Conclusion::Valid));
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    // As the tests of a crate end, so that whoever counts those can count these.
    println!("test result: {verdict}. {passed} passed; {failed} failed; 0 ignored");
    let worst = [Conclusion::Invalid, Conclusion::Unknown]
        .into_iter()
        .find(|worst| all.iter().any(|made| made.conclusion == Some(*worst)));
    Ok(worst.map_or(0, Conclusion::exit_code))
}

/// The programs as they were when the mix began: a work tree may be built again meanwhile, and all runs
/// are to be of the same programs.
struct Programs {
    runner: PathBuf,
    kenger: PathBuf,
}

impl Programs {
    fn copy(out: &Path) -> std::io::Result<Self> {
        let folder = out.canonicalize()?.join("programs");
        std::fs::create_dir(&folder)?;
        let programs = Self { runner: folder.join("jepsen-tests"), kenger: folder.join("kenger") };
        std::fs::copy(std::env::current_exe()?, &programs.runner)?;
        std::fs::copy(kenger(), &programs.kenger)?;
        Ok(programs)
    }
}

/// Makes one run in a process of its own.
async fn make(
    run: &Combination,
    seed: u64,
    number: usize,
    out: &Path,
    programs: &Programs,
) -> std::io::Result<Made> {
    let folder = out.join(format!("{number:04}"));
    let plan = Plan {
        workloads: run.workloads.clone(),
        nemeses: run.nemeses.clone(),
        members: run.members,
        time_limit: run.time_limit,
        seed,
        backend: run.backend,
        store: run.store,
        folder: folder.clone(),
        hard_limit: None,
    };
    let mut command = Command::new(&programs.runner);
    command.args(plan.arguments()).arg("--out").arg(&folder).env("KENGER_BIN", &programs.kenger);
    let began = Instant::now();
    let name = format!("run {number}");
    let mut process = Process::start(&name, &mut command, &out.join(format!("{number:04}.txt")), None);
    let deadline = began + plan.hard_limit() + BEYOND_HARD_LIMIT;
    let code = loop {
        if let Some(status) = process.ended() {
            break status.code();
        }
        if Instant::now() >= deadline {
            process.kill();
            break None;
        }
        sleep(Duration::from_millis(200)).await;
    };
    let mut made = Made {
        number,
        command: plan.command(),
        workloads: plan.workloads.clone(),
        nemeses: plan.nemeses.clone(),
        members: plan.members,
        backend: plan.backend.to_string(),
        store: plan.store.name(),
        seed,
        seconds: began.elapsed().as_secs(),
        conclusion: Some(Conclusion::Invalid),
        rules: Vec::new(),
        failures: Vec::new(),
        operations: 0,
        leader_changes: 0,
        faults: 0,
        folder: Some(folder.clone()),
    };
    take_verdicts(&mut made, &folder, code, &process.log_tail());
    Ok(made)
}

/// What the process left behind and the code that it ended with have to say the same.
fn take_verdicts(made: &mut Made, folder: &Path, code: Option<i32>, output: &str) {
    match Verdicts::read(folder) {
        Ok(verdicts) if code == Some(UNAVAILABLE) => {
            made.conclusion = None;
            made.failures = verdicts.failures;
            skip(&format!("mix: {}", made.command), &made.failures.join("; "));
        }
        Ok(verdicts) if code == Some(i32::from(verdicts.conclusion.exit_code())) => {
            made.conclusion = Some(verdicts.conclusion);
            made.rules = verdicts.rules();
            made.operations = verdicts.figure("vacuity", "acknowledged");
            made.leader_changes = verdicts.figure("vacuity", "leader_changes");
            made.faults = verdicts.figure("vacuity", "faults");
            made.failures = verdicts.failures;
        }
        other => {
            let what = other.err().map_or_else(String::new, |error| format!("; {VERDICTS}: {error}"));
            made.failures = vec![format!("the process ended with {code:?}{what}: {output}")];
        }
    }
}

const VERDICTS: &str = jepsen_tests::run::VERDICTS_FILE;

/// What passed needs no place on the disk.
fn keep_or_remove(made: &mut Made, kept: &mut usize) {
    let is_wanted = made.conclusion.is_some_and(|conclusion| conclusion != Conclusion::Valid);
    if is_wanted && *kept < KEPT_MAX {
        *kept += 1;
    } else if let Some(folder) = made.folder.take() {
        // Left where it is if it cannot be removed.
        let _ = std::fs::remove_dir_all(folder);
    }
}

fn line(made: &Made) -> String {
    let conclusion =
        made.conclusion.map_or_else(|| "skipped".to_owned(), |conclusion| conclusion.to_string());
    let mut line = format!(
        "{:>4}  {conclusion:<8}{:>4} s  {} × {} ({} members, {}, {}, seed {}): {} acknowledged, {} leader changes, {} faults",
        made.number,
        made.seconds,
        made.workloads.join("+"),
        made.nemeses.join("+"),
        made.members,
        made.backend,
        made.store,
        made.seed,
        made.operations,
        made.leader_changes,
        made.faults
    );
    if !made.rules.is_empty() {
        line += &format!("\n        {}", made.rules.join(", "));
    }
    for failure in &made.failures {
        let first = failure.lines().next().unwrap_or_default();
        line += &format!("\n        {first}");
    }
    if let Some(folder) = &made.folder {
        line += &format!("\n        {}", folder.display());
    }
    line
}
