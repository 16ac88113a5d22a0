//! What the registry has told, event by event. Pure: no clock, no connection.
//!
//! *Unknown is not empty*: only a snapshot or a change of the own cluster alters the view, and each
//! one is taken as a whole or not at all.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kenger_mutant::{self as mutant, Mutant};
use kenger_types::feed::{Change, ChangeEvent, SnapshotEvent};
use kenger_types::{ClusterId, HealthPath, Host, Namespace, NamespaceName, Node, Port, Revision};

/// A namespace with its nodes.
#[derive(Debug, Clone)]
pub(crate) struct NamespaceView {
    pub(crate) namespace: Namespace,
    /// By where they listen.
    pub(crate) nodes: BTreeMap<(Host, Port), Arc<Node>>,
}

impl NamespaceView {
    /// Where this node is checked: at its own path, or at the namespace's.
    pub(crate) fn health_path<'a>(&'a self, node: &'a Node) -> &'a HealthPath {
        node.health_path.as_ref().unwrap_or(&self.namespace.health_path)
    }
}

/// Everything that is known of the registry.
#[derive(Debug, Clone, Default)]
pub(crate) struct RegistryView {
    cluster_id: Option<ClusterId>,
    revision: Revision,
    namespaces: HashMap<NamespaceName, NamespaceView>,
}

/// What events changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Touched {
    /// Anything.
    All,
    /// Something of these namespaces.
    Some(BTreeMap<NamespaceName, TouchedNodes>),
}

/// What of a namespace events changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TouchedNodes {
    /// The namespace itself, and so any of its nodes.
    All,
    /// The nodes at these addresses.
    Some(BTreeSet<(Host, Port)>),
}

impl Default for Touched {
    fn default() -> Self {
        Self::Some(BTreeMap::new())
    }
}

impl Touched {
    /// Whether nothing was changed.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Some(namespaces) if namespaces.is_empty())
    }

    fn add(&mut self, change: &Change) {
        let Self::Some(namespaces) = self else { return };
        let touched = match namespaces.get_mut(change.namespace()) {
            Some(touched) => touched,
            None => {
                namespaces.entry(change.namespace().clone()).or_insert(TouchedNodes::Some(BTreeSet::new()))
            }
        };
        let address = match change {
            Change::NamespacePut { .. } | Change::NamespaceDeleted { .. } => {
                *touched = TouchedNodes::All;
                return;
            }
            Change::NodePut { node, .. } => (&node.host, node.port),
            Change::NodeDeleted { host, port, .. } => (host, *port),
        };
        if let TouchedNodes::Some(nodes) = touched {
            nodes.insert((address.0.clone(), address.1));
        }
    }
}

/// Why an event was not taken. The view is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// It tells the history of another cluster.
    #[error("it belongs to cluster {found}, not to {expected}")]
    ForeignCluster {
        /// Whose history the view is.
        expected: ClusterId,
        /// Whose history the event is.
        found: ClusterId,
    },
    /// A change without the state that it changes.
    #[error("revision {found} came without a snapshot before it")]
    NoBase {
        /// The event's revision.
        found: Revision,
    },
    /// Its revision is not after the view's.
    #[error("revision {found} came after revision {known}")]
    NotAfter {
        /// The view's revision.
        known: Revision,
        /// The event's revision.
        found: Revision,
    },
    /// It puts a node into a namespace that nobody told of: something before it is missing.
    #[error("revision {found} puts a node into the unknown namespace {namespace}")]
    UnknownNamespace {
        /// The event's revision.
        found: Revision,
        /// The namespace.
        namespace: NamespaceName,
    },
}

impl RegistryView {
    /// Whose history this is; `None` before anything was told.
    pub(crate) fn cluster_id(&self) -> Option<ClusterId> {
        self.cluster_id
    }

    /// The last revision that changed something here, or up to which all is known.
    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// A namespace by name.
    pub(crate) fn namespace(&self, name: &NamespaceName) -> Option<&NamespaceView> {
        self.namespaces.get(name)
    }

    /// All namespaces, in no order.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = &NamespaceView> {
        self.namespaces.values()
    }

    /// Replaces everything, and notes what that touches.
    pub(crate) fn apply_snapshot(
        &mut self,
        event: SnapshotEvent,
        touched: &mut Touched,
    ) -> Result<(), Refused> {
        self.check_cluster(event.cluster_id)?;
        let mut namespaces: HashMap<_, _> = event
            .namespaces
            .into_iter()
            .map(|namespace| (namespace.name.clone(), NamespaceView { namespace, nodes: BTreeMap::new() }))
            .collect();
        for node in event.nodes {
            let Some(view) = namespaces.get_mut(&node.ns) else {
                return Err(Refused::UnknownNamespace { found: event.revision, namespace: node.ns });
            };
            view.nodes.insert((node.host.clone(), node.port), Arc::new(node));
        }
        *self = Self { cluster_id: Some(event.cluster_id), revision: event.revision, namespaces };
        *touched = Touched::All;
        Ok(())
    }

    /// Applies all changes of one revision, and notes what they touch.
    pub(crate) fn apply_change(&mut self, event: ChangeEvent, touched: &mut Touched) -> Result<(), Refused> {
        let found = event.revision;
        if self.cluster_id.is_none() {
            return Err(Refused::NoBase { found });
        }
        if found <= self.revision {
            return Err(Refused::NotAfter { known: self.revision, found });
        }
        self.check_namespaces(&event)?;
        for change in event.changes {
            touched.add(&change);
            self.apply(change);
        }
        self.revision = found;
        Ok(())
    }

    /// Everything up to this revision has been told.
    pub(crate) fn reached(&mut self, revision: Revision) {
        self.revision = self.revision.max(revision);
    }

    /// The whole view, for the disk.
    pub(crate) fn copy(&self) -> Option<ViewCopy> {
        let mut namespaces: Vec<_> = self.namespaces.values().map(|view| view.namespace.clone()).collect();
        namespaces.sort_by(|a, b| a.name.cmp(&b.name));
        let nodes = namespaces
            .iter()
            .filter_map(|namespace| self.namespaces.get(&namespace.name))
            .flat_map(|view| view.nodes.values().cloned())
            .collect();
        Some(ViewCopy { cluster_id: self.cluster_id?, revision: self.revision, namespaces, nodes })
    }

    fn check_cluster(&self, found: ClusterId) -> Result<(), Refused> {
        match self.cluster_id {
            Some(expected) if expected != found => Err(Refused::ForeignCluster { expected, found }),
            _ => Ok(()),
        }
    }

    /// Before anything is applied: whether each node's namespace will be there when its turn comes.
    fn check_namespaces(&self, event: &ChangeEvent) -> Result<(), Refused> {
        let mut put: BTreeSet<&NamespaceName> = BTreeSet::new();
        let mut deleted: BTreeSet<&NamespaceName> = BTreeSet::new();
        for change in &event.changes {
            match change {
                Change::NamespacePut { namespace } => {
                    put.insert(&namespace.name);
                    deleted.remove(&namespace.name);
                }
                Change::NamespaceDeleted { name, .. } => {
                    put.remove(name);
                    deleted.insert(name);
                }
                Change::NodePut { node, .. } => {
                    let is_known = put.contains(&node.ns)
                        || (self.namespaces.contains_key(&node.ns) && !deleted.contains(&node.ns));
                    if !is_known {
                        let namespace = node.ns.clone();
                        return Err(Refused::UnknownNamespace { found: event.revision, namespace });
                    }
                }
                Change::NodeDeleted { .. } => {}
            }
        }
        Ok(())
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::NamespacePut { namespace } => match self.namespaces.get_mut(&namespace.name) {
                Some(view) if view.namespace.id == namespace.id => view.namespace = namespace,
                _ => {
                    let view = NamespaceView { namespace, nodes: BTreeMap::new() };
                    self.namespaces.insert(view.namespace.name.clone(), view);
                }
            },
            Change::NamespaceDeleted { id, name } => {
                if self.namespaces.get(&name).is_some_and(|view| view.namespace.id == id) {
                    self.namespaces.remove(&name);
                }
            }
            Change::NodePut { node, .. } => {
                if let Some(view) = self.namespaces.get_mut(&node.ns) {
                    view.nodes.insert((node.host.clone(), node.port), Arc::new(node));
                }
            }
            Change::NodeDeleted { .. } if mutant::is(Mutant::GatewayKeepsRemoved) => {}
            Change::NodeDeleted { id, ns, host, port, .. } => {
                if let Some(view) = self.namespaces.get_mut(&ns)
                    && view.nodes.get(&(host.clone(), port)).is_some_and(|node| node.id == id)
                {
                    view.nodes.remove(&(host, port));
                }
            }
        }
    }
}

/// A view that shares its nodes with the one that it was copied from: made quickly, under a lock.
#[derive(Debug)]
pub(crate) struct ViewCopy {
    cluster_id: ClusterId,
    revision: Revision,
    namespaces: Vec<Namespace>,
    nodes: Vec<Arc<Node>>,
}

impl ViewCopy {
    /// As one event. Takes time with many nodes.
    pub(crate) fn into_snapshot(self) -> SnapshotEvent {
        let Self { cluster_id, revision, namespaces, nodes } = self;
        let nodes = nodes.into_iter().map(Arc::unwrap_or_clone).collect();
        SnapshotEvent { cluster_id, revision, namespaces, nodes }
    }
}

#[cfg(test)]
mod tests {
    use kenger_types::feed::NodeCause;

    use super::*;
    use crate::testing::{CLUSTER, change, deleted, namespace, node, put, snapshot};

    fn view() -> RegistryView {
        let mut view = RegistryView::default();
        apply_snapshot(&mut view, snapshot(10, &["demo"], vec![node("demo", 1, 100)])).unwrap();
        view
    }

    fn apply_snapshot(view: &mut RegistryView, event: SnapshotEvent) -> Result<(), Refused> {
        view.apply_snapshot(event, &mut Touched::default())
    }

    /// Applies a change; which namespaces it touched.
    fn apply_change(view: &mut RegistryView, event: ChangeEvent) -> Result<Vec<String>, Refused> {
        let mut touched = Touched::default();
        view.apply_change(event, &mut touched)?;
        let Touched::Some(namespaces) = touched else { return Ok(vec!["all".to_owned()]) };
        Ok(namespaces.keys().map(ToString::to_string).collect())
    }

    fn ports(view: &RegistryView, name: &str) -> Option<Vec<u16>> {
        let view = view.namespace(&name.parse().unwrap())?;
        Some(view.nodes.keys().map(|(_, port)| port.get()).collect())
    }

    #[test]
    fn a_snapshot_replaces_everything() {
        let mut view = view();
        apply_snapshot(&mut view, snapshot(20, &["other"], vec![node("other", 2, 1)])).unwrap();
        assert_eq!(ports(&view, "demo"), None);
        assert_eq!(ports(&view, "other"), Some(vec![2]));
        assert_eq!(view.revision(), Revision(20));
    }

    #[test]
    fn the_events_of_a_foreign_cluster_change_nothing() {
        let mut view = view();
        let foreign = SnapshotEvent { cluster_id: ClusterId(99), ..snapshot(50, &[], Vec::new()) };
        let refused = apply_snapshot(&mut view, foreign);
        assert_eq!(refused, Err(Refused::ForeignCluster { expected: CLUSTER, found: ClusterId(99) }));
        assert_eq!(ports(&view, "demo"), Some(vec![1]));
        assert_eq!(view.revision(), Revision(10));
    }

    #[test]
    fn changes_are_applied_in_order_and_name_what_they_touch() {
        let mut view = view();
        let changes = vec![put(node("demo", 2, 5)), deleted(&node("demo", 1, 100))];
        let touched = apply_change(&mut view, change(11, changes)).unwrap();
        assert_eq!(touched, ["demo"]);
        assert_eq!(ports(&view, "demo"), Some(vec![2]));
        assert_eq!(view.revision(), Revision(11));
    }

    #[test]
    fn a_change_that_is_not_after_the_view_is_refused_whole() {
        let mut view = view();
        let refused = apply_change(&mut view, change(10, vec![deleted(&node("demo", 1, 100))]));
        assert_eq!(refused, Err(Refused::NotAfter { known: Revision(10), found: Revision(10) }));
        assert_eq!(ports(&view, "demo"), Some(vec![1]));
        let refused = apply_change(&mut RegistryView::default(), change(1, Vec::new()));
        assert_eq!(refused, Err(Refused::NoBase { found: Revision(1) }));
    }

    #[test]
    fn a_change_that_lacks_its_namespace_is_refused_whole() {
        let mut view = view();
        let changes = vec![deleted(&node("demo", 1, 100)), put(node("nowhere", 2, 5))];
        assert!(matches!(
            apply_change(&mut view, change(11, changes)),
            Err(Refused::UnknownNamespace { .. })
        ));
        assert_eq!(ports(&view, "demo"), Some(vec![1]), "nothing of it was applied");
        assert_eq!(view.revision(), Revision(10));
    }

    #[test]
    fn a_namespace_that_is_deleted_takes_its_nodes_along() {
        let mut view = view();
        let gone = namespace("demo");
        apply_change(&mut view, change(11, vec![Change::NamespaceDeleted { id: gone.id, name: gone.name }]))
            .unwrap();
        assert_eq!(ports(&view, "demo"), None);
    }

    #[test]
    fn a_renamed_namespace_keeps_its_nodes_under_the_new_name() {
        let mut view = view();
        let before = namespace("demo");
        let mut after = before.clone();
        after.name = "renamed".parse().unwrap();
        let mut moved = node("demo", 1, 100);
        moved.ns = after.name.clone();
        let changes = vec![
            Change::NamespaceDeleted { id: before.id, name: before.name },
            Change::NamespacePut { namespace: after },
            Change::NodePut { cause: NodeCause::NamespaceRenamed, node: moved },
        ];
        let touched = apply_change(&mut view, change(11, changes)).unwrap();
        assert_eq!(touched, ["demo", "renamed"]);
        assert_eq!((ports(&view, "demo"), ports(&view, "renamed")), (None, Some(vec![1])));
    }

    #[test]
    fn the_deletion_of_an_earlier_registration_does_not_remove_the_present_one() {
        let mut view = view();
        let mut earlier = node("demo", 1, 100);
        earlier.id = kenger_types::NodeId(999_999);
        apply_change(&mut view, change(11, vec![deleted(&earlier)])).unwrap();
        assert_eq!(ports(&view, "demo"), Some(vec![1]));
    }

    #[test]
    fn a_snapshot_of_the_view_restores_it() {
        let mut original = view();
        original.reached(Revision(12));
        let mut restored = RegistryView::default();
        apply_snapshot(&mut restored, original.copy().unwrap().into_snapshot()).unwrap();
        assert_eq!(restored.revision(), Revision(12));
        assert_eq!(ports(&restored, "demo"), Some(vec![1]));
        assert!(RegistryView::default().copy().is_none());
    }
}
