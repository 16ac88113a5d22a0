//! What a workload gets: ways to the members, a place to write things down, and the sign to stop.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::recorder::Recorder;
use super::watch::{Habit, Watcher};
use crate::harness::{Api, within};
use crate::history::Timers;

/// Clones share everything but the randomness.
#[derive(Debug, Clone)]
pub struct Clients {
    /// One client of each member, in the order of their ids; what is asked by these is not noted.
    pub apis: Vec<Api>,
    /// Where things are noted.
    pub recorder: Recorder,
    /// Cancelled when the run has seen enough.
    pub stop: CancellationToken,
    /// What members want to be shown.
    pub token: String,
    /// The timers of the members.
    pub timers: Timers,
    /// The directory of the run.
    pub folder: PathBuf,
    rng: fastrand::Rng,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    processes: AtomicU32,
    watchers: AtomicU32,
    values: AtomicU64,
    watching: Mutex<Vec<(Watcher, JoinHandle<()>)>>,
    /// Watchers outlive the workloads: they are to see the last state, too.
    stop_watching: CancellationToken,
}

impl Clients {
    /// The clients of a cluster that runs.
    pub fn new(
        apis: Vec<Api>,
        token: String,
        recorder: Recorder,
        timers: Timers,
        folder: PathBuf,
        rng: fastrand::Rng,
    ) -> Self {
        let stop = CancellationToken::new();
        Self { apis, token, recorder, stop, timers, folder, rng, shared: Arc::default() }
    }

    /// A client that notes what it asks and is answered.
    pub fn client(&mut self) -> Client {
        Client::new(self.next_process(), &self.apis, self.recorder.clone(), self.rng.fork())
    }

    /// A name for somebody else who asks, and notes what he asks.
    pub fn next_process(&self) -> u32 {
        self.shared.processes.fetch_add(1, Ordering::Relaxed)
    }

    /// A value that no other registration of this run has.
    pub fn next_value(&self) -> u64 {
        self.shared.values.fetch_add(1, Ordering::Relaxed)
    }

    /// Randomness for a task of its own.
    pub fn fork_rng(&mut self) -> fastrand::Rng {
        self.rng.fork()
    }

    /// Lets somebody follow the feed from now to the end of the run, on one member after the other;
    /// without namespaces, all of it.
    pub fn watch(&mut self, namespaces: &[&str]) {
        self.watch_as(Habit::Restless, namespaces);
    }

    /// Lets somebody follow the whole feed at each member, so that together they miss as little of it as can
    /// be, whichever of the members stand still or are cut off: unknown outcomes are looked up in what they
    /// were told, and what nobody was told costs the search for an order much.
    pub(super) fn watch_steadily(&mut self) {
        for home in 0..self.apis.len() {
            self.watch_as(Habit::Steady { home }, &[]);
        }
    }

    fn watch_as(&mut self, habit: Habit, namespaces: &[&str]) {
        let number = self.shared.watchers.fetch_add(1, Ordering::Relaxed);
        let watcher = Watcher::new(
            number,
            &self.apis,
            namespaces.iter().map(|name| (*name).to_owned()).collect(),
            self.recorder.clone(),
            self.rng.fork(),
            habit,
            self.shared.stop_watching.clone(),
        );
        let task = tokio::spawn(watcher.clone().follow());
        self.shared.watching.lock().unwrap().push((watcher, task));
    }

    /// Waits until every watcher was told something, so that nobody misses what comes first.
    ///
    /// # Errors
    /// One was not, within `limit`.
    pub(super) async fn watchers_have_begun(&self, limit: Duration) -> Result<(), String> {
        let watchers: Vec<_> =
            self.shared.watching.lock().unwrap().iter().map(|(watcher, _)| watcher.clone()).collect();
        let all_have = async || watchers.iter().all(|watcher| watcher.told().is_some()).then_some(());
        within(limit, all_have).await.ok_or_else(|| format!("a watcher was told nothing within {limit:?}"))
    }

    /// Waits until every watcher was told of `revision`, or `limit` has passed, and ends them all.
    ///
    /// # Errors
    /// Who was not told.
    pub async fn end_watching(&self, revision: u64, limit: Duration) -> Result<(), String> {
        let watching = std::mem::take(&mut *self.shared.watching.lock().unwrap());
        let late = || watching.iter().filter(|(watcher, _)| watcher.told() < Some(revision));
        let in_time = within(limit, async || late().next().is_none().then_some(())).await;
        let numbers: Vec<_> = late().map(|(watcher, _)| watcher.number.to_string()).collect();
        self.shared.stop_watching.cancel();
        for (watcher, task) in watching {
            task.await.unwrap_or_else(|error| panic!("watcher {} ended: {error}", watcher.number));
        }
        in_time.ok_or_else(|| {
            format!("not told of revision {revision} within {limit:?}: watcher {}", numbers.join(", "))
        })
    }
}
