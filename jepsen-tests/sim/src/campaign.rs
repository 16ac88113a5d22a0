//! Many seeds: each simulated in a process of its own, as many at a time as there are processors, told
//! in one table.
//!
//! A process of its own, because tokio numbers tasks for the whole process, and drops them in an order
//! that depends on the number when a runtime ends, as in a crash: a second run in the same process would
//! differ from the first.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use comfy_table::{Table, presets};

use crate::cli::RunOptions;
use crate::simulate::{Summary, Wanted};

/// How often it is told how far the seeds are.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Simulates all that is wanted, `jobs` at a time, the first `twice` of them twice. Calls `each` with
/// every run, and with the hash of its second simulation, in the order in which they end, until it
/// answers that it has seen enough.
pub(crate) fn run_all(
    wanted: &[Wanted],
    (jobs, twice): (usize, u64),
    options: &RunOptions,
    mut each: impl FnMut(&Summary, Option<u64>) -> bool,
) {
    let (next, enough) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (tell, told) = mpsc::sync_channel(jobs);
    thread::scope(|scope| {
        for _ in 0..jobs {
            let tell = tell.clone();
            let (next, enough) = (&next, &enough);
            scope.spawn(move || {
                while !enough.load(Ordering::Relaxed) {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(&wanted) = wanted.get(place) else { return };
                    let run = in_process(wanted, options);
                    let again = ((place as u64) < twice).then(|| in_process(wanted, options).hash);
                    if tell.send((run, again)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(tell);
        for (run, again) in told {
            if !enough.load(Ordering::Relaxed) && !each(&run, again) {
                enough.store(true, Ordering::Relaxed);
            }
        }
    });
}

/// Simulates a seed in a process of its own.
fn in_process(wanted: Wanted, options: &RunOptions) -> Summary {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.args(["replay", "--json", "--seed", &wanted.seed.to_string()]);
    command.args(["--members", &wanted.members.to_string()]);
    command.args(["--seconds", &wanted.lasts.as_secs().to_string()]);
    command.arg("--folder").arg(&options.folder);
    if let Some(mutant) = options.mutant {
        command.args(["--mutant", mutant.name()]);
    }
    match command.stderr(Stdio::inherit()).output() {
        Ok(output) => serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            Summary::broken(
                wanted,
                format!("its process ended ({}) and told nothing: {error}", output.status),
            )
        }),
        Err(error) => Summary::broken(wanted, format!("its process did not start: {error}")),
    }
}

/// What many runs came to.
pub(crate) struct Campaign {
    began: Instant,
    seeds: u64,
    sums: Mutex<Sums>,
}

struct Sums {
    told_at: Instant,
    runs: u64,
    failed: Vec<u64>,
    answered: u64,
    events: u64,
    faults: u64,
    leader_changes: u64,
    records: u64,
}

impl Campaign {
    /// Begins; so many seeds are to come.
    pub(crate) fn new(seeds: u64) -> Self {
        let (began, sums) = (now(), Mutex::new(Sums::new()));
        Self { began, seeds, sums }
    }

    /// Adds a run, and tells now and then how far it is.
    pub(crate) fn note(&self, told: &Summary) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.runs += 1;
        sums.answered += told.answered;
        sums.events += told.events;
        sums.faults += told.faults;
        sums.leader_changes += told.leader_changes;
        sums.records += told.records;
        if !told.is_pass() {
            sums.failed.push(told.wanted.seed);
        }
        if now() - sums.told_at >= TELL_EVERY {
            sums.told_at = now();
            let (runs, seconds) = (sums.runs, (now() - self.began).as_secs());
            eprintln!("{runs} of {} seeds, {} failed, {seconds} s", self.seeds, sums.failed.len());
        }
    }

    /// Whether no run failed, and there was something to see in them.
    pub(crate) fn is_clean(&self) -> bool {
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.failed.is_empty() && sums.runs == self.seeds && sums.faults > 0 && sums.answered > 0
    }

    /// The closing table.
    pub(crate) fn print(&self, twice: u64, unequal: u64) {
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::new();
        table.load_preset(presets::UTF8_BORDERS_ONLY);
        let seconds = (now() - self.began).as_secs_f64();
        for (what, value) in [
            ("seeds", sums.runs.to_string()),
            ("operations answered", sums.answered.to_string()),
            ("events told to watchers", sums.events.to_string()),
            ("faults", sums.faults.to_string()),
            ("leader changes", sums.leader_changes.to_string()),
            ("records judged", sums.records.to_string()),
            ("simulated twice, and not equal", format!("{twice}, {unequal}")),
            ("failed", sums.failed.len().to_string()),
            ("seconds", format!("{seconds:.1}")),
        ] {
            table.add_row([what.to_owned(), value]);
        }
        println!("{table}");
        if !sums.failed.is_empty() {
            println!("failed seeds: {:?}", sums.failed);
        }
    }
}

impl Sums {
    fn new() -> Self {
        Self {
            told_at: now(),
            runs: 0,
            failed: Vec::new(),
            answered: 0,
            events: 0,
            faults: 0,
            leader_changes: 0,
            records: 0,
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long seeds took is told to a person; nothing is decided by it"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
