//! A subscriber that resumes wherever it can, and checks every event.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kenger_types::feed::{BookmarkEvent, ChangeEvent, EventName, LeaderEvent, SnapshotEvent};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::replica::Replica;
use crate::harness::{Api, Sse, SseEvent, eventually};

/// Between two tries to subscribe.
const RETRY_EVERY: Duration = Duration::from_millis(100);
/// A stream that says nothing for so long is dead: a bookmark comes every five seconds.
const SILENCE_LIMIT: Duration = Duration::from_secs(8);

/// What a subscriber has seen.
#[derive(Debug, Clone, Default)]
pub struct WatchReport {
    /// What it knows now.
    pub replica: Replica,
    /// The changes of each revision, as they were sent.
    pub changes: BTreeMap<u64, String>,
    /// Of each snapshot: the revision before and that of the snapshot.
    pub snapshots: Vec<(u64, u64)>,
    /// How often it subscribed with success.
    pub streams: u64,
    /// Broken promises.
    pub problems: Vec<String>,
}

impl WatchReport {
    fn take(&mut self, event: &SseEvent, is_first: bool) -> Result<(), String> {
        let name = EventName::from_name(&event.name).ok_or(format!("an event {:?}", event.name))?;
        let before = self.replica.revision;
        let parsed = |error| format!("{}: {error}", event.data);
        let revision = match name {
            EventName::Snapshot => {
                let snapshot: SnapshotEvent = serde_json::from_str(&event.data).map_err(parsed)?;
                self.snapshots.push((before, snapshot.revision.0));
                self.replica.replace(snapshot);
                Some(self.replica.revision)
            }
            EventName::Change => {
                let change: ChangeEvent = serde_json::from_str(&event.data).map_err(parsed)?;
                self.replica.apply(change)?;
                self.changes.insert(self.replica.revision, event.data.clone());
                Some(self.replica.revision)
            }
            EventName::Bookmark => {
                let bookmark: BookmarkEvent = serde_json::from_str(&event.data).map_err(parsed)?;
                Some(bookmark.revision.0)
            }
            EventName::Leader => {
                let _: LeaderEvent = serde_json::from_str(&event.data).map_err(parsed)?;
                None
            }
        };
        if is_first && !matches!(name, EventName::Snapshot | EventName::Bookmark) {
            return Err(format!("a stream began with an event {:?}", event.name));
        }
        if revision.is_some_and(|revision| revision != self.replica.revision || event.id != Some(revision)) {
            return Err(format!("{event:?} at revision {}", self.replica.revision));
        }
        if self.replica.revision < before {
            return Err(format!("the feed went back from {before} to {}", self.replica.revision));
        }
        Ok(())
    }
}

/// A subscriber. It goes to the next member when a stream ends, and resumes there.
#[derive(Debug)]
pub struct Watcher {
    report: Arc<Mutex<WatchReport>>,
    task: JoinHandle<()>,
}

impl Watcher {
    /// Subscribes to the member at `first` of `apis`.
    pub fn start(apis: Vec<Api>, first: usize) -> Self {
        let report = Arc::new(Mutex::new(WatchReport::default()));
        let task = tokio::spawn(follow(apis, first, Arc::clone(&report)));
        Self { report, task }
    }

    /// What it has seen until now.
    pub fn report(&self) -> WatchReport {
        self.report.lock().unwrap().clone()
    }

    /// Waits until it has been told of `revision`, and ends it.
    ///
    /// # Panics
    /// It has not been told within `limit`, or saw a broken promise.
    pub async fn finish(self, revision: u64, limit: Duration) -> WatchReport {
        let what = format!("a watcher is told of revision {revision}");
        eventually(&what, limit, async || {
            let report = self.report.lock().unwrap();
            !report.problems.is_empty() || report.replica.revision >= revision
        })
        .await;
        self.task.abort();
        let report = self.report();
        assert_eq!(report.problems, Vec::<String>::new());
        report
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(apis: Vec<Api>, first: usize, report: Arc<Mutex<WatchReport>>) {
    for api in apis.iter().cycle().skip(first) {
        let after = {
            let report = report.lock().unwrap();
            (report.streams > 0).then_some(report.replica.revision)
        };
        if let Ok(stream) = Sse::open(api, after).await {
            report.lock().unwrap().streams += 1;
            if let Err(problem) = follow_one(stream, &report).await {
                report.lock().unwrap().problems.push(format!("at member {}: {problem}", api.member));
                return;
            }
        }
        sleep(RETRY_EVERY).await;
    }
}

/// Until the stream ends.
async fn follow_one(mut stream: Sse, report: &Mutex<WatchReport>) -> Result<(), String> {
    let mut is_first = true;
    // A member that was stopped says nothing and closes nothing: then it is left.
    while let Ok(Some(event)) = tokio::time::timeout(SILENCE_LIMIT, stream.next()).await {
        report.lock().unwrap().take(&event, is_first)?;
        is_first = false;
    }
    Ok(())
}
