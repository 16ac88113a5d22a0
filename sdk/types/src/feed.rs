//! The change feed: bodies of the events of `GET /api/upstream/watch`.
//!
//! The names of the events are [`EventName`]'s; the SSE `id` of a `snapshot`, `change` or `bookmark`
//! is its revision, and what a client sends back as `Last-Event-ID`.

use serde::{Deserialize, Serialize};

use crate::cluster::MemberAddress;
use crate::{ClusterId, Host, MemberId, Namespace, NamespaceId, NamespaceName, Node, NodeId, Port, Revision};

/// Which body an event has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventName {
    /// [`SnapshotEvent`]
    Snapshot,
    /// [`ChangeEvent`]
    Change,
    /// [`BookmarkEvent`]
    Bookmark,
    /// [`LeaderEvent`]
    Leader,
}

impl EventName {
    /// As it stands in the `event:` line.
    pub const fn as_str(self) -> &'static str {
        match self {
            EventName::Snapshot => "snapshot",
            EventName::Change => "change",
            EventName::Bookmark => "bookmark",
            EventName::Leader => "leader",
        }
    }

    /// The name in an `event:` line; `None` for one that a later version may have added.
    pub fn from_name(name: &str) -> Option<Self> {
        [EventName::Snapshot, EventName::Change, EventName::Bookmark, EventName::Leader]
            .into_iter()
            .find(|event| event.as_str() == name)
    }
}

/// Everything at one revision, as far as the subscriber's filter goes; replaces what it knew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotEvent {
    /// Whose history this is.
    pub cluster_id: ClusterId,
    /// What the snapshot includes, and where the changes after it begin.
    pub revision: Revision,
    /// All namespaces, by name.
    pub namespaces: Vec<Namespace>,
    /// All nodes, online and offline.
    pub nodes: Vec<Node>,
}

/// All changes of one revision: applied together or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeEvent {
    /// The revision that these changes made.
    pub revision: Revision,
    /// In the order in which they are to be applied.
    pub changes: Vec<Change>,
}

/// How far the feed has come although nothing was to be told, and who says so. The first event of each
/// stream, or the second after a snapshot, and one whenever the stream has been idle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookmarkEvent {
    /// Whose history this is.
    pub cluster_id: ClusterId,
    /// Everything up to here has been told.
    pub revision: Revision,
    /// Who says so.
    pub member_id: MemberId,
    /// Who leads, as far as that member knows.
    pub leader: Option<MemberAddress>,
}

impl BookmarkEvent {
    /// Whether the leader itself says so.
    pub fn is_from_leader(&self) -> bool {
        self.leader.as_ref().is_some_and(|leader| leader.id == self.member_id)
    }
}

/// The last event of a stream: the member lost its leader, or the lead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderEvent {
    /// Whose history this is.
    pub cluster_id: ClusterId,
    /// Why the stream ends, for people.
    pub reason: String,
    /// Who leads now, if the member knows.
    pub leader: Option<MemberAddress>,
}

/// One observable effect of an applied command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Change {
    /// A namespace is new or different; the whole of it as it is now.
    NamespacePut {
        /// As it is now.
        namespace: Namespace,
    },
    /// A namespace is gone, and all its nodes with it.
    NamespaceDeleted {
        /// Which.
        id: NamespaceId,
        /// Its last name.
        name: NamespaceName,
    },
    /// A node is new or different; the whole of it as it is now.
    NodePut {
        /// What made the difference.
        cause: NodeCause,
        /// As it is now.
        node: Node,
    },
    /// A node is gone.
    NodeDeleted {
        /// What removed it.
        cause: NodeCause,
        /// Which registration.
        id: NodeId,
        /// Its namespace.
        ns: NamespaceName,
        /// Where it listened.
        host: Host,
        /// Where it listened.
        port: Port,
    },
}

impl Change {
    /// The namespace that a filter is compared with.
    pub fn namespace(&self) -> &NamespaceName {
        match self {
            Change::NamespacePut { namespace } => &namespace.name,
            Change::NamespaceDeleted { name, .. } => name,
            Change::NodePut { node, .. } => &node.ns,
            Change::NodeDeleted { ns, .. } => ns,
        }
    }
}

/// Why a node changed, for people and for tools that watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeCause {
    /// It registered, for the first time or with other values.
    Registered,
    /// It deregistered.
    Deregistered,
    /// Its weight was set or given back.
    Weight,
    /// An operator changed it.
    Updated,
    /// An operator deleted it.
    Deleted,
    /// It was silent for too long: offline, and later deleted.
    Expired,
    /// It was offline and has been heard from again.
    Returned,
    /// Its namespace got another name.
    NamespaceRenamed,
}
