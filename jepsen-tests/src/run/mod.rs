//! A run: a cluster, clients, faults, and the history of it all.

mod arena;
mod client;
mod clients;
mod mix;
mod monitor;
mod plan;
mod probe;
mod recorder;
mod schedule;
mod stage;
mod verdicts;
mod watch;

use std::any::Any;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub use arena::{Arena, Setup, process};
pub use client::{ANSWER_LIMIT, Client, address, outcome_of, valued};
pub use clients::Clients;
pub use mix::{Combination, draw, short};
pub use monitor::{look_after, state};
pub use plan::{Backend, MEMBERS, Plan, Store, TIME_LIMITS};
pub use probe::write_on;
pub use recorder::{RECORDS_MAX, Recorder, Tally};
use stage::Stopped;
pub use verdicts::{Conclusion, HISTORY_FILE, VACUITY, VERDICTS_FILE, Verdicts};

pub(crate) use watch::feed_item;

use crate::check;
use crate::history::{History, Run};

/// A workload ends within this time after it was told to stop: what it waits for is bounded by less.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(15);
/// Judging a history takes no longer; if it does, nothing is known about it.
pub const JUDGE_LIMIT: Duration = Duration::from_secs(180);
/// How often somebody who watches a run is told how it goes.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// How a run goes.
#[derive(Debug, Clone)]
pub struct Progress {
    /// What it is at, for people.
    pub stage: String,
    /// How long it takes already.
    pub elapsed: Duration,
    /// What was noted so far.
    pub tally: Tally,
}

/// What the thread of a run and whoever waits for it have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    began_unix_ms: u64,
    recorder: Recorder,
    run: Mutex<Option<Run>>,
    stage: Mutex<String>,
}

impl Shared {
    fn stage(&self, stage: &str) {
        stage.clone_into(&mut lock(&self.stage));
    }

    fn describe(&self, run: Run) {
        *lock(&self.run) = Some(run);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a run and judges it. Everything is in the folder of the plan afterwards: the history, the
/// verdicts, what the processes logged. A run that fails for a reason of its own is judged as far as it
/// came.
///
/// # Errors
/// The folder cannot be written, or is not empty.
pub fn execute(plan: &Plan, tell: &mut dyn FnMut(&Progress)) -> io::Result<Verdicts> {
    fs::create_dir_all(&plan.folder)?;
    if fs::read_dir(&plan.folder)?.next().is_some() {
        let what = format!("{} is not empty", plan.folder.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    }
    let shared = Arc::new(Shared {
        began_unix_ms: wall_clock_ms(),
        recorder: Recorder::new(),
        run: Mutex::default(),
        stage: Mutex::default(),
    });
    let (failures, is_impossible) = match wait_for_run(plan, &shared, tell) {
        Ok(problems) => (problems, false),
        Err(Stopped::Failed(reason)) => (vec![reason], false),
        Err(Stopped::Lacks(reason)) => (vec![reason], true),
    };
    let run = lock(&shared.run).take();
    let Some(run) = run else {
        // It has not even begun.
        let verdicts = Verdicts::without_history(failures, is_impossible);
        verdicts.write(&plan.folder)?;
        return Ok(verdicts);
    };
    let history = Arc::new(History { run, records: shared.recorder.take() });
    history.write(BufWriter::new(File::create(plan.folder.join(HISTORY_FILE))?))?;
    let verdicts = judge(&history, failures, None);
    verdicts.write(&plan.folder)?;
    Ok(verdicts)
}

/// Milliseconds since 1970, to put a history beside the logs of the members.
#[expect(clippy::disallowed_methods, reason = "for people, who compare it with the stamps of logs")]
pub fn wall_clock_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).expect("a time in this age of the world")
}

/// Answers what went wrong beside what the history tells.
fn wait_for_run(
    plan: &Plan,
    shared: &Arc<Shared>,
    tell: &mut dyn FnMut(&Progress),
) -> Result<Vec<String>, Stopped> {
    let began = Instant::now();
    let (done, ended) = mpsc::channel();
    let thread = {
        let (plan, shared) = (plan.clone(), Arc::clone(shared));
        // A thread of its own, because its network and mount namespaces may be changed for good.
        std::thread::Builder::new().name("run".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let outcome = runtime.block_on(stage::run(&plan, &shared));
            // Whoever waited may have given up.
            let _ = done.send(outcome);
        })
    };
    let thread = thread.expect("a thread for the run");
    loop {
        match ended.recv_timeout(TELL_EVERY) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Disconnected) => {
                let panic = thread.join().expect_err("it has said nothing, so it has panicked");
                return Err(Stopped::Failed(format!("while {}: {}", lock(&shared.stage), said(&*panic))));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        let elapsed = began.elapsed();
        tell(&Progress { stage: lock(&shared.stage).clone(), elapsed, tally: shared.recorder.tally() });
        if elapsed > plan.hard_limit() {
            // The thread is left alone: its processes end with this one.
            let stage = lock(&shared.stage);
            let limit = plan.hard_limit();
            return Err(Stopped::Failed(format!(
                "not over after {limit:?}, the hard limit of a run: {stage}"
            )));
        }
    }
}

/// What somebody who panicked said.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the harness panicked: {}", text.unwrap_or("it did not say why"))
}

/// Judges a history, within [`JUDGE_LIMIT`]. `checkers`: these alone.
pub fn judge(history: &Arc<History>, failures: Vec<String>, checkers: Option<&[String]>) -> Verdicts {
    let (done, ended) = mpsc::channel();
    let (of_thread, wanted) = (Arc::clone(history), checkers.map(<[String]>::to_vec));
    let judging = std::thread::Builder::new().name("judge".to_owned()).spawn(move || {
        let mut findings = check::judge(&of_thread);
        if let Some(wanted) = wanted {
            findings.retain(|finding| wanted.contains(&finding.checker));
        }
        // Whoever waited may have given up.
        let _ = done.send(findings);
    });
    let thread = judging.expect("a thread for the checkers");
    let (findings, failure) = match ended.recv_timeout(JUDGE_LIMIT) {
        Ok(findings) => (findings, None),
        Err(RecvTimeoutError::Timeout) => {
            (Vec::new(), Some(format!("the checkers have not come to an end within {JUDGE_LIMIT:?}")))
        }
        Err(RecvTimeoutError::Disconnected) => {
            let panic = thread.join().expect_err("it has said nothing, so it has panicked");
            (Vec::new(), Some(format!("a checker failed: {}", said(&*panic))))
        }
    };
    Verdicts::new(history.run.clone(), failures.into_iter().chain(failure).collect(), findings)
}

/// Reads a history from a file, or from the directory of a run.
///
/// # Errors
/// There is none, or it is not whole.
pub fn read_history(path: &Path) -> Result<History, String> {
    let file = if path.is_dir() { path.join(HISTORY_FILE) } else { path.to_owned() };
    let opened = File::open(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    History::read(io::BufReader::new(opened)).map_err(|error| format!("{}: {error}", file.display()))
}
