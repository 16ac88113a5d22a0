//! Where `apply` publishes and subscribers read.
//!
//! `apply` holds the lock for a few moves of pointers and wakes one task, the herald, however many
//! subscribers there are; the herald wakes the subscribers, for all that was published meanwhile at
//! once.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kenger_mutant::{self as mutant, Mutant};
use kenger_state::State;
use kenger_types::Revision;
use kenger_types::feed::Change;
use tokio::sync::{Notify, watch};

use super::ring::{Lost, Ring, RingBounds};
use super::snapshot::{Offer, SnapshotShelf};
use super::{BATCH_MAX_EVENTS, FeedEvent, FeedFilter, RING_MAX_BYTES, Subscription};
use crate::env::Workers;

/// The feed of one member.
#[derive(Debug)]
pub(crate) struct Hub {
    shared: Arc<Shared>,
}

/// How the feed is doing, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedStats {
    /// Subscriptions that exist.
    pub subscribers: usize,
    /// Revisions in the ring.
    pub ring_revisions: usize,
    /// About how much memory they take.
    pub ring_bytes: usize,
    /// The oldest revision that a subscriber can still get as an event.
    pub oldest: Option<Revision>,
    /// The newest revision.
    pub newest: Revision,
    /// Subscriptions that were ended because they were too slow, since the member started.
    pub too_slow_total: u64,
    /// Subscriptions that were ended because the state was replaced, since the member started.
    pub replaced_total: u64,
}

/// What the hub and its subscriptions share.
#[derive(Debug)]
pub(super) struct Shared {
    core: Mutex<Core>,
    /// Wakes the herald.
    published: Notify,
    /// Wakes the subscribers.
    herald: watch::Sender<()>,
    pub(super) subscribers: AtomicUsize,
    pub(super) too_slow_total: AtomicU64,
    pub(super) replaced_total: AtomicU64,
}

#[derive(Debug)]
struct Core {
    ring: Ring,
    latest: Arc<State>,
    snapshots: SnapshotShelf,
    is_closed: bool,
}

impl Hub {
    /// A feed that begins at `state` and keeps at most `ring_revisions` (at least 1) revisions and
    /// [`RING_MAX_BYTES`]; snapshots are encoded where `workers` says. Call it within a tokio runtime: the herald is a task.
    pub(crate) fn new(state: Arc<State>, ring_revisions: usize, workers: Workers) -> Self {
        let bounds = RingBounds { max_revisions: ring_revisions.max(1), max_bytes: RING_MAX_BYTES };
        Self::with_bounds(state, bounds, workers)
    }

    pub(super) fn with_bounds(state: Arc<State>, bounds: RingBounds, workers: Workers) -> Self {
        let shared = Arc::new(Shared {
            core: Mutex::new(Core {
                ring: Ring::new(state.revision(), bounds),
                latest: state,
                snapshots: SnapshotShelf::new(workers),
                is_closed: false,
            }),
            published: Notify::new(),
            herald: watch::Sender::new(()),
            subscribers: AtomicUsize::new(0),
            too_slow_total: AtomicU64::new(0),
            replaced_total: AtomicU64::new(0),
        });
        tokio::spawn(Arc::clone(&shared).herald());
        Self { shared }
    }

    /// Tells what a command did: `state` is the state after it, `revision` its revision. Called from
    /// within `apply`, in order; never waits. A command without changes makes no event.
    ///
    /// A revision that does not follow the last one would be a gap: the feed begins anew there, as
    /// after [`Hub::replace`].
    pub(crate) fn publish(&self, state: &Arc<State>, revision: Revision, changes: Vec<Change>) {
        let event = (!changes.is_empty()).then(|| Arc::new(FeedEvent::new(revision, changes)));
        let mut core = self.shared.lock();
        let expected = Revision(core.ring.newest().0 + u64::from(event.is_some()));
        if revision != expected {
            drop(core);
            tracing::error!(%revision, %expected, "the feed was told a revision out of order");
            return self.replace(state);
        }
        let before = std::mem::replace(&mut core.latest, Arc::clone(state));
        let Some(event) = event else { return };
        let dropped = core.ring.push(event);
        drop(core);
        self.shared.published.notify_one();
        // Large ones take their time: not under the lock.
        drop((before, dropped));
    }

    /// The state was replaced by a snapshot: what subscribers have is of no use any more, except to
    /// those that are at its very revision already.
    pub(crate) fn replace(&self, state: &Arc<State>) {
        let mut core = self.shared.lock();
        let before = std::mem::replace(&mut core.latest, Arc::clone(state));
        let dropped = core.ring.restart(state.revision());
        drop(core);
        self.shared.published.notify_one();
        drop((before, dropped));
    }

    /// A subscription that begins after the revision `after`, the last one that the subscriber has:
    /// with the events after it if the ring has them all, else with a snapshot, as without `after`.
    ///
    /// An `after` ahead of this member's state gets a snapshot, too, because it may come from another
    /// history. It may also come from a member that is further: make a read barrier before, so that a
    /// follower that lags behind is not mistaken for one with another history.
    ///
    /// A snapshot is never older than what was published before this call.
    pub(crate) fn subscribe(&self, after: Option<Revision>, filter: FeedFilter) -> Subscription {
        let floor = self.shared.lock().ring.newest();
        let skips = u64::from(mutant::is(Mutant::ResumeSkipsOne));
        let after = after.map(|after| Revision(after.0 + skips).min(floor).max(after));
        Subscription::new(Arc::clone(&self.shared), self.shared.herald.subscribe(), after, floor, filter)
    }

    /// Ends all subscriptions, with [`super::FeedEnd::Stopping`].
    pub(crate) fn close(&self) {
        self.shared.lock().is_closed = true;
        self.shared.published.notify_one();
        self.shared.herald.send_replace(());
    }

    pub(crate) fn stats(&self) -> FeedStats {
        let shared = &self.shared;
        let core = shared.lock();
        FeedStats {
            subscribers: shared.subscribers.load(Ordering::Relaxed),
            ring_revisions: core.ring.len(),
            ring_bytes: core.ring.bytes(),
            oldest: core.ring.oldest(),
            newest: core.ring.newest(),
            too_slow_total: shared.too_slow_total.load(Ordering::Relaxed),
            replaced_total: shared.replaced_total.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.close();
    }
}

/// What a subscription finds when it looks for more.
pub(super) enum Found {
    /// The next events, in order.
    Events(Vec<Arc<FeedEvent>>),
    /// Nothing after the cursor.
    Nothing,
    /// The cursor has no place in the ring.
    Lost(Lost),
    /// The feed has ended.
    Closed,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the subscribers whenever something was published, until the hub is closed.
    async fn herald(self: Arc<Self>) {
        while !self.lock().is_closed {
            self.published.notified().await;
            self.herald.send_replace(());
        }
    }

    /// The revision before the oldest one in the ring.
    pub(super) fn before_oldest(&self) -> Revision {
        let oldest = self.lock().ring.oldest().unwrap_or_default();
        Revision(oldest.0.saturating_sub(1))
    }

    pub(super) fn look(&self, cursor: Revision) -> Found {
        let core = self.lock();
        if core.is_closed {
            return Found::Closed;
        }
        let events: Vec<_> = match core.ring.after(cursor, BATCH_MAX_EVENTS) {
            Ok(events) => events.collect(),
            Err(lost) => return Found::Lost(lost),
        };
        if events.is_empty() { Found::Nothing } else { Found::Events(events) }
    }

    /// A place to begin for a subscriber without one; `None` if the feed has ended.
    pub(super) fn offer_snapshot(&self, filter: &FeedFilter, floor: Revision) -> Option<Offer> {
        let mut core = self.lock();
        let Core { ring, latest, snapshots, is_closed } = &mut *core;
        // A floor above the state is of a state that was replaced since.
        let floor = floor.min(latest.revision());
        (!*is_closed).then(|| snapshots.offer(latest, filter, floor, |revision| ring.place(revision).is_ok()))
    }
}
