//! A legal history that is changed at one place is not legal any more, and some checker says so.

use std::collections::BTreeMap;

use fastrand::Rng;
use jepsen_tests::check;
use jepsen_tests::history::{Action, Answer, FeedItem, History, Observed, Operation, Outcome, Record};
use kenger_types::feed::{Change, ChangeEvent, NodeCause, SnapshotEvent};
use kenger_types::{NodeStatus, Revision, Weight};

use crate::world::{Size, history};

const SIZE: Size = Size {
    clients: 4,
    keys: 4,
    operations_per_client: 40,
    watchers: 3,
    pause: 300_000,
    ttl: 1_000_000,
    unanswered: 8,
};
const SEEDS_PER_CORRUPTION: u64 = 12;

/// Changes one place that is drawn; false if there is none.
type Corruption = fn(&mut History, &mut Rng) -> bool;

const CORRUPTIONS: &[(&str, Corruption)] = &[
    ("a read shows another weight", |h, rng| shown(h, rng, is_read, |node| node.weight += 1)),
    ("a read shows another value", |h, rng| shown(h, rng, is_read, |node| node.value = Some(999_999))),
    ("a read shows another status", |h, rng| {
        shown(h, rng, is_read, |node| node.status = turned(node.status))
    }),
    ("a read shows another number", |h, rng| shown(h, rng, is_read, |node| node.id += 1)),
    ("a read shows an older revision", |h, rng| shown(h, rng, is_read, |node| node.mod_revision -= 1)),
    ("a read is stale", stale),
    ("a read finds nothing", |h, rng| {
        answered(h, rng, is_read, |it| it.outcome = Outcome::Done(Answer::Absent))
    }),
    ("a write shows the next revision", |h, rng| shown(h, rng, is_write, |node| node.mod_revision += 1)),
    ("a write shows another weight", |h, rng| shown(h, rng, is_write, |node| node.weight += 1)),
    ("a write is acknowledged and was not done", not_done),
    ("a write is refused and was done", |h, rng| {
        let reason = "no leader".to_owned();
        answered(h, rng, is_registration, |it| it.outcome = Outcome::NotDone { reason: reason.clone() })
    }),
    ("a watcher misses a change", |h, rng| change(h, rng, |records, at, _| drop(records.remove(at)))),
    ("a watcher is told a change twice", |h, rng| {
        change(h, rng, |records, at, _| records.insert(at, records[at].clone()))
    }),
    ("a watcher is told another weight", |h, rng| body(h, rng, |node_weight| *node_weight = weight(7))),
    ("a snapshot lacks a node", snapshot_lacks),
    ("a member has another weight in the end", |h, rng| {
        state(h, rng, |state| state.nodes[0].weight = weight(7))
    }),
    ("a member lacks a node", |h, rng| state(h, rng, |state| drop(state.nodes.remove(0)))),
    ("a member is at another revision", |h, rng| state(h, rng, |state| state.revision += 1)),
    ("all members lack a node in the end", finals_lack),
    ("a node is marked offline as soon as it was heard from", early),
];

fn weight(weight: i64) -> Weight {
    weight.try_into().unwrap()
}

fn turned(status: NodeStatus) -> NodeStatus {
    if status == NodeStatus::Online { NodeStatus::Offline } else { NodeStatus::Online }
}

fn is_read(operation: &Operation) -> bool {
    operation.action == Action::Read
}

fn is_write(operation: &Operation) -> bool {
    operation.action.is_write()
}

fn is_registration(operation: &Operation) -> bool {
    matches!(operation.action, Action::Register { .. })
}

/// One of the records that are wanted.
fn pick(history: &History, rng: &mut Rng, is_wanted: impl Fn(&Record) -> bool) -> Option<usize> {
    let wanted: Vec<usize> =
        (0..history.records.len()).filter(|place| is_wanted(&history.records[*place])).collect();
    rng.choice(wanted)
}

fn answered(
    history: &mut History,
    rng: &mut Rng,
    is_wanted: fn(&Operation) -> bool,
    corrupt: impl Fn(&mut Operation),
) -> bool {
    let shows = |it: &Operation| is_wanted(it) && matches!(it.outcome, Outcome::Done(Answer::Node(_)));
    let place = pick(history, rng, |record| matches!(record, Record::Operation(it) if shows(it)));
    let Some(Record::Operation(operation)) = place.map(|place| &mut history.records[place]) else {
        return false;
    };
    corrupt(operation);
    true
}

fn shown(
    history: &mut History,
    rng: &mut Rng,
    is_wanted: fn(&Operation) -> bool,
    corrupt: impl Fn(&mut Observed),
) -> bool {
    answered(history, rng, is_wanted, |operation| {
        if let Outcome::Done(Answer::Node(node)) = &mut operation.outcome {
            corrupt(node);
        }
    })
}

/// A read gets the answer that an earlier one of the same node got, with another revision.
fn stale(history: &mut History, rng: &mut Rng) -> bool {
    let mut seen: BTreeMap<_, Observed> = BTreeMap::new();
    let mut possible = Vec::new();
    for (place, record) in history.records.iter().enumerate() {
        let Record::Operation(operation) = record else { continue };
        let Outcome::Done(Answer::Node(node)) = &operation.outcome else { continue };
        match seen.get(&operation.key) {
            Some(old) if is_read(operation) && old.mod_revision < node.mod_revision => {
                possible.push((place, old.clone()));
            }
            _ => {
                seen.insert(operation.key.clone(), node.clone());
            }
        }
    }
    let Some((place, old)) = rng.choice(possible) else { return false };
    let Record::Operation(operation) = &mut history.records[place] else { return false };
    // Under way at once, the older answer would be right.
    operation.called = operation.returned;
    operation.outcome = Outcome::Done(Answer::Node(Observed { revision: None, ..old }));
    true
}

/// A registration that nobody carried out is acknowledged, at a revision that is past.
fn not_done(history: &mut History, rng: &mut Rng) -> bool {
    let is_refused = |record: &Record| matches!(record, Record::Operation(it) if is_registration(it) && matches!(it.outcome, Outcome::NotDone { .. }));
    let Some(place) = pick(history, rng, is_refused) else { return false };
    let Record::Operation(operation) = &mut history.records[place] else { return false };
    let Action::Register { weight, value, .. } = operation.action else { return false };
    operation.outcome = Outcome::Done(Answer::Node(Observed {
        id: 1,
        value: Some(value),
        weight,
        registered_weight: weight,
        status: NodeStatus::Online,
        mod_revision: 10,
        revision: None,
    }));
    true
}

fn change(history: &mut History, rng: &mut Rng, corrupt: impl Fn(&mut Vec<Record>, usize, &mut Rng)) -> bool {
    let is_change =
        |record: &Record| matches!(record, Record::Feed(it) if matches!(it.item, FeedItem::Change { .. }));
    let Some(place) = pick(history, rng, is_change) else { return false };
    corrupt(&mut history.records, place, rng);
    true
}

fn body(history: &mut History, rng: &mut Rng, corrupt: impl Fn(&mut Weight)) -> bool {
    let is_put = |record: &Record| matches!(record, Record::Feed(it) if matches!(&it.item, FeedItem::Change { body, .. } if body.contains("node_put")));
    let Some(place) = pick(history, rng, is_put) else { return false };
    let Record::Feed(feed) = &mut history.records[place] else { return false };
    let FeedItem::Change { body, .. } = &mut feed.item else { return false };
    let mut event: ChangeEvent = serde_json::from_str(body).unwrap();
    for change in &mut event.changes {
        if let Change::NodePut { node, .. } = change {
            corrupt(&mut node.weight);
        }
    }
    *body = serde_json::to_string(&event).unwrap();
    true
}

fn snapshot_lacks(history: &mut History, rng: &mut Rng) -> bool {
    let is_snapshot = |record: &Record| matches!(record, Record::Feed(it) if matches!(&it.item, FeedItem::Snapshot { body, .. } if body.contains("host")));
    let Some(place) = pick(history, rng, is_snapshot) else { return false };
    let Record::Feed(feed) = &mut history.records[place] else { return false };
    let FeedItem::Snapshot { body, .. } = &mut feed.item else { return false };
    let mut snapshot: SnapshotEvent = serde_json::from_str(body).unwrap();
    snapshot.nodes.pop();
    *body = serde_json::to_string(&snapshot).unwrap();
    true
}

fn state(
    history: &mut History,
    rng: &mut Rng,
    corrupt: impl Fn(&mut jepsen_tests::history::StateRecord),
) -> bool {
    let is_state = |record: &Record| matches!(record, Record::State(it) if !it.nodes.is_empty());
    let Some(place) = pick(history, rng, is_state) else { return false };
    let Record::State(state) = &mut history.records[place] else { return false };
    corrupt(state);
    true
}

fn finals_lack(history: &mut History, _: &mut Rng) -> bool {
    let mut any = false;
    for record in &mut history.records {
        if let Record::State(state) = record
            && state.is_final
        {
            any |= state.nodes.pop().is_some();
        }
    }
    any
}

/// All watchers are told, and all members have, that a node is offline one revision after it registered:
/// everything else is as it should be.
fn early(history: &mut History, rng: &mut Rng) -> bool {
    let is_registration = |record: &Record| matches!(record, Record::Feed(it) if matches!(&it.item, FeedItem::Change { body, .. } if body.contains(r#""cause":"registered""#)));
    // The last revision, so that nothing else has to be told in another way.
    let Some(place) =
        (0..history.records.len()).rev().find(|place| is_registration(&history.records[*place]))
    else {
        return false;
    };
    let Record::Feed(feed) = &history.records[place] else { return false };
    let FeedItem::Change { body, .. } = &feed.item else { return false };
    let mut event: ChangeEvent = serde_json::from_str(body).unwrap();
    let at = feed.at;
    let last = event.revision.0;
    let Some(Change::NodePut { cause, node }) =
        event.changes.iter_mut().find(|change| matches!(change, Change::NodePut { .. }))
    else {
        return false;
    };
    (*cause, node.status, node.mod_revision) = (NodeCause::Expired, NodeStatus::Offline, Revision(last + 1));
    let changes = vec![Change::NodePut { cause: *cause, node: node.clone() }];
    let body = serde_json::to_string(&ChangeEvent { revision: Revision(last + 1), changes }).unwrap();
    history.records.retain(|record| match record {
        Record::Feed(it) => it.at <= at,
        Record::Operation(it) => it.returned <= at,
        Record::State(it) => it.at <= at && !it.is_final,
        _ => true,
    });
    let _ = rng;
    let mut told = feed_after(history, place);
    told.at += 1_000;
    told.item = FeedItem::Change { id: Some(last + 1), body };
    history.records.push(Record::Feed(told));
    true
}

fn feed_after(history: &History, place: usize) -> jepsen_tests::history::FeedRecord {
    match &history.records[place] {
        Record::Feed(feed) => feed.clone(),
        _ => unreachable!("the place of a record of the feed"),
    }
}

#[test]
fn a_history_with_one_corruption_is_caught() {
    let (mut made, mut caught) = (0, 0);
    let mut by: BTreeMap<String, u32> = BTreeMap::new();
    for (name, corrupt) in CORRUPTIONS {
        let (mut here, mut caught_here) = (0, 0);
        for seed in 0..SEEDS_PER_CORRUPTION {
            let mut history = history(seed, SIZE);
            if !corrupt(&mut history, &mut Rng::with_seed(seed)) {
                continue;
            }
            here += 1;
            let findings = check::judge(&history);
            let failed: Vec<_> = findings.iter().filter(|finding| !finding.verdict.is_pass()).collect();
            caught_here += u32::from(!failed.is_empty());
            for finding in failed {
                for problem in &finding.problems {
                    *by.entry(format!("{} {}", finding.checker, problem.rule)).or_default() += 1;
                }
            }
        }
        println!("{caught_here} of {here}: {name}");
        assert!(here > 0, "{name}: never possible");
        (made, caught) = (made + here, caught + caught_here);
    }
    println!("{caught} of {made} corrupted histories are caught, by {by:#?}");
    assert!(caught * 100 >= made * 98, "{caught} of {made}");
}
