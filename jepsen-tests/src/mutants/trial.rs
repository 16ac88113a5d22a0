//! One run of a mutant, or of the unchanged product, and what came of it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use kenger_mutant::{Mutant, VARIABLE};

use super::table::{Catcher, Schedule};
use crate::check::Verdict;
use crate::harness::{Namespaces, Process};
use crate::run::{VACUITY, Verdicts};

/// How many members these runs have.
const MEMBERS: u64 = 3;
/// A run takes no more than this beside the time in which clients and nemeses are at work: its members
/// start, recover and agree, which broken ones may not.
const EXTRA: Duration = Duration::from_secs(120);
/// It knows that by itself; later than this after that it is ended.
const PATIENCE: Duration = Duration::from_secs(90);

/// What is run.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The program that makes runs: this one.
    pub runner: PathBuf,
    /// `kenger` with mutants.
    pub product: PathBuf,
    /// Which rule is broken; `None`: all are kept.
    pub mutant: Option<Mutant>,
    /// What clients and nemeses do.
    pub schedule: Schedule,
    /// What is drawn from it.
    pub seed: u64,
    /// Where everything about the run is put.
    pub folder: PathBuf,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The one who had to see it did.
    Caught {
        /// By which rule.
        rule: String,
        /// How long after the beginning of the run; `None` if only the end of it shows it.
        after: Option<Duration>,
        /// What was seen, for people.
        what: String,
    },
    /// Others saw something, the one who had to did not: `checker/rule` of each.
    ByOthers(Vec<String>),
    /// Nobody saw anything.
    Clean,
    /// There was no run to judge.
    Failed(String),
}

impl Trial {
    /// Makes the run, in a process of its own: what it is told by its environment its members are told.
    ///
    /// # Errors
    /// It could not be made, or did not come to an end.
    pub async fn run(&self) -> Result<Verdicts, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.folder.display());
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        let folder = self.folder.join("run");
        let limit = Duration::from_secs(self.schedule.seconds) + EXTRA;
        let mut command = self.command(&folder, limit);
        let log = self.folder.join("run.log");
        File::create(&log).map_err(failed)?;
        let mut process = Process::start("a run", &mut command, &log, None);
        let ended = tokio::time::timeout(limit + PATIENCE, process.wait(limit + PATIENCE * 2)).await;
        drop(process);
        match (Verdicts::read(&folder), ended) {
            (Ok(verdicts), Ok(_)) => Ok(verdicts),
            (_, Err(_)) => Err(format!("not over after {:?}, see {}", limit + PATIENCE, log.display())),
            (Err(error), Ok(status)) => {
                Err(format!("{status} without a verdict ({error}), see {}", log.display()))
            }
        }
    }

    fn command(&self, folder: &Path, limit: Duration) -> Command {
        let Schedule { workloads, nemeses, store, seconds } = self.schedule;
        let backend = if Namespaces::missing().is_none() { "netns" } else { "proxy" };
        let mut command = Command::new(&self.runner);
        command.args(["run", "--workload", &workloads.join(",")]);
        if !nemeses.is_empty() {
            command.args(["--nemesis", &nemeses.join(",")]);
        }
        command.args(["--nodes", &MEMBERS.to_string(), "--time-limit", &seconds.to_string()]);
        command.args(["--seed", &self.seed.to_string(), "--backend", backend, "--store", store]);
        command.args(["--hard-limit", &limit.as_secs().to_string(), "--out"]).arg(folder);
        command.env("KENGER_BIN", &self.product).stdin(Stdio::null());
        match self.mutant {
            Some(mutant) => command.env(VARIABLE, mutant.name()),
            None => command.env_remove(VARIABLE),
        };
        command
    }
}

impl Found {
    /// What a run shows of a mutant.
    pub fn by(catcher: &Catcher, outcome: &Result<Verdicts, String>) -> Self {
        let verdicts = match outcome {
            Ok(verdicts) => verdicts,
            Err(reason) => return Found::Failed(reason.clone()),
        };
        let problems = verdicts
            .findings
            .iter()
            .filter(|finding| finding.checker == catcher.checker && finding.verdict == Verdict::Invalid)
            .flat_map(|finding| &finding.problems)
            .filter(|problem| catcher.rules.contains(&problem.rule.as_str()));
        if let Some(first) = problems.min_by_key(|problem| problem.at.unwrap_or(u64::MAX)) {
            return Found::Caught {
                rule: first.rule.clone(),
                after: first.at.map(Duration::from_micros),
                what: first.what.clone(),
            };
        }
        let mut others = broken(verdicts);
        others.extend(verdicts.failures.iter().cloned());
        if others.is_empty() { Found::Clean } else { Found::ByOthers(others) }
    }
}

/// Why a run of the unchanged product is not clean; nothing if it is. `catchers`: who must have found
/// something to look at in it, or that they saw nothing would mean nothing.
pub fn stains(outcome: &Result<Verdicts, String>, catchers: &[Catcher]) -> Vec<String> {
    let verdicts = match outcome {
        Ok(verdicts) => verdicts,
        Err(reason) => return vec![reason.clone()],
    };
    let mut stains = broken(verdicts);
    stains.extend(verdicts.failures.iter().cloned());
    for Catcher { checker, .. } in catchers {
        let finding = verdicts.findings.iter().find(|finding| finding.checker == *checker);
        if finding.is_none_or(|finding| finding.verdict == Verdict::NotApplicable) {
            stains.push(format!("{checker} had nothing to look at"));
        }
    }
    stains.sort_unstable();
    stains.dedup();
    stains
}

/// `checker/rule` of all that was seen. These runs are shorter than those for which it is counted whether
/// they did enough, so that they did little is no finding.
fn broken(verdicts: &Verdicts) -> Vec<String> {
    let mut rules = verdicts.rules();
    rules.retain(|rule| rule.split('/').next() != Some(VACUITY));
    rules
}
