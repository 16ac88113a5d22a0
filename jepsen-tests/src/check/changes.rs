//! What became of each node as the feed tells it, and when a revision can have been made.

use std::collections::BTreeMap;

use kenger_types::feed::{Change, NodeCause};
use kenger_types::{Node, NodeStatus};

use super::Evidence;
use super::evidence::value_of;
use crate::history::{Action, Answer, Key, Micros, Outcome};

/// A change of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::check) struct Told {
    pub(in crate::check) revision: u64,
    /// When a watcher had been told of it, or of a later one of this node.
    pub(in crate::check) seen: Micros,
    pub(in crate::check) place: usize,
    pub(in crate::check) cause: Cause,
    /// The node after it; `None`: it is gone.
    pub(in crate::check) node: Option<View>,
}

/// What can have made a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::check) enum Cause {
    Register,
    SetWeight,
    Deregister,
    /// Silence, or that the node was heard from again.
    Lease,
    /// Nobody whose requests are in the history.
    Other,
    /// Nobody was told of the revisions after this one; then this is what there was.
    Gap {
        /// The last revision before.
        after: u64,
    },
}

/// A node as it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::check) struct View {
    pub(in crate::check) id: u64,
    pub(in crate::check) value: Option<u64>,
    pub(in crate::check) weight: u32,
    pub(in crate::check) registered_weight: u32,
    pub(in crate::check) is_online: bool,
    pub(in crate::check) mod_revision: u64,
    /// The time to live it asked for.
    pub(in crate::check) ttl: Option<Micros>,
}

impl View {
    pub(in crate::check) fn of(node: &Node) -> Self {
        Self {
            id: node.id.0,
            value: value_of(node),
            weight: node.weight.get().into(),
            registered_weight: node.registered_weight.get().into(),
            is_online: node.status == NodeStatus::Online,
            mod_revision: node.mod_revision.0,
            ttl: node.ttl_seconds.map(|ttl| Micros::from(ttl.get()) * 1_000_000),
        }
    }
}

/// The changes of every node that the feed told of, complete or not.
pub(in crate::check) fn changes(evidence: &Evidence<'_>) -> BTreeMap<Key, Vec<Told>> {
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

/// When revisions can have been made, from what was asked and answered around them.
pub(super) struct Clock {
    /// Revision, and the latest time that is known to be before any later revision.
    before: Vec<(u64, Micros)>,
    /// Revision, and the earliest time that is known to be after it and all earlier ones.
    after: Vec<(u64, Micros)>,
}

impl Clock {
    pub(super) fn of(evidence: &Evidence<'_>) -> Self {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for (_, operation) in &evidence.operations {
            let Outcome::Done(Answer::Node(node)) = &operation.outcome else { continue };
            let newest = node.revision.unwrap_or(0).max(node.mod_revision);
            after.push((newest, operation.returned));
            let is_registration = matches!(operation.action, Action::Register { .. });
            if let Some(revision) = node.revision.or(is_registration.then_some(node.mod_revision)) {
                before.push((revision, operation.called));
            }
        }
        after.extend(evidence.told.iter().map(|(revision, told)| (*revision, told.seen)));
        after.extend(evidence.states.iter().map(|(_, state)| (state.revision, state.at)));
        before.sort_unstable();
        after.sort_unstable();
        for at in 1..before.len() {
            before[at].1 = before[at].1.max(before[at - 1].1);
        }
        for at in (1..after.len()).rev() {
            after[at - 1].1 = after[at - 1].1.min(after[at].1);
        }
        Self { before, after }
    }

    /// The revision was not made before this time.
    pub(super) fn not_before(&self, revision: u64) -> Micros {
        let earlier = self.before.partition_point(|(it, _)| *it < revision);
        earlier.checked_sub(1).map_or(0, |last| self.before[last].1)
    }

    /// The revision was made before this time.
    pub(super) fn not_after(&self, revision: u64) -> Micros {
        let earlier = self.after.partition_point(|(it, _)| *it < revision);
        self.after.get(earlier).map_or(Micros::MAX, |(_, at)| *at)
    }
}
