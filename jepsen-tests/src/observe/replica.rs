//! What a subscriber of the feed knows: begun with a snapshot, kept up by changes alone.

use std::collections::BTreeMap;

use kenger_types::feed::{Change, ChangeEvent, SnapshotEvent};
use kenger_types::{Namespace, NamespaceId, Node, NodeId};

/// Namespaces and nodes at one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replica {
    /// What it is up to date with.
    pub revision: u64,
    namespaces: BTreeMap<NamespaceId, Namespace>,
    nodes: BTreeMap<NodeId, Node>,
}

impl Replica {
    /// Begins anew.
    pub fn replace(&mut self, snapshot: SnapshotEvent) {
        self.revision = snapshot.revision.0;
        self.namespaces =
            snapshot.namespaces.into_iter().map(|namespace| (namespace.id, namespace)).collect();
        self.nodes = snapshot.nodes.into_iter().map(|node| (node.id, node)).collect();
    }

    /// What is told in other ways than by a snapshot event. Counts and times of heartbeats are left out:
    /// the feed does not tell them.
    pub fn of(revision: u64, namespaces: &[Namespace], nodes: &[Node]) -> Self {
        let uncounted =
            |namespace: &Namespace| Namespace { node_count: None, online_count: None, ..namespace.clone() };
        let unheard = |node: &Node| Node { last_heartbeat: None, ..node.clone() };
        Self {
            revision,
            namespaces: namespaces.iter().map(|namespace| (namespace.id, uncounted(namespace))).collect(),
            nodes: nodes.iter().map(|node| (node.id, unheard(node))).collect(),
        }
    }

    /// The same as a subscriber with a filter knows it.
    #[must_use]
    pub fn only(&self, wants: impl Fn(&str) -> bool) -> Self {
        let mut only = self.clone();
        only.namespaces.retain(|_, namespace| wants(namespace.name.as_str()));
        only.nodes.retain(|_, node| wants(node.ns.as_str()));
        only
    }

    /// The first thing in which two differ, for people; `None` if they are equal.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let revisions = || {
            (self.revision != other.revision)
                .then(|| format!("revisions {} and {}", self.revision, other.revision))
        };
        first_difference(&self.namespaces, &other.namespaces)
            .or_else(|| first_difference(&self.nodes, &other.nodes))
            .or_else(revisions)
    }

    /// Takes the changes of the next revision.
    ///
    /// # Errors
    /// They do not fit to what is known.
    pub fn apply(&mut self, event: ChangeEvent) -> Result<(), String> {
        if event.revision.0 != self.revision + 1 {
            return Err(format!("revision {} came after {}", event.revision, self.revision));
        }
        if event.changes.is_empty() {
            return Err(format!("revision {} changes nothing", event.revision));
        }
        self.revision = event.revision.0;
        for change in event.changes {
            self.apply_change(change).map_err(|what| format!("revision {}: {what}", self.revision))?;
        }
        Ok(())
    }

    fn apply_change(&mut self, change: Change) -> Result<(), String> {
        match change {
            Change::NamespacePut { namespace } => {
                self.namespaces.insert(namespace.id, namespace);
            }
            Change::NamespaceDeleted { id, name } => {
                self.namespaces
                    .remove(&id)
                    .ok_or_else(|| format!("namespace {id} goes and was not there"))?;
                self.nodes.retain(|_, node| node.ns != name);
            }
            Change::NodePut { node, .. } => {
                if !self.namespaces.values().any(|namespace| namespace.name == node.ns) {
                    return Err(format!("node {} is in {}, which is not there", node.id, node.ns));
                }
                self.nodes.insert(node.id, node);
            }
            Change::NodeDeleted { id, .. } => {
                self.nodes.remove(&id).ok_or_else(|| format!("node {id} goes and was not there"))?;
            }
        }
        Ok(())
    }

    /// All nodes, by number.
    pub fn nodes(&self) -> Vec<Node> {
        self.nodes.values().cloned().collect()
    }

    /// How what the API lists differs from what the feed told; nothing if it does not.
    pub fn differences(&self, listed: &[Node]) -> Vec<String> {
        let listed: BTreeMap<_, _> = listed
            .iter()
            // When a node was heard from is no change, so the feed does not tell it.
            .map(|node| (node.id, Node { last_heartbeat: None, ..node.clone() }))
            .collect();
        let ids = listed.keys().chain(self.nodes.keys()).collect::<std::collections::BTreeSet<_>>();
        ids.into_iter()
            .filter(|id| listed.get(id) != self.nodes.get(id))
            .map(|id| format!("node {id}: listed {:?}, told {:?}", listed.get(id), self.nodes.get(id)))
            .collect()
    }
}

fn first_difference<K: Ord, V: PartialEq + std::fmt::Debug>(
    a: &BTreeMap<K, V>,
    b: &BTreeMap<K, V>,
) -> Option<String> {
    let key = a.keys().chain(b.keys()).find(|key| a.get(key) != b.get(key))?;
    Some(format!("{:?} and {:?}", a.get(key), b.get(key)))
}
