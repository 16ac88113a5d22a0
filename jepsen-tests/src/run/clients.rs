//! What a workload gets: ways to the members, a place to write things down, and the sign to stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio_util::sync::CancellationToken;

use super::recorder::Recorder;
use crate::harness::Api;
use crate::history::Timers;

/// Clones share everything but the randomness.
#[derive(Debug, Clone)]
pub struct Clients {
    /// One client of each member, in the order of their ids.
    pub apis: Vec<Api>,
    /// Where things are noted.
    pub recorder: Recorder,
    /// Cancelled when the run has seen enough.
    pub stop: CancellationToken,
    /// The timers of the members.
    pub timers: Timers,
    /// The directory of the run.
    pub folder: PathBuf,
    /// Whatever a workload decides by chance; fork it for each task.
    pub rng: fastrand::Rng,
    processes: Arc<AtomicU32>,
    watchers: Arc<AtomicU32>,
}

impl Clients {
    /// The clients of a cluster that runs.
    pub fn new(
        apis: Vec<Api>,
        recorder: Recorder,
        timers: Timers,
        folder: PathBuf,
        rng: fastrand::Rng,
    ) -> Self {
        Self {
            apis,
            recorder,
            stop: CancellationToken::new(),
            timers,
            folder,
            rng,
            processes: Arc::default(),
            watchers: Arc::default(),
        }
    }

    /// A number for somebody who makes one request at a time.
    pub fn next_process(&self) -> u32 {
        self.processes.fetch_add(1, Ordering::Relaxed)
    }

    /// A number for somebody who follows the feed with one cursor.
    pub fn next_watcher(&self) -> u32 {
        self.watchers.fetch_add(1, Ordering::Relaxed)
    }
}
