//! Concurrent writers that note what was acknowledged, and a ledger that finds what was lost.
//!
//! Each writer keeps a counter in the metadata of one node, adds nodes and removes some of them again,
//! one request after the other. What was acknowledged must be there in the end, what was refused must
//! not, and what got no answer may be either.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use kenger_types::api::NodeAddress;
use kenger_types::{ErrorCode, Metadata, Node};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::harness::{Api, Outcome};

/// Between two requests of one writer.
const PACE: Duration = Duration::from_millis(8);
/// After a failure, before the next member is asked.
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// Most requests of one writer, so that no test grows without bound.
const REQUESTS_MAX: u64 = 4_000;
/// Where the added nodes' ports begin; the counter's port is below.
const FIRST_ADDED_PORT: u16 = 1_000;
const COUNTER_PORT: u16 = 1;

/// What is known about one thing that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    NotDone,
    Unknown,
}

impl Fate {
    fn of<T>(outcome: &Outcome<T>) -> Self {
        match outcome {
            Outcome::Acknowledged(_) => Fate::Done,
            Outcome::Refused(_) | Outcome::Unreached => Fate::NotDone,
            Outcome::Unknown(_) | Outcome::Foreign(_) => Fate::Unknown,
        }
    }
}

/// What one writer asked for.
#[derive(Debug, Clone, Default)]
struct Notes {
    /// Each value of the counter.
    counter: BTreeMap<u64, Fate>,
    /// Each added node, by port.
    added: BTreeMap<u16, Fate>,
    /// Each removal, by port.
    removed: BTreeMap<u16, Fate>,
    /// Answers that a correct cluster does not give.
    strange: Vec<String>,
}

/// What all writers asked for, and what became of it.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    writers: Vec<Notes>,
}

/// Writers at work.
#[derive(Debug)]
pub struct Writers {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<Notes>>,
}

impl Writers {
    /// Sets `count` writers to work on these members.
    pub fn start(apis: &[Api], count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let tasks = (0..count)
            .map(|number| {
                let writer = Writer {
                    number,
                    apis: apis.to_vec(),
                    at: number,
                    notes: Notes::default(),
                    acknowledged: Arc::clone(&acknowledged),
                };
                tokio::spawn(writer.work(Arc::clone(&stop)))
            })
            .collect();
        Self { stop, acknowledged, tasks }
    }

    /// How many writes have been acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Lets the writers finish what they are at.
    pub async fn finish(self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        let mut writers = Vec::new();
        for task in self.tasks {
            writers.push(task.await.unwrap());
        }
        Ledger { writers }
    }
}

struct Writer {
    number: usize,
    apis: Vec<Api>,
    at: usize,
    notes: Notes,
    acknowledged: Arc<AtomicU64>,
}

impl Writer {
    async fn work(mut self, stop: Arc<AtomicBool>) -> Notes {
        for turn in 0..REQUESTS_MAX {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let fate = match turn % 5 {
                0 | 2 | 4 => self.count(turn).await,
                1 => self.add(u16::try_from(turn).unwrap() + FIRST_ADDED_PORT).await,
                _ => self.remove().await,
            };
            if fate == Fate::Done {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                sleep(PACE).await;
            } else {
                self.at += 1;
                sleep(RETRY_AFTER).await;
            }
        }
        self.notes
    }

    fn api(&self) -> &Api {
        &self.apis[self.at % self.apis.len()]
    }

    async fn count(&mut self, value: u64) -> Fate {
        let outcome = self.api().register(&address(self.number, COUNTER_PORT), counter(value)).await;
        let fate = self.judge(&outcome, "count");
        self.notes.counter.insert(value, fate);
        fate
    }

    async fn add(&mut self, port: u16) -> Fate {
        let outcome = self.api().register(&address(self.number, port), Metadata::default()).await;
        let fate = self.judge(&outcome, "add");
        self.notes.added.insert(port, fate);
        fate
    }

    /// Every other added node is removed again.
    async fn remove(&mut self) -> Fate {
        let removable = self.notes.added.iter().rev().find(|(port, fate)| {
            **fate == Fate::Done && !self.notes.removed.contains_key(*port) && **port % 2 == 0
        });
        let Some((port, _)) = removable else { return Fate::Done };
        let port = *port;
        let outcome = self.api().deregister(&address(self.number, port)).await;
        let fate = self.judge(&outcome, "remove");
        self.notes.removed.insert(port, fate);
        fate
    }

    fn judge<T: std::fmt::Debug>(&mut self, outcome: &Outcome<T>, what: &str) -> Fate {
        let expected = [None, Some(ErrorCode::NoLeader), Some(ErrorCode::NotReady)];
        if !expected.contains(&outcome.code()) {
            self.notes.strange.push(format!("{what}: {outcome:?}"));
        }
        Fate::of(outcome)
    }
}

fn address(writer: usize, port: u16) -> NodeAddress {
    NodeAddress {
        ns: "writers".parse().unwrap(),
        host: format!("writer-{writer}").parse().unwrap(),
        port: i64::from(port).try_into().unwrap(),
    }
}

fn counter(value: u64) -> Metadata {
    BTreeMap::from([("counter".to_owned(), value.to_string())]).try_into().unwrap()
}

impl Ledger {
    /// How many writes were acknowledged, and of how many the outcome is unknown.
    pub fn totals(&self) -> (usize, usize) {
        let fates = self.writers.iter().flat_map(|notes| {
            notes.counter.values().chain(notes.added.values()).chain(notes.removed.values())
        });
        let fates: Vec<_> = fates.collect();
        let count = |wanted| fates.iter().filter(|fate| ***fate == wanted).count();
        (count(Fate::Done), count(Fate::Unknown))
    }

    /// How the nodes that are there contradict what was answered; nothing if they do not.
    pub fn contradictions(&self, nodes: &[Node]) -> Vec<String> {
        let mut found = Vec::new();
        for (number, notes) in self.writers.iter().enumerate() {
            let host = format!("writer-{number}");
            let present: BTreeMap<u16, &Node> = nodes
                .iter()
                .filter(|node| node.host.as_str() == host)
                .map(|node| (node.port.get(), node))
                .collect();
            let say = |what: String| format!("{host}: {what}");
            found.extend(notes.strange.iter().cloned().map(say));
            found.extend(notes.lost_count(present.get(&COUNTER_PORT).copied()).map(say));
            found.extend(notes.lost_nodes(&present).into_iter().map(say));
        }
        found
    }
}

impl Notes {
    fn lost_count(&self, node: Option<&Node>) -> Option<String> {
        let value = node.map(|node| node.metadata.get("counter").expect("a counter").parse::<u64>().unwrap());
        let last_done =
            self.counter.iter().rev().find(|(_, fate)| **fate == Fate::Done).map(|(value, _)| *value);
        let is_possible = match value {
            None => last_done.is_none(),
            Some(value) => last_done == Some(value) || self.counter.get(&value) == Some(&Fate::Unknown),
        };
        (!is_possible).then(|| format!("the counter was set to {last_done:?} and is {value:?}"))
    }

    fn lost_nodes(&self, present: &BTreeMap<u16, &Node>) -> Vec<String> {
        let judge = |(port, added): (&u16, &Fate)| {
            let removed = self.removed.get(port).copied().unwrap_or(Fate::NotDone);
            let is_there = present.contains_key(port);
            match (added, removed, is_there) {
                (Fate::Done, Fate::NotDone, false) => Some(format!("node {port} was added and is gone")),
                (Fate::Done, Fate::Done, true) => Some(format!("node {port} was removed and is there")),
                (Fate::NotDone, _, true) => Some(format!("node {port} was refused and is there")),
                _ => None,
            }
        };
        let foreign = present.keys().filter(|port| **port != COUNTER_PORT && !self.added.contains_key(port));
        let foreign = foreign.map(|port| format!("nobody asked for node {port}"));
        self.added.iter().filter_map(judge).chain(foreign).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(counter: &[(u64, Fate)], added: &[(u16, Fate)], removed: &[(u16, Fate)]) -> Ledger {
        let notes = Notes {
            counter: counter.iter().copied().collect(),
            added: added.iter().copied().collect(),
            removed: removed.iter().copied().collect(),
            strange: Vec::new(),
        };
        Ledger { writers: vec![notes] }
    }

    fn node(port: u16, counter: Option<u64>) -> Node {
        let metadata = counter.map(|value| serde_json::json!({"counter": value.to_string()}));
        serde_json::from_value(serde_json::json!({
            "id": port, "ns": "writers", "host": "writer-0", "port": port, "weight": 100,
            "registered_weight": 100, "health_path": null, "status": "online",
            "metadata": metadata.unwrap_or(serde_json::json!({})),
            "created_at": "2026-01-02T03:04:05.678Z", "updated_at": "2026-01-02T03:04:05.678Z",
            "mod_revision": 1
        }))
        .unwrap()
    }

    #[test]
    fn a_lost_a_resurrected_and_an_invented_write_are_found() {
        use Fate::{Done, NotDone, Unknown};
        let count = |counter: &[(u64, Fate)], is: Option<u64>| {
            let nodes: Vec<_> = is.map(|value| node(COUNTER_PORT, Some(value))).into_iter().collect();
            notes(counter, &[], &[]).contradictions(&nodes).len()
        };
        assert_eq!(count(&[(0, Done), (2, Done)], Some(2)), 0);
        assert_eq!(count(&[(0, Done), (2, Done)], Some(0)), 1, "lost");
        assert_eq!(count(&[(0, Done), (2, Done)], None), 1, "lost");
        assert_eq!(count(&[(0, Done), (2, Unknown)], Some(2)), 0);
        assert_eq!(count(&[(0, Done), (2, Unknown)], Some(0)), 0);
        assert_eq!(count(&[(0, Done), (2, NotDone)], Some(2)), 1, "refused and there");
        assert_eq!(count(&[(0, Unknown)], None), 0);

        let added = |added: &[(u16, Fate)], removed: &[(u16, Fate)], present: &[u16]| {
            let nodes: Vec<_> = present.iter().map(|port| node(*port, None)).collect();
            notes(&[], added, removed).contradictions(&nodes).len()
        };
        assert_eq!(added(&[(1_000, Done)], &[], &[1_000]), 0);
        assert_eq!(added(&[(1_000, Done)], &[], &[]), 1, "lost");
        assert_eq!(added(&[(1_000, Done)], &[(1_000, Done)], &[1_000]), 1, "resurrected");
        assert_eq!(added(&[(1_000, Done)], &[(1_000, Unknown)], &[1_000]), 0);
        assert_eq!(added(&[(1_000, Done)], &[(1_000, Unknown)], &[]), 0);
        assert_eq!(added(&[(1_000, NotDone)], &[], &[1_000]), 1, "refused and there");
        assert_eq!(added(&[], &[], &[1_000]), 1, "invented");
    }
}
