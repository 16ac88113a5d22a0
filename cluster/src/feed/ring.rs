//! The last revisions, bounded in number and bytes. Pure: no lock, no waiting.

use std::collections::VecDeque;
use std::sync::Arc;

use kenger_types::Revision;

use super::FeedEvent;

/// How much a ring keeps.
#[derive(Debug, Clone, Copy)]
pub(super) struct RingBounds {
    /// At least 1.
    pub(super) max_revisions: usize,
    /// The newest event is kept even if it is larger.
    pub(super) max_bytes: usize,
}

/// Why a cursor has no place in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// What comes after it has been dropped to make room.
    TooOld,
    /// It belongs to what was there before the state was replaced, or to another history.
    Foreign,
}

/// The events after `base`, one for each revision, without a gap.
#[derive(Debug)]
pub(super) struct Ring {
    events: VecDeque<(Arc<FeedEvent>, usize)>,
    /// The revision before the first event; the newest revision if there is no event.
    base: Revision,
    /// Where the ring last began anew, because the state was replaced. States are only ever replaced
    /// by newer ones, so who is before this belongs to the time before.
    began_at: Revision,
    bytes: usize,
    bounds: RingBounds,
}

impl Ring {
    pub(super) fn new(at: Revision, bounds: RingBounds) -> Self {
        Self { events: VecDeque::new(), base: at, began_at: Revision(0), bytes: 0, bounds }
    }

    /// The newest revision that was published.
    pub(super) fn newest(&self) -> Revision {
        Revision(self.base.0 + self.events.len() as u64)
    }

    /// The oldest revision that a subscriber can still get as an event.
    pub(super) fn oldest(&self) -> Option<Revision> {
        self.events.front().map(|(event, _)| event.revision)
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the event of the revision after the newest one. What had to go is returned, to be
    /// dropped when no lock is held.
    pub(super) fn push(&mut self, event: Arc<FeedEvent>) -> Vec<Arc<FeedEvent>> {
        let bytes = event.estimated_bytes();
        self.bytes += bytes;
        self.events.push_back((event, bytes));
        let mut dropped = Vec::new();
        while self.events.len() > 1
            && (self.events.len() > self.bounds.max_revisions || self.bytes > self.bounds.max_bytes)
        {
            if let Some((event, bytes)) = self.events.pop_front() {
                self.base = event.revision;
                self.bytes -= bytes;
                dropped.push(event);
            }
        }
        dropped
    }

    /// Begins anew at `at`, empty; returns what was there, to be dropped when no lock is held.
    pub(super) fn restart(&mut self, at: Revision) -> impl Sized + use<> {
        self.base = at;
        self.began_at = at;
        self.bytes = 0;
        std::mem::take(&mut self.events)
    }

    /// Whether everything after `cursor` is there.
    pub(super) fn place(&self, cursor: Revision) -> Result<(), Lost> {
        if cursor < self.began_at || cursor > self.newest() {
            Err(Lost::Foreign)
        } else if cursor < self.base {
            Err(Lost::TooOld)
        } else {
            Ok(())
        }
    }

    /// At most `max` of the events after `cursor`, in order.
    pub(super) fn after(
        &self,
        cursor: Revision,
        max: usize,
    ) -> Result<impl Iterator<Item = Arc<FeedEvent>>, Lost> {
        self.place(cursor)?;
        // Fits: it is at most the number of events.
        let skip = usize::try_from(cursor.0 - self.base.0).unwrap_or(usize::MAX);
        Ok(self.events.range(skip..).take(max).map(|(event, _)| Arc::clone(event)))
    }
}
