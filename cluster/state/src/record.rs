//! Namespaces and nodes as they are kept. Stored in snapshots and sent between members, so fields
//! are only ever added at the end.

use kenger_types::{
    Description, HealthPath, Host, Metadata, Namespace, NamespaceId, NamespaceName, Node, NodeId, NodeStatus,
    Port, Revision, Timestamp, TtlSeconds, Weight,
};
use serde::{Deserialize, Serialize};

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceRecord {
    /// Never reused.
    pub id: NamespaceId,
    /// Unique at any time.
    pub name: NamespaceName,
    /// What it is for.
    pub description: Description,
    /// Where nodes that name no path of their own are checked.
    pub health_path: HealthPath,
    /// Milliseconds since 1970.
    pub created_at_ms: u64,
    /// Milliseconds since 1970.
    pub updated_at_ms: u64,
    /// The revision that last changed it (its nodes do not count).
    pub mod_revision: Revision,
}

impl NamespaceRecord {
    /// As clients see it, without counts.
    pub fn view(&self) -> Namespace {
        Namespace {
            id: self.id,
            name: self.name.clone(),
            description: self.description.clone(),
            health_path: self.health_path.clone(),
            created_at: Timestamp::from_unix_ms(self.created_at_ms),
            updated_at: Timestamp::from_unix_ms(self.updated_at_ms),
            mod_revision: self.mod_revision,
            node_count: None,
            online_count: None,
        }
    }
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// This registration; never reused.
    pub id: NodeId,
    /// Its namespace.
    pub ns_id: NamespaceId,
    /// Its namespace's name, shared by all its nodes.
    pub ns: NamespaceName,
    /// Where it listens.
    pub host: Host,
    /// Where it listens.
    pub port: Port,
    /// What the service declared.
    pub registered_weight: Weight,
    /// What the operator set instead.
    pub weight_override: Option<Weight>,
    /// Its own health path.
    pub health_path: Option<HealthPath>,
    /// Heard from lately or not.
    pub status: NodeStatus,
    /// What the service says about it.
    pub metadata: Metadata,
    /// The time to live it asked for.
    pub ttl_seconds: Option<TtlSeconds>,
    /// Changes with each registration and each return, so that an expiry that was decided before
    /// one of them is refused after it. Unique in the cluster's history.
    pub epoch: u64,
    /// When the log last told that it is alive (registration or return), milliseconds since 1970.
    pub heard_at_ms: u64,
    /// Milliseconds since 1970.
    pub created_at_ms: u64,
    /// Milliseconds since 1970.
    pub updated_at_ms: u64,
    /// The revision that last changed it.
    pub mod_revision: Revision,
}

impl NodeRecord {
    /// The weight in force.
    pub fn weight(&self) -> Weight {
        self.weight_override.unwrap_or(self.registered_weight)
    }

    /// Whether clients see the same in both, apart from when it changed. Being heard from is no
    /// difference; an operator's weight is one even where it equals the declared weight, because it
    /// decides what the next registration does.
    pub(crate) fn looks_like(&self, other: &Self) -> bool {
        let seen =
            |node: &'_ Self| (node.registered_weight, node.weight_override, node.status, node.ttl_seconds);
        seen(self) == seen(other)
            && self.ns == other.ns
            && self.health_path == other.health_path
            && self.metadata == other.metadata
    }

    /// As clients see it, without `last_heartbeat`: that is the lease keeper's to know.
    pub fn view(&self) -> Node {
        Node {
            id: self.id,
            ns: self.ns.clone(),
            host: self.host.clone(),
            port: self.port,
            weight: self.weight(),
            registered_weight: self.registered_weight,
            health_path: self.health_path.clone(),
            status: self.status,
            metadata: self.metadata.clone(),
            ttl_seconds: self.ttl_seconds,
            last_heartbeat: None,
            created_at: Timestamp::from_unix_ms(self.created_at_ms),
            updated_at: Timestamp::from_unix_ms(self.updated_at_ms),
            mod_revision: self.mod_revision,
        }
    }
}
