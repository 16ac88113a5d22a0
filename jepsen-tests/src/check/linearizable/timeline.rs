//! What became of one node as the feed tells it: the changes that a search has to explain, in the only
//! order in which they can have happened.

use std::collections::BTreeMap;

use kenger_types::feed::{Change, NodeCause};
use kenger_types::{Node, NodeStatus};

use super::super::Evidence;
use super::super::evidence::{Event, is_at, value_of};
use crate::history::{Key, Micros};

/// A node, or that there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) revision: u64,
    /// When a watcher had been told of it, or of a later one.
    pub(super) seen: Micros,
    pub(super) place: usize,
    pub(super) cause: Cause,
    /// The node after it; `None`: it is gone.
    pub(super) node: Option<View>,
}

/// What can have made a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Register,
    SetWeight,
    Deregister,
    /// Silence, or that the node was heard from again.
    Lease,
    /// Nobody whose requests are in the history.
    Other,
}

/// A node as it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    pub(super) id: u64,
    pub(super) value: Option<u64>,
    pub(super) weight: u32,
    pub(super) registered_weight: u32,
    pub(super) is_online: bool,
    pub(super) mod_revision: u64,
}

impl View {
    fn of(node: &Node) -> Self {
        Self {
            id: node.id.0,
            value: value_of(node),
            weight: node.weight.get().into(),
            registered_weight: node.registered_weight.get().into(),
            is_online: node.status == NodeStatus::Online,
            mod_revision: node.mod_revision.0,
        }
    }
}

/// The changes of one node from a revision on, without a gap.
#[derive(Debug, Clone, Default)]
pub(super) struct Timeline {
    pub(super) base_revision: u64,
    pub(super) base: Option<View>,
    pub(super) told: Vec<Told>,
    /// Up to here nothing else happened.
    pub(super) last_revision: u64,
    /// Nothing that an answer in the history can show happened after that.
    pub(super) is_closed: bool,
}

impl Timeline {
    /// How many changes had been told before `at`.
    pub(super) fn told_before(&self, at: Micros) -> usize {
        self.told.partition_point(|told| told.seen < at)
    }
}

/// The changes of every node that the feed told of, complete or not.
pub(super) fn changes(evidence: &Evidence<'_>) -> BTreeMap<Key, Vec<Told>> {
    let mut of_key: BTreeMap<Key, Vec<Told>> = BTreeMap::new();
    for (revision, event) in &evidence.told {
        let told =
            |cause, node| Told { revision: *revision, seen: event.seen, place: event.place, cause, node };
        for change in &event.event.changes {
            match change {
                Change::NodePut { cause, node } => {
                    let told = told(cause_of(*cause), Some(View::of(node)));
                    of_key
                        .entry(key(node.ns.as_str(), node.host.as_str(), node.port.get()))
                        .or_default()
                        .push(told);
                }
                Change::NodeDeleted { cause, ns, host, port, .. } => {
                    let told = told(cause_of(*cause), None);
                    of_key.entry(key(ns.as_str(), host.as_str(), port.get())).or_default().push(told);
                }
                Change::NamespaceDeleted { name, .. } => {
                    let gone = of_key.iter_mut().filter(|(key, _)| key.ns == name.as_str());
                    gone.for_each(|(_, changes)| changes.push(told(Cause::Other, None)));
                }
                Change::NamespacePut { .. } => {}
            }
        }
    }
    for changes in of_key.values_mut() {
        // Who was told of a later one knows that the earlier ones had happened.
        for at in (1..changes.len()).rev() {
            changes[at - 1].seen = changes[at - 1].seen.min(changes[at].seen);
        }
    }
    of_key
}

fn key(ns: &str, host: &str, port: u16) -> Key {
    Key { ns: ns.to_owned(), host: host.to_owned(), port }
}

fn cause_of(cause: NodeCause) -> Cause {
    match cause {
        NodeCause::Registered => Cause::Register,
        NodeCause::Weight => Cause::SetWeight,
        NodeCause::Deregistered => Cause::Deregister,
        NodeCause::Expired | NodeCause::Returned => Cause::Lease,
        NodeCause::Updated | NodeCause::Deleted | NodeCause::NamespaceRenamed => Cause::Other,
    }
}

/// The timeline of a node whose first write was asked for at `first_write`; `None` if the feed does not
/// tell all of it from the beginning.
pub(super) fn timeline(
    evidence: &Evidence<'_>,
    key: &Key,
    changes: &[Told],
    first_write: Micros,
) -> Option<Timeline> {
    let (base_revision, last_revision) = *evidence.covered(&key.ns).first()?;
    let base = if base_revision == 0 { None } else { base(evidence, key, base_revision, first_write)? };
    let in_range = |told: &&Told| (base_revision + 1..=last_revision).contains(&told.revision);
    let newest = evidence.states.iter().filter(|(_, state)| state.is_final).map(|(_, state)| state.revision);
    let is_closed = newest.max().is_some_and(|newest| newest <= last_revision);
    let told = changes.iter().filter(in_range).cloned().collect();
    Some(Timeline { base_revision, base, told, last_revision, is_closed })
}

/// The node in the snapshot that a timeline begins with, if that was taken before anybody wrote.
fn base(evidence: &Evidence<'_>, key: &Key, revision: u64, first_write: Micros) -> Option<Option<View>> {
    let streams = evidence.streams.iter().filter(|stream| stream.wants(&key.ns));
    streams.flat_map(|stream| &stream.items).find_map(|item| match &item.event {
        Event::Snapshot(snapshot) if snapshot.revision.0 == revision && item.at <= first_write => {
            Some(snapshot.nodes.iter().find(|node| is_at(node, key)).map(View::of))
        }
        _ => None,
    })
}
