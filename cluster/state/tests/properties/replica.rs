//! What a subscriber of the feed knows: built from a snapshot, kept up by changes alone.

use std::collections::BTreeMap;

use kenger_state::State;
use kenger_types::feed::Change;
use kenger_types::{Namespace, NamespaceId, Node, NodeId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replica {
    namespaces: BTreeMap<NamespaceId, Namespace>,
    nodes: BTreeMap<NodeId, Node>,
}

impl Replica {
    pub(crate) fn of(state: &State) -> Self {
        Self {
            namespaces: state.namespaces().map(|namespace| (namespace.id, namespace.view())).collect(),
            nodes: state.nodes().map(|node| (node.id, node.view())).collect(),
        }
    }

    /// As the documentation of [`Change`] tells it, and with nothing else known.
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::NamespacePut { namespace } => {
                self.namespaces.insert(namespace.id, namespace.clone());
            }
            Change::NamespaceDeleted { id, name } => {
                assert!(self.namespaces.remove(id).is_some_and(|namespace| namespace.name == *name));
                self.nodes.retain(|_, node| node.ns != *name);
            }
            Change::NodePut { node, .. } => {
                assert!(self.namespaces.values().any(|namespace| namespace.name == node.ns));
                self.nodes.insert(node.id, node.clone());
            }
            Change::NodeDeleted { id, ns, host, port, .. } => {
                let node = self.nodes.remove(id).expect("a node that is deleted was there");
                assert_eq!((&node.ns, &node.host, node.port), (ns, host, *port));
            }
        }
    }
}
