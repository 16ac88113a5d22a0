//! One subscriber's place in the feed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kenger_mutant::{self as mutant, Mutant};
use kenger_types::Revision;
use tokio::sync::watch;

use super::hub::{Found, Shared};
use super::ring::Lost;
use super::snapshot::Offer;
use super::{FeedEnd, FeedEvent, FeedFilter, FeedItem};

/// One subscriber's place in the feed: first a snapshot if it has nothing to resume from, then the
/// events in order, each once, without a gap.
#[derive(Debug)]
pub struct Subscription {
    shared: Arc<Shared>,
    woken: watch::Receiver<()>,
    filter: FeedFilter,
    stage: Stage,
    /// Everything up to here has been told.
    told: Revision,
    /// Whether `UpToDate(told)` has been told.
    told_up_to_date: bool,
    /// Taken out of the ring, not yet told.
    taken: VecDeque<Arc<FeedEvent>>,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Nothing has been told.
    Begin { resume: bool, floor: Revision },
    /// Something has been told, and what comes next has to follow it.
    Underway,
    /// It is over.
    Ended(FeedEnd),
}

impl Subscription {
    pub(super) fn new(
        shared: Arc<Shared>,
        woken: watch::Receiver<()>,
        after: Option<Revision>,
        floor: Revision,
        filter: FeedFilter,
    ) -> Self {
        shared.subscribers.fetch_add(1, Ordering::Relaxed);
        Self {
            shared,
            woken,
            filter,
            stage: Stage::Begin { resume: after.is_some(), floor },
            told: after.unwrap_or_default(),
            told_up_to_date: false,
            taken: VecDeque::new(),
        }
    }

    /// The next item; waits until there is one. Cancel-safe: nothing is lost if the future is
    /// dropped. What is passed over because the filter does not want it moves
    /// [`Subscription::revision`].
    ///
    /// # Errors
    /// The subscription has ended; the subscriber has to resume. Asked again, it says the same.
    pub async fn next(&mut self) -> Result<FeedItem, FeedEnd> {
        loop {
            // A subscriber that always finds something must not keep its thread from the others.
            tokio::task::coop::consume_budget().await;
            if let Some(event) = self.next_taken() {
                return Ok(FeedItem::Event(event));
            }
            if let Stage::Ended(end) = self.stage {
                return Err(end);
            }
            if let Stage::Begin { resume: false, floor } = self.stage {
                match self.begin_with_snapshot(floor).await? {
                    Some(item) => return Ok(item),
                    None => continue,
                }
            }
            // Before looking, so that what is published after looking wakes.
            self.woken.borrow_and_update();
            match self.shared.look(self.told) {
                Found::Closed => return Err(self.end(FeedEnd::Stopping)),
                Found::Events(events) => {
                    self.stage = Stage::Underway;
                    self.taken = events.into();
                }
                Found::Nothing if !self.told_up_to_date => {
                    self.stage = Stage::Underway;
                    self.told_up_to_date = true;
                    return Ok(FeedItem::UpToDate(self.told));
                }
                Found::Nothing => {
                    if self.woken.changed().await.is_err() {
                        return Err(self.end(FeedEnd::Stopping));
                    }
                }
                Found::Lost(lost) => self.lost(lost)?,
            }
        }
    }

    /// Everything up to here has been told. Before the first item: the revision that the subscriber
    /// came with, 0 without one.
    pub fn revision(&self) -> Revision {
        self.told
    }

    /// The filter that it was made with.
    pub fn filter(&self) -> &FeedFilter {
        &self.filter
    }

    /// The next wanted one of the events that have been taken; moves past the others.
    fn next_taken(&mut self) -> Option<Arc<FeedEvent>> {
        while let Some(event) = self.taken.pop_front() {
            self.told = event.revision;
            self.told_up_to_date = false;
            if event.is_wanted(&self.filter) {
                return Some(event);
            }
        }
        None
    }

    /// `None`: look again.
    async fn begin_with_snapshot(&mut self, floor: Revision) -> Result<Option<FeedItem>, FeedEnd> {
        match self.shared.offer_snapshot(&self.filter, floor) {
            None => Err(self.end(FeedEnd::Stopping)),
            Some(Offer::WaitFor(item)) => {
                item.encoding_ended().await;
                Ok(None)
            }
            Some(Offer::Begin(item)) => {
                self.stage = Stage::Underway;
                self.told = item.revision();
                Ok(Some(FeedItem::Snapshot(item)))
            }
        }
    }

    /// The subscriber's revision has no place in the ring: who has been told nothing yet begins
    /// anew, for the others it is the end.
    fn lost(&mut self, lost: Lost) -> Result<(), FeedEnd> {
        match (self.stage, lost) {
            (Stage::Begin { floor, .. }, _) => {
                self.stage = Stage::Begin { resume: false, floor };
                Ok(())
            }
            (_, Lost::TooOld) if mutant::is(Mutant::DropOldest) => {
                self.told = self.shared.before_oldest();
                Ok(())
            }
            (_, Lost::TooOld) => {
                self.shared.too_slow_total.fetch_add(1, Ordering::Relaxed);
                Err(self.end(FeedEnd::TooSlow))
            }
            (_, Lost::Foreign) => {
                self.shared.replaced_total.fetch_add(1, Ordering::Relaxed);
                Err(self.end(FeedEnd::Replaced))
            }
        }
    }

    fn end(&mut self, end: FeedEnd) -> FeedEnd {
        self.stage = Stage::Ended(end);
        end
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.subscribers.fetch_sub(1, Ordering::Relaxed);
    }
}
