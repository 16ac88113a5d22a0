//! Namespaces and nodes as clients see them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Description, HealthPath, Host, Metadata, NamespaceId, NamespaceName, NodeId, Port, Revision, Timestamp,
    TtlSeconds, Weight,
};

/// Whether a node has been heard from lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeStatus {
    /// Heard from within its time to live: takes traffic.
    Online,
    /// Silent for longer: takes none, and is deleted if it stays silent.
    Offline,
}

impl fmt::Display for NodeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            NodeStatus::Online => "online",
            NodeStatus::Offline => "offline",
        })
    }
}

/// A named pool of nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Never reused.
    pub id: NamespaceId,
    /// Unique at any time; may change.
    pub name: NamespaceName,
    /// What it is for.
    pub description: Description,
    /// Where nodes that name no path of their own are checked.
    pub health_path: HealthPath,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// The revision that last changed it; what `if_revision` is compared with.
    pub mod_revision: Revision,
    /// How many nodes it has; absent in the feed, where they are known one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_count: Option<u64>,
    /// How many of them are online; absent in the feed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online_count: Option<u64>,
}

/// One instance of a user's service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// This registration.
    pub id: NodeId,
    /// Its namespace's name.
    pub ns: NamespaceName,
    /// Where it listens.
    pub host: Host,
    /// Where it listens.
    pub port: Port,
    /// In force: the operator's weight if there is one, else the declared one.
    pub weight: Weight,
    /// What the service declared when it registered.
    pub registered_weight: Weight,
    /// Its own health path; without one, the namespace's counts.
    pub health_path: Option<HealthPath>,
    /// Heard from lately or not.
    pub status: NodeStatus,
    /// What the service says about it.
    pub metadata: Metadata,
    /// The time to live it asked for; without one, the cluster's default counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<TtlSeconds>,
    /// When a member last heard from it; absent in the feed, because heartbeats are no changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heartbeat: Option<Timestamp>,
    /// When it was first registered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// The revision that last changed it; what `if_revision` is compared with.
    pub mod_revision: Revision,
}
