//! The change feed of one member: ordered, unique, gap-free and resumable.
//!
//! `apply` publishes, subscribers read at their own pace from a bounded ring. A subscriber that falls
//! out of the ring is cut off; it never slows `apply`.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use kenger_state::State;
use kenger_types::feed::Change;
use kenger_types::{NamespaceName, Revision};

/// Which namespaces a subscriber wants to hear of. Empty: all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct FeedFilter {
    namespaces: BTreeSet<NamespaceName>,
}

impl FeedFilter {
    /// All namespaces.
    pub fn all() -> Self {
        Self::default()
    }

    /// These namespaces; all if there are none.
    pub fn namespaces(namespaces: impl IntoIterator<Item = NamespaceName>) -> Self {
        Self { namespaces: namespaces.into_iter().collect() }
    }

    /// Whether changes of this namespace are wanted.
    pub fn wants(&self, namespace: &NamespaceName) -> bool {
        self.namespaces.is_empty() || self.namespaces.contains(namespace)
    }
}

/// All changes of one revision.
#[derive(Debug)]
pub struct FeedEvent {
    /// The revision that they made.
    pub revision: Revision,
    /// In the order in which they are to be applied.
    pub changes: Vec<Change>,
    encoded: OnceLock<Bytes>,
}

impl FeedEvent {
    /// The event's encoding, made once by `encode` and shared by all subscribers that want all of
    /// its changes.
    pub fn encoded(&self, encode: impl FnOnce(&FeedEvent) -> Bytes) -> Bytes {
        self.encoded.get_or_init(|| encode(self)).clone()
    }
}

/// What a subscriber gets next.
#[derive(Debug, Clone)]
pub enum FeedItem {
    /// Begin anew from this state: the subscriber had nothing, or its revision is older than the
    /// ring or ahead of this cluster's history.
    Snapshot(Arc<State>),
    /// The next revision with changes that the filter wants (all of its changes are in the event;
    /// the filter tells which ones to pass on).
    Event(Arc<FeedEvent>),
    /// Everything up to here has been told, and there is nothing more at the moment.
    UpToDate(Revision),
}

/// Why a subscription ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedEnd {
    /// The subscriber was too slow: resume, and get a snapshot.
    TooSlow,
    /// The member's state was replaced by a leader's snapshot: resume, and get a snapshot.
    Replaced,
    /// The member is stopping.
    Stopping,
}

/// One subscriber's place in the feed.
#[derive(Debug)]
pub struct Subscription {}

impl Subscription {
    /// The next item; waits until there is one. Cancel-safe.
    ///
    /// # Errors
    /// The subscription has ended; the subscriber has to resume.
    pub async fn next(&mut self) -> Result<FeedItem, FeedEnd> {
        unreachable!()
    }

    /// Everything up to here has been told.
    pub fn revision(&self) -> Revision {
        unreachable!()
    }

    /// The filter that it was made with.
    pub fn filter(&self) -> &FeedFilter {
        unreachable!()
    }
}
