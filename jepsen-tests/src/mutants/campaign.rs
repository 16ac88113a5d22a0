//! All mutants one after the other, then the unchanged product in the same runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::table::{Catcher, Entry, Schedule};
use super::trial::{Found, Trial, stains};

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// Which mutants.
    pub entries: Vec<Entry>,
    /// The program that makes runs.
    pub runner: PathBuf,
    /// `kenger` with its mutants.
    pub product: PathBuf,
    /// The first try of each mutant has this seed, the next one the next.
    pub seed: u64,
    /// So many runs of each mutant, whether it is caught or not; `None`: until it is caught.
    pub runs: Option<u32>,
    /// Where everything about the runs is put.
    pub folder: PathBuf,
}

/// What came of one mutant.
#[derive(Debug, Clone)]
pub struct Row {
    /// Which, and what was to be.
    pub entry: Entry,
    /// What came of each run.
    pub found: Vec<Found>,
    /// How long they took together.
    pub took: Duration,
}

/// What came of the unchanged product.
#[derive(Debug, Clone, Default)]
pub struct Control {
    /// How many runs there were.
    pub runs: usize,
    /// Each run that was not clean, and why.
    pub stains: Vec<(String, Vec<String>)>,
    /// How long they took together.
    pub took: Duration,
}

impl Row {
    /// Whether it was caught by who had to, within the budget.
    pub fn is_caught(&self) -> bool {
        self.caught() > 0
    }

    /// In how many runs it was.
    pub fn caught(&self) -> usize {
        self.found.iter().filter(|found| matches!(found, Found::Caught { .. })).count()
    }
}

impl Campaign {
    /// Does it; `tell` is told how it goes.
    pub async fn run(&self, tell: &mut dyn FnMut(String)) -> (Vec<Row>, Control) {
        let mut rows = Vec::new();
        for (place, entry) in (1..).zip(&self.entries) {
            let row = self.mutant(entry, &format!("{place}/{}", self.entries.len()), tell).await;
            rows.push(row);
        }
        let control = self.control(tell).await;
        (rows, control)
    }

    async fn mutant(&self, entry: &Entry, place: &str, tell: &mut dyn FnMut(String)) -> Row {
        let began = now();
        let mut found = Vec::new();
        for (number, seed) in (1..=self.runs.unwrap_or(entry.tries)).zip(self.seed..) {
            let name = entry.mutant.name();
            let trial = self.trial(entry, seed, Some(name));
            tell(format!("[{place}] {name}: run {number} ({})", entry.schedule));
            let one = Found::by(&entry.catcher, &trial.run().await);
            tell(format!("[{place}] {name}: {}", told(&one, &entry.catcher)));
            let is_caught = matches!(one, Found::Caught { .. });
            found.push(one);
            if is_caught && self.runs.is_none() {
                break;
            }
        }
        Row { entry: *entry, found, took: began.elapsed() }
    }

    /// One run of each schedule, with the seed of the first try.
    async fn control(&self, tell: &mut dyn FnMut(String)) -> Control {
        let mut catchers: BTreeMap<Schedule, Vec<Catcher>> = BTreeMap::new();
        for entry in &self.entries {
            catchers.entry(entry.schedule).or_default().push(entry.catcher);
        }
        let began = now();
        let mut control = Control::default();
        for (schedule, catchers) in catchers {
            let Some(entry) = self.entries.iter().find(|entry| entry.schedule == schedule) else { continue };
            control.runs += 1;
            tell(format!("[control {}] {schedule}", control.runs));
            let trial = self.trial(entry, self.seed, None);
            let stains = stains(&trial.run().await, &catchers);
            let verdict = if stains.is_empty() { "clean".to_owned() } else { stains.join("; ") };
            tell(format!("[control {}] {verdict}", control.runs));
            if !stains.is_empty() {
                control.stains.push((schedule.to_string(), stains));
            }
        }
        control.took = began.elapsed();
        control
    }

    fn trial(&self, entry: &Entry, seed: u64, mutant: Option<&str>) -> Trial {
        let name = mutant.map_or_else(|| format!("control-of-{}", entry.mutant), str::to_owned);
        Trial {
            runner: self.runner.clone(),
            product: self.product.clone(),
            mutant: mutant.map(|_| entry.mutant),
            schedule: entry.schedule,
            seed,
            folder: self.folder.join(format!("{name}-{seed}")),
        }
    }
}

fn told(found: &Found, catcher: &Catcher) -> String {
    match found {
        Found::Caught { rule, after, what } => {
            let after =
                after.map_or_else(String::new, |after| format!(" after {:.1} s", after.as_secs_f64()));
            format!("caught by {}/{rule}{after}: {what}", catcher.checker)
        }
        Found::ByOthers(others) => format!("not seen by {}, but: {}", catcher.checker, others.join("; ")),
        Found::Clean => "not seen by anybody".to_owned(),
        Found::Failed(reason) => format!("no run: {reason}"),
    }
}

#[expect(clippy::disallowed_methods, reason = "how long runs took is told to a person")]
fn now() -> Instant {
    Instant::now()
}
