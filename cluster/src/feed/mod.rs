//! The change feed of one member: ordered, unique, gap-free and resumable.
//!
//! `apply` publishes into the [`Hub`]'s bounded ring, subscribers read from it at their own pace. A
//! subscriber that falls out of the ring is cut off; it never slows `apply`.

mod event;
mod hub;
mod ring;
mod snapshot;
mod subscription;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use kenger_types::{NamespaceName, Revision};

pub use event::FeedEvent;
pub use hub::FeedStats;
pub(crate) use hub::Hub;
pub use snapshot::SnapshotItem;
pub use subscription::Subscription;

/// Most bytes of events that the ring keeps, whatever number of revisions was configured; estimated
/// from the changes and their encoding. The newest event is kept however large it is, so that
/// subscribers that have everything before it are not cut off.
pub const RING_MAX_BYTES: usize = 32 << 20;

/// Most events that a subscription takes out of the ring at a time. They are what a subscriber that
/// was cut off still gets, and what it keeps in memory beyond the ring.
const BATCH_MAX_EVENTS: usize = 64;

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

    /// The namespaces that are wanted; none: all.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = &NamespaceName> {
        self.namespaces.iter()
    }

    /// Whether changes of this namespace are wanted.
    pub fn wants(&self, namespace: &NamespaceName) -> bool {
        self.namespaces.is_empty() || self.namespaces.contains(namespace)
    }
}

/// What a subscriber gets next.
#[derive(Debug, Clone)]
pub enum FeedItem {
    /// Begin anew from this state: the subscriber had nothing, or its revision is older than the
    /// ring or ahead of this cluster's history. Only ever the first item.
    Snapshot(Arc<SnapshotItem>),
    /// The next revision with changes that the filter wants (all of its changes are in the event;
    /// the filter tells which ones to pass on).
    Event(Arc<FeedEvent>),
    /// Everything up to here has been told, and there is nothing more at the moment.
    ///
    /// Comes each time that the subscription has caught up: once after the beginning (after the
    /// snapshot, or at once when the subscriber missed nothing), and once whenever its revision has
    /// moved since the last time, be it by events or by revisions that the filter does not want. So
    /// a subscriber to a quiet namespace learns how far the feed has come.
    UpToDate(Revision),
}

/// Why a subscription ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedEnd {
    /// The subscriber was too slow: resume, and get a snapshot.
    TooSlow,
    /// The member's state was replaced by a leader's snapshot: resume, and get a snapshot.
    Replaced,
    /// The member is stopping.
    Stopping,
}
