//! What became of one node as the feed tells it: the changes that a search has to explain, in the only
//! order in which they can have happened.

use crate::check::Evidence;
use crate::check::changes::{Cause, Told, View};
use crate::check::evidence::{Event, is_at};
use crate::history::{Key, Micros};

/// The changes of one node from a revision on; where nobody was told, what there was after the gap.
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

/// The timeline of a node whose first write was asked for at `first_write`; `None` if the feed does not
/// tell all of it from the beginning.
pub(super) fn timeline(
    evidence: &Evidence<'_>,
    key: &Key,
    changes: &[Told],
    first_write: Micros,
) -> Option<Timeline> {
    let ranges = evidence.covered(&key.ns);
    let first = ranges.first()?.0;
    let known = if first == 0 { Some(None) } else { shown(evidence, key, first, first_write).map(|it| it.0) };
    // A watcher that came late: the cluster began empty, and nobody was told what happened until then.
    let (base, base_revision, ranges) = match known {
        Some(base) => (base, first, &ranges[..]),
        None => (None, 0, &[&[(0, 0)], &ranges[..]].concat()[..]),
    };
    let mut last_revision = ranges.first()?.1;
    let within = |after: u64, up_to: u64| {
        changes.iter().filter(move |told| (after + 1..=up_to).contains(&told.revision)).cloned()
    };
    let mut told: Vec<Told> = within(base_revision, last_revision).collect();
    for &(revision, up_to) in &ranges[1..] {
        let Some((node, seen, place)) = shown(evidence, key, revision, Micros::MAX) else { break };
        told.push(Told { revision, seen, place, cause: Cause::Gap { after: last_revision }, node });
        told.extend(within(revision, up_to));
        last_revision = up_to;
    }
    for at in (1..told.len()).rev() {
        told[at - 1].seen = told[at - 1].seen.min(told[at].seen);
    }
    let newest = evidence.states.iter().filter(|(_, state)| state.is_final).map(|(_, state)| state.revision);
    let is_closed = newest.max().is_some_and(|newest| newest <= last_revision);
    Some(Timeline { base_revision, base, told, last_revision, is_closed })
}

/// The node in the first snapshot of this revision, when that had come and its record, if it was not
/// after `latest`.
fn shown(
    evidence: &Evidence<'_>,
    key: &Key,
    revision: u64,
    latest: Micros,
) -> Option<(Option<View>, Micros, usize)> {
    let streams = evidence.streams.iter().filter(|stream| stream.wants(&key.ns));
    let snapshots = streams.flat_map(|stream| &stream.items).filter_map(|item| match &item.event {
        Event::Snapshot(snapshot) if snapshot.revision.0 == revision && item.at <= latest => {
            let node = snapshot.nodes.iter().find(|node| is_at(node, key)).map(View::of);
            Some((node, item.at, item.place))
        }
        _ => None,
    });
    snapshots.min_by_key(|(_, at, _)| *at)
}
