//! Everything that is replicated: the tables, how they are read, and the few ways to write to them
//! that keep their indexes and counts in step.

use std::cmp::Ordering;
use std::sync::Arc;

use equivalent::{Comparable, Equivalent};
use imbl::OrdMap;
use kenger_types::{Host, NamespaceId, NamespaceName, NodeId, NodeStatus, Port, Revision};

use crate::record::{NamespaceRecord, NodeRecord};

/// All namespaces and nodes at one revision. Clones share structure: O(1).
///
/// Serialized it is a list of namespaces, each with its nodes, in the order of their keys: equal
/// states give equal bytes. Indexes and counts are built anew when it is read, and data that
/// contradicts itself is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub(crate) revision: Revision,
    pub(crate) next_namespace_id: NamespaceId,
    pub(crate) next_node_id: NodeId,
    pub(crate) next_epoch: u64,
    total: Counts,
    pools: OrdMap<NamespaceId, Pool>,
    namespace_ids: OrdMap<NamespaceName, NamespaceId>,
    nodes: OrdMap<NodeKey, Arc<NodeRecord>>,
    node_keys: OrdMap<NodeId, NodeKey>,
}

/// A namespace with what is known about its nodes as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pool {
    record: Arc<NamespaceRecord>,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    nodes: u64,
    online: u64,
}

impl Counts {
    /// One node went from the one status to the other; `None` is a node that is not there.
    fn moved(&mut self, from: Option<NodeStatus>, to: Option<NodeStatus>) {
        let count = |status: Option<NodeStatus>| {
            (u64::from(status.is_some()), u64::from(status == Some(NodeStatus::Online)))
        };
        let ((nodes_before, online_before), (nodes_after, online_after)) = (count(from), count(to));
        self.nodes = self.nodes + nodes_after - nodes_before;
        self.online = self.online + online_after - online_before;
    }
}

/// Where a node stands among all nodes: those of one namespace are neighbours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct NodeKey {
    ns_id: NamespaceId,
    host: Host,
    port: Port,
}

impl NodeKey {
    fn of(node: &NodeRecord) -> Self {
        Self { ns_id: node.ns_id, host: node.host.clone(), port: node.port }
    }
}

/// A place just before the first or just after the last node of a namespace; no node is there.
struct Edge {
    ns_id: NamespaceId,
    is_end: bool,
}

impl Equivalent<NodeKey> for Edge {
    fn equivalent(&self, _: &NodeKey) -> bool {
        false
    }
}

impl Comparable<NodeKey> for Edge {
    fn compare(&self, key: &NodeKey) -> Ordering {
        let within = if self.is_end { Ordering::Greater } else { Ordering::Less };
        self.ns_id.cmp(&key.ns_id).then(within)
    }
}

impl Default for State {
    /// Nothing yet, at revision 0. Numbers are given out from 1 on.
    fn default() -> Self {
        Self {
            revision: Revision(0),
            next_namespace_id: NamespaceId(1),
            next_node_id: NodeId(1),
            next_epoch: 1,
            total: Counts::default(),
            pools: OrdMap::new(),
            namespace_ids: OrdMap::new(),
            nodes: OrdMap::new(),
            node_keys: OrdMap::new(),
        }
    }
}

impl State {
    /// Counts the commands that changed anything observable.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// All namespaces, by name.
    pub fn namespaces(&self) -> impl Iterator<Item = &Arc<NamespaceRecord>> {
        self.namespace_ids.values().filter_map(|id| self.namespace_by_id(*id))
    }

    /// A namespace by name.
    pub fn namespace(&self, name: &NamespaceName) -> Option<&Arc<NamespaceRecord>> {
        self.namespace_by_id(*self.namespace_ids.get(name)?)
    }

    /// A namespace by number.
    pub fn namespace_by_id(&self, id: NamespaceId) -> Option<&Arc<NamespaceRecord>> {
        self.pools.get(&id).map(|pool| &pool.record)
    }

    /// All nodes of a namespace, by host and port.
    pub fn nodes_of(&self, id: NamespaceId) -> impl Iterator<Item = &Arc<NodeRecord>> {
        let range = Edge { ns_id: id, is_end: false }..Edge { ns_id: id, is_end: true };
        self.nodes.range(range).map(|(_, node)| node)
    }

    /// All nodes, by namespace number, host and port.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<NodeRecord>> {
        self.nodes.values()
    }

    /// A node by where it listens.
    pub fn node(&self, ns: &NamespaceName, host: &Host, port: Port) -> Option<&Arc<NodeRecord>> {
        let ns_id = *self.namespace_ids.get(ns)?;
        self.nodes.get(&NodeKey { ns_id, host: host.clone(), port })
    }

    /// A node by number.
    pub fn node_by_id(&self, id: NodeId) -> Option<&Arc<NodeRecord>> {
        self.nodes.get(self.node_keys.get(&id)?)
    }

    /// How many nodes a namespace has, and how many of them are online: O(1).
    pub fn counts(&self, id: NamespaceId) -> (u64, u64) {
        self.pools.get(&id).map_or((0, 0), |pool| (pool.counts.nodes, pool.counts.online))
    }

    /// How many nodes there are, and how many of them are online: O(1).
    pub fn total_counts(&self) -> (u64, u64) {
        (self.total.nodes, self.total.online)
    }

    /// How many namespaces there are: O(1).
    pub fn namespace_count(&self) -> u64 {
        self.pools.len() as u64
    }

    /// Adds a namespace, or replaces the one with its number. Its nodes stay as they are.
    pub(crate) fn put_namespace(&mut self, record: Arc<NamespaceRecord>) {
        let (id, name) = (record.id, record.name.clone());
        match self.pools.get_mut(&id) {
            Some(pool) => {
                let before = std::mem::replace(&mut pool.record, record);
                if before.name != name {
                    self.namespace_ids.remove(&before.name);
                }
            }
            None => {
                self.pools.insert(id, Pool { record, counts: Counts::default() });
            }
        }
        self.namespace_ids.insert(name, id);
    }

    /// Removes a namespace and its nodes; returns the nodes.
    pub(crate) fn remove_namespace(&mut self, id: NamespaceId) -> Vec<Arc<NodeRecord>> {
        let nodes: Vec<_> = self.nodes_of(id).cloned().collect();
        for node in &nodes {
            self.remove_node(node);
        }
        if let Some(pool) = self.pools.remove(&id) {
            self.namespace_ids.remove(&pool.record.name);
        }
        nodes
    }

    /// Adds a node, or replaces the one at its place, which has the same number. The namespace is
    /// there.
    pub(crate) fn put_node(&mut self, node: Arc<NodeRecord>) {
        let (id, ns_id, status) = (node.id, node.ns_id, node.status);
        let key = NodeKey::of(&node);
        let before = match self.nodes.get_mut(&key) {
            Some(slot) => Some(std::mem::replace(slot, node).status),
            None => {
                self.node_keys.insert(id, key.clone());
                self.nodes.insert(key, node);
                None
            }
        };
        self.count(ns_id, before, Some(status));
    }

    /// Removes a node.
    pub(crate) fn remove_node(&mut self, node: &NodeRecord) {
        if let Some(key) = self.node_keys.remove(&node.id)
            && let Some(removed) = self.nodes.remove(&key)
        {
            self.count(removed.ns_id, Some(removed.status), None);
        }
    }

    fn count(&mut self, ns_id: NamespaceId, from: Option<NodeStatus>, to: Option<NodeStatus>) {
        if from == to {
            return;
        }
        self.total.moved(from, to);
        if let Some(pool) = self.pools.get_mut(&ns_id) {
            pool.counts.moved(from, to);
        }
    }
}
