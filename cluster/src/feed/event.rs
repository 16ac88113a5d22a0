//! One event of the feed: all changes of one revision.

use std::sync::OnceLock;

use bytes::Bytes;
use kenger_types::feed::Change;
use kenger_types::{Node, Revision};

use super::FeedFilter;

/// What the encoding of a change takes beside the texts in it (names of fields, numbers, times).
const ENCODED_CHANGE_BYTES: usize = 400;

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
    /// The changes of a revision.
    pub fn new(revision: Revision, changes: Vec<Change>) -> Self {
        Self { revision, changes, encoded: OnceLock::new() }
    }

    /// The event's encoding, made once by `encode` and shared by all subscribers that want all of
    /// its changes (see [`FeedEvent::is_wanted_whole`]).
    pub fn encoded(&self, encode: impl FnOnce(&FeedEvent) -> Bytes) -> Bytes {
        self.encoded.get_or_init(|| encode(self)).clone()
    }

    /// Whether the filter wants all of the changes, so that the shared encoding is the one to send.
    pub fn is_wanted_whole(&self, filter: &FeedFilter) -> bool {
        self.changes.iter().all(|change| filter.wants(change.namespace()))
    }

    /// Whether the filter wants any of the changes.
    pub fn is_wanted(&self, filter: &FeedFilter) -> bool {
        self.changes.iter().any(|change| filter.wants(change.namespace()))
    }

    /// About how much memory the event takes together with its encoding.
    pub(super) fn estimated_bytes(&self) -> usize {
        size_of::<Self>() + self.changes.iter().map(estimated_bytes_of).sum::<usize>()
    }
}

fn estimated_bytes_of(change: &Change) -> usize {
    let texts = match change {
        Change::NamespacePut { namespace } => {
            namespace.name.as_str().len()
                + namespace.description.as_str().len()
                + namespace.health_path.as_str().len()
        }
        Change::NamespaceDeleted { name, .. } => name.as_str().len(),
        Change::NodePut { node, .. } => node_texts(node),
        Change::NodeDeleted { ns, host, .. } => ns.as_str().len() + host.as_str().len(),
    };
    size_of::<Change>() + ENCODED_CHANGE_BYTES + texts
}

/// The texts once: in memory they are shared with the state.
fn node_texts(node: &Node) -> usize {
    let metadata: usize =
        node.metadata.iter().map(|(key, value)| key.len() + value.len() + "\"\":\"\",".len()).sum();
    node.ns.as_str().len()
        + node.host.as_str().len()
        + node.health_path.as_ref().map_or(0, |path| path.as_str().len())
        + metadata
}
