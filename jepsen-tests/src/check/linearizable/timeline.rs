//! What became of one node as the feed tells it: the changes that a search has to explain, in the only
//! order in which they can have happened.

use crate::check::Evidence;
use crate::check::changes::{Told, View};
use crate::check::evidence::{Event, is_at};
use crate::history::{Key, Micros};

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
