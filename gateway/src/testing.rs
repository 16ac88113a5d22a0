//! Values that the unit tests of several modules are built from.

use kenger_types::feed::{Change, ChangeEvent, NodeCause, SnapshotEvent};
use kenger_types::{ClusterId, Namespace, NamespaceId, Node, NodeId, NodeStatus, Revision, Timestamp};

/// The cluster that the tests belong to.
pub(crate) const CLUSTER: ClusterId = ClusterId(7);

/// A namespace with the default health path; its id follows from its name.
pub(crate) fn namespace(name: &str) -> Namespace {
    Namespace {
        id: NamespaceId(name.bytes().map(u64::from).sum()),
        name: name.parse().unwrap(),
        description: Default::default(),
        health_path: Default::default(),
        created_at: Timestamp::from_unix_ms(1_000),
        updated_at: Timestamp::from_unix_ms(2_000),
        mod_revision: Revision(1),
        node_count: None,
        online_count: None,
    }
}

/// An online node on the loopback interface; its id is its port.
pub(crate) fn node(ns: &str, port: u16, weight: u16) -> Node {
    let weight = i64::from(weight).try_into().unwrap();
    Node {
        id: NodeId(port.into()),
        ns: ns.parse().unwrap(),
        host: "127.0.0.1".parse().unwrap(),
        port: i64::from(port).try_into().unwrap(),
        weight,
        registered_weight: weight,
        health_path: None,
        status: NodeStatus::Online,
        metadata: Default::default(),
        ttl_seconds: None,
        last_heartbeat: None,
        created_at: Timestamp::from_unix_ms(1_000),
        updated_at: Timestamp::from_unix_ms(2_000),
        mod_revision: Revision(1),
    }
}

/// A snapshot of the tests' cluster.
pub(crate) fn snapshot(revision: u64, namespaces: &[&str], nodes: Vec<Node>) -> SnapshotEvent {
    let namespaces = namespaces.iter().map(|name| namespace(name)).collect();
    SnapshotEvent { cluster_id: CLUSTER, revision: Revision(revision), namespaces, nodes }
}

/// The changes of one revision.
pub(crate) fn change(revision: u64, changes: Vec<Change>) -> ChangeEvent {
    ChangeEvent { revision: Revision(revision), changes }
}

/// A node is new or different.
pub(crate) fn put(node: Node) -> Change {
    Change::NodePut { cause: NodeCause::Registered, node }
}

/// A node is gone.
pub(crate) fn deleted(node: &Node) -> Change {
    Change::NodeDeleted {
        cause: NodeCause::Deregistered,
        id: node.id,
        ns: node.ns.clone(),
        host: node.host.clone(),
        port: node.port,
    }
}
