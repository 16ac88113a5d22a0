//! Everything that is replicated, and the one way to change it.

use std::sync::Arc;

use imbl::OrdMap;
use kenger_types::{Host, NamespaceId, NamespaceName, NodeId, Port, Revision};
use serde::{Deserialize, Serialize};

use crate::command::Proposal;
use crate::outcome::Applied;
use crate::record::{NamespaceRecord, NodeRecord};

/// All namespaces and nodes at one revision. Clones share structure: O(1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    revision: Revision,
    _namespaces: OrdMap<NamespaceId, u64>,
}

impl State {
    /// Counts the commands that changed anything observable.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Applies one command. A function of `self` and `proposal` alone.
    pub fn apply(&mut self, _proposal: &Proposal) -> Applied {
        unreachable!()
    }

    /// All namespaces, by name.
    pub fn namespaces(&self) -> impl Iterator<Item = &Arc<NamespaceRecord>> {
        std::iter::empty()
    }

    /// A namespace by name.
    pub fn namespace(&self, _name: &NamespaceName) -> Option<&Arc<NamespaceRecord>> {
        None
    }

    /// A namespace by number.
    pub fn namespace_by_id(&self, _id: NamespaceId) -> Option<&Arc<NamespaceRecord>> {
        None
    }

    /// All nodes of a namespace, by host and port.
    pub fn nodes_of(&self, _id: NamespaceId) -> impl Iterator<Item = &Arc<NodeRecord>> {
        std::iter::empty()
    }

    /// All nodes, by namespace number, host and port.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<NodeRecord>> {
        std::iter::empty()
    }

    /// A node by where it listens.
    pub fn node(&self, _ns: &NamespaceName, _host: &Host, _port: Port) -> Option<&Arc<NodeRecord>> {
        None
    }

    /// A node by number.
    pub fn node_by_id(&self, _id: NodeId) -> Option<&Arc<NodeRecord>> {
        None
    }

    /// How many nodes a namespace has, and how many of them are online: O(1).
    pub fn counts(&self, _id: NamespaceId) -> (u64, u64) {
        (0, 0)
    }

    /// How many nodes there are, and how many of them are online: O(1).
    pub fn total_counts(&self) -> (u64, u64) {
        (0, 0)
    }
}
