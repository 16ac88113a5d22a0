//! What a watch tells.

use std::time::Duration;

use kenger_types::cluster::MemberAddress;
use kenger_types::feed::{BookmarkEvent, ChangeEvent, LeaderEvent, SnapshotEvent};
use kenger_types::{ApiError, ClusterId, MemberId, Revision};
use thiserror::Error;

use crate::Endpoint;

/// The next thing that happened in the feed, or to the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// A member has begun to tell: the first event of each stream. What it tells comes next.
    Connected(Connected),
    /// Everything at one revision: replaces what was told before.
    Snapshot(SnapshotEvent),
    /// All changes of the next revision: to be applied together or not at all.
    Change(ChangeEvent),
    /// Nothing more happened up to this revision, and the member is still there.
    Bookmark(BookmarkEvent),
    /// An attempt failed or a stream ended. What was told stays true; the watch goes on by itself.
    Disconnected(Disconnected),
}

/// Who speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// Where it was reached.
    pub endpoint: Endpoint,
    /// Whose history it tells.
    pub cluster_id: ClusterId,
    /// Which member it is; a stream that begins with a snapshot does not say so at once.
    pub member_id: Option<MemberId>,
    /// Who leads, as far as it knows.
    pub leader: Option<MemberAddress>,
}

impl Connected {
    /// Whether the leader itself speaks, as far as it said so.
    pub fn is_leader(&self) -> bool {
        self.leader.as_ref().is_some_and(|leader| Some(leader.id) == self.member_id)
    }
}

/// Nobody speaks at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnected {
    /// Who spoke, or was asked.
    pub endpoint: Endpoint,
    /// Why no more.
    pub reason: DisconnectReason,
}

/// Why an attempt failed or a stream ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// It could not be connected to, or the connection broke.
    #[error("{0}")]
    Connection(String),
    /// It ended the stream without saying why, as a member does that is stopping.
    #[error("the member ended the stream")]
    Ended,
    /// It lost its leader, or the lead.
    #[error("{}", .0.reason)]
    LeaderLost(LeaderEvent),
    /// Nothing was heard for this long.
    #[error("no event for {0:?}")]
    Idle(Duration),
    /// It cannot serve the feed at the moment: no leader is known, or it is stopping.
    #[error("{0}")]
    Unavailable(String),
    /// It refused the request; the token, as a rule.
    #[error("{0}")]
    Refused(ApiError),
    /// It answered, but not with a feed.
    #[error("it does not answer like a Kenger registry: {0}")]
    Unexpected(String),
    /// It belongs to another cluster. Nothing of it was told.
    #[error("it belongs to cluster {found}, not to {expected}")]
    ForeignCluster {
        /// Whose history is watched.
        expected: ClusterId,
        /// Whose history it has.
        found: ClusterId,
    },
    /// A revision is missing: the watch begins anew with a snapshot.
    #[error("revision {found} came after {}: something is missing", .known.map_or_else(|| "nothing".to_owned(), |known| known.to_string()))]
    Gap {
        /// The last revision that was told.
        known: Option<Revision>,
        /// The one that came.
        found: Revision,
    },
    /// It is not the leader and knows less than was told already.
    #[error("it is at revision {found}, behind {known}")]
    Behind {
        /// The last revision that was told.
        known: Revision,
        /// The one that it has.
        found: Revision,
    },
    /// An event cannot be understood: the watch begins anew with a snapshot.
    #[error("an event cannot be read: {0}")]
    Unreadable(String),
    /// An event is larger than this many bytes.
    #[error("an event is larger than {0} bytes")]
    TooLarge(usize),
}
