//! A service that says that it is alive, as an SDK does: at a steady pace, to the next member if one
//! does not answer. It is in no hurry after a failure, because not every client is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kenger_types::ErrorCode;
use kenger_types::api::NodeAddress;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::harness::Api;

/// A member that does not answer within this time is given up for the next one.
const ANSWER_LIMIT: Duration = Duration::from_millis(600);

/// What came of the heartbeats.
#[derive(Debug, Clone, Default)]
pub struct PulseReport {
    /// When heartbeats were acknowledged.
    pub acknowledged: Vec<Instant>,
    /// How many were refused or got no answer.
    pub failed: u64,
    /// A member said that it does not know the node.
    pub unknown_node: Vec<String>,
}

impl PulseReport {
    /// The longest time between two acknowledged heartbeats.
    pub fn longest_gap(&self) -> Duration {
        self.acknowledged.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}

/// Heartbeats of one node at an interval.
#[derive(Debug)]
pub struct Pulse {
    stop: Arc<AtomicBool>,
    task: JoinHandle<PulseReport>,
}

impl Pulse {
    /// Begins; the first member of `apis` is asked as long as it answers.
    pub fn start(apis: &[Api], node: NodeAddress, every: Duration) -> Self {
        let apis: Vec<_> = apis.iter().map(|api| api.with_limit(ANSWER_LIMIT)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(beat(apis, node, every, Arc::clone(&stop)));
        Self { stop, task }
    }

    /// Ends it.
    pub async fn finish(mut self) -> PulseReport {
        self.stop.store(true, Ordering::Relaxed);
        (&mut self.task).await.unwrap()
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn beat(apis: Vec<Api>, node: NodeAddress, every: Duration, stop: Arc<AtomicBool>) -> PulseReport {
    let mut report = PulseReport::default();
    let mut at = 0;
    let mut beats = tokio::time::interval(every);
    while !stop.load(Ordering::Relaxed) {
        beats.tick().await;
        let outcome = apis[at % apis.len()].heartbeat(&node).await;
        if outcome.is_acknowledged() {
            report.acknowledged.push(Instant::now());
            continue;
        }
        report.failed += 1;
        at += 1;
        if outcome.code() == Some(ErrorCode::NodeNotFound) {
            report.unknown_node.push(format!("{outcome:?}"));
        }
    }
    report
}
