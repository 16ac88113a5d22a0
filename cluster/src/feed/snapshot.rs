//! Where a subscriber begins that has nothing to resume from, and how subscribers share the cost.
//!
//! When a registry comes back, all gateways reconnect at once, and each needs everything. Encoding a
//! hundred thousand nodes once for each of a thousand gateways would take minutes, so those that want
//! the same share one encoding, and while one is being made nobody begins another: who cannot use it
//! waits for its end and shares the next one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use kenger_state::State;
use kenger_types::Revision;

use super::FeedFilter;
use crate::env::Workers;

/// A state to begin from, with the filter it was asked for; shared by all that began at the same
/// time with the same filter.
#[derive(Debug)]
pub struct SnapshotItem {
    state: Arc<State>,
    filter: FeedFilter,
    encoded: OnceLock<Bytes>,
    /// Held by whoever encodes, and in passing by those who wait for the end of it.
    encoder: tokio::sync::Mutex<()>,
    is_being_encoded: AtomicBool,
    workers: Workers,
}

impl SnapshotItem {
    /// A snapshot of `state` for subscribers with this filter, encoded where `workers` says.
    pub(super) fn new(state: Arc<State>, filter: FeedFilter, workers: Workers) -> Self {
        let (encoder, is_being_encoded) = (tokio::sync::Mutex::new(()), AtomicBool::new(false));
        Self { state, filter, encoded: OnceLock::new(), encoder, is_being_encoded, workers }
    }

    /// What to begin from.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// The revision of the state: the events after it follow.
    pub fn revision(&self) -> Revision {
        self.state.revision()
    }

    /// Which namespaces the subscribers want to hear of.
    pub fn filter(&self) -> &FeedFilter {
        &self.filter
    }

    /// The snapshot's encoding, made once by `encode` (on a thread where it may take its time) and
    /// shared by all who hold this item; the others wait for it. Cancel-safe: an encoding that has
    /// begun is finished and kept.
    pub async fn encoded<F>(self: &Arc<Self>, encode: F) -> Bytes
    where
        F: FnOnce(&State, &FeedFilter) -> Bytes + Send + 'static,
    {
        if let Some(encoded) = self.encoded.get() {
            return encoded.clone();
        }
        let _encoder = self.encoder.lock().await;
        if let Some(encoded) = self.encoded.get() {
            return encoded.clone();
        }
        let _under_way = UnderWay::begin(&self.is_being_encoded);
        let item = Arc::clone(self);
        let encoding =
            self.workers.run(move || item.encoded.get_or_init(|| encode(&item.state, &item.filter)).clone());
        match encoding.await {
            Ok(encoded) => encoded,
            // Blocking tasks are only cancelled when the runtime goes down, which drops this task, too.
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Whether somebody is encoding it at this moment. Not the same as whether the lock is held: of many who
    /// wait for the end, each would find that the next one has it, and wait again.
    fn is_being_encoded(&self) -> bool {
        self.is_being_encoded.load(Ordering::SeqCst)
    }

    /// Waits until whoever is encoding it has finished or given up.
    pub(super) async fn encoding_ended(&self) {
        drop(self.encoder.lock().await);
    }
}

/// Sets a flag for as long as it lives.
struct UnderWay<'a>(&'a AtomicBool);

impl<'a> UnderWay<'a> {
    fn begin(flag: &'a AtomicBool) -> Self {
        flag.store(true, Ordering::SeqCst);
        Self(flag)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// What there is for a subscriber that needs a snapshot.
pub(super) enum Offer {
    /// Begin from this one.
    Begin(Arc<SnapshotItem>),
    /// This one is too old, and being encoded: wait for its end before making another.
    WaitFor(Arc<SnapshotItem>),
}

/// The snapshots that somebody holds, the newest of each filter.
#[derive(Debug)]
pub(super) struct SnapshotShelf {
    newest: HashMap<FeedFilter, Weak<SnapshotItem>>,
    workers: Workers,
}

impl SnapshotShelf {
    /// An empty one; its snapshots are encoded where `workers` says.
    pub(super) fn new(workers: Workers) -> Self {
        Self { newest: HashMap::new(), workers }
    }

    /// A snapshot that is not older than `floor`, and from which the ring can go on (`resumable`).
    pub(super) fn offer(
        &mut self,
        latest: &Arc<State>,
        filter: &FeedFilter,
        floor: Revision,
        resumable: impl FnOnce(Revision) -> bool,
    ) -> Offer {
        if let Some(item) = self.newest.get(filter).and_then(Weak::upgrade) {
            if item.revision() >= floor && resumable(item.revision()) {
                return Offer::Begin(item);
            }
            if item.is_being_encoded() {
                return Offer::WaitFor(item);
            }
        }
        self.newest.retain(|_, item| item.strong_count() > 0);
        let item = Arc::new(SnapshotItem::new(Arc::clone(latest), filter.clone(), self.workers));
        self.newest.insert(filter.clone(), Arc::downgrade(&item));
        Offer::Begin(item)
    }
}
