//! From what the registry tells and what the health checks find to the tables that requests are
//! routed by.
//!
//! [`Router`] owns the view of the registry and rebuilds the tables when something changed. Requests
//! do not come here: each listener holds its namespace's [`SharedTable`] and loads it once a request.

mod alias;
mod endpoint;
mod served;
mod table;
mod targets;
#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use kenger_types::feed::{ChangeEvent, SnapshotEvent};
use kenger_types::{ClusterId, HealthPath, NamespaceName, Node, NodeStatus, Revision};
use tokio::sync::watch;

use endpoint::Endpoints;
pub(crate) use endpoint::{Endpoint, EndpointId};
use served::Served;
pub(crate) use table::{NoNode, Serving, Table};
use targets::Targets;
pub(crate) use targets::{Target, TargetChange, TargetChanges};
use view::{NamespaceView, RegistryView, Touched, TouchedNodes};
pub(crate) use view::{Refused, ViewCopy};

/// The table of one namespace; replaced as a whole, loaded without a lock.
pub(crate) type SharedTable = Arc<ArcSwap<Table>>;

/// Something that the registry told.
#[derive(Debug)]
pub(crate) enum FeedUpdate {
    /// Everything.
    Snapshot(SnapshotEvent),
    /// The changes of one revision.
    Change(ChangeEvent),
    /// Nothing more up to this revision.
    Reached(Revision),
}

/// A node as the admin API shows it.
#[derive(Debug, Clone)]
pub(crate) struct NodeReport {
    pub(crate) node: Arc<Node>,
    pub(crate) health_path: HealthPath,
    pub(crate) is_healthy: bool,
}

/// Owner of the tables.
#[derive(Debug)]
pub(crate) struct Router {
    tables: BTreeMap<NamespaceName, SharedTable>,
    state: Mutex<State>,
    /// Told whenever an endpoint has left its last table.
    endpoints_left: watch::Sender<()>,
    /// Told whenever the view changed; health checks and the cache follow it.
    view_changed: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    view: RegistryView,
    served: BTreeMap<NamespaceName, Served>,
    targets: Targets,
    endpoints: Endpoints,
}

impl Router {
    /// Tables for these namespaces, none of which is known yet, read by this many workers.
    pub(crate) fn new(namespaces: impl IntoIterator<Item = NamespaceName>, workers: usize) -> Self {
        let unknown = || Arc::new(ArcSwap::from_pointee(Table::nobody(Revision(0), NoNode::NothingKnown)));
        let tables: BTreeMap<_, _> = namespaces.into_iter().map(|name| (name, unknown())).collect();
        let served = |(name, table): (&NamespaceName, &SharedTable)| {
            (name.clone(), Served::new(name.clone(), Arc::clone(table)))
        };
        Self {
            state: Mutex::new(State {
                view: RegistryView::default(),
                served: tables.iter().map(served).collect(),
                targets: Targets::default(),
                endpoints: Endpoints::new(workers),
            }),
            tables,
            endpoints_left: watch::Sender::default(),
            view_changed: watch::Sender::default(),
        }
    }

    /// The namespaces that have a table, in order.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = &NamespaceName> {
        self.tables.keys()
    }

    /// The table of a namespace that the router was made with.
    pub(crate) fn table(&self, namespace: &NamespaceName) -> Option<&SharedTable> {
        self.tables.get(namespace)
    }

    /// Wakes whenever an endpoint has left its last table.
    pub(crate) fn endpoints_left(&self) -> watch::Receiver<()> {
        self.endpoints_left.subscribe()
    }

    /// Wakes whenever the view changed.
    pub(crate) fn view_changes(&self) -> watch::Receiver<()> {
        self.view_changed.subscribe()
    }

    /// Applies what the registry told, in order, and publishes the tables that it changes, each once.
    ///
    /// # Errors
    /// The first event that is refused; those before it are applied, those after it are not.
    pub(crate) fn apply(&self, updates: impl IntoIterator<Item = FeedUpdate>) -> Result<(), Refused> {
        let mut state = self.lock();
        let mut touched = Touched::default();
        let mut applied = Ok(());
        for update in updates {
            applied = match update {
                FeedUpdate::Snapshot(event) => state.view.apply_snapshot(event, &mut touched),
                FeedUpdate::Change(event) => state.view.apply_change(event, &mut touched),
                FeedUpdate::Reached(revision) => {
                    state.view.reached(revision);
                    Ok(())
                }
            };
            if applied.is_err() {
                break;
            }
        }
        if !touched.is_empty() {
            state.update(&touched);
            self.publish(&mut state);
            self.view_changed.send_replace(());
        }
        applied
    }

    /// What the health checks found: `true` is healthy. Targets that no node has any more are left
    /// out.
    pub(crate) fn report_health(&self, found: impl IntoIterator<Item = (Target, bool)>) {
        let mut state = self.lock();
        let State { served, targets, .. } = &mut *state;
        for (target, is_healthy) in found {
            for name in targets.set_health(&target, is_healthy) {
                if let Some(served) = served.get_mut(name) {
                    served.health_turned(&target.host, target.port);
                }
            }
        }
        self.publish(&mut state);
    }

    /// What has become of what is to be checked, which is the online nodes of all namespaces that have
    /// a table, since the last call. For one caller: what it was told, nobody else is.
    pub(crate) fn take_target_changes(&self) -> TargetChanges {
        self.lock().targets.take_changes()
    }

    /// Cluster and revision of the view; `None` before anything was told.
    pub(crate) fn position(&self) -> Option<(ClusterId, Revision)> {
        let state = self.lock();
        state.view.cluster_id().map(|cluster_id| (cluster_id, state.view.revision()))
    }

    /// What a mutant makes of the loss of the feed: a registry without anything in it.
    pub(crate) fn emptied(&self) -> Option<FeedUpdate> {
        let (cluster_id, revision) = self.position()?;
        let (namespaces, nodes) = (Vec::new(), Vec::new());
        Some(FeedUpdate::Snapshot(SnapshotEvent { cluster_id, revision, namespaces, nodes }))
    }

    /// The whole view, for the disk.
    pub(crate) fn copy(&self) -> Option<ViewCopy> {
        self.lock().view.copy()
    }

    /// The online nodes of a namespace; `None` if the registry has no such namespace.
    pub(crate) fn nodes(&self, namespace: &NamespaceName) -> Option<Vec<NodeReport>> {
        let state = self.lock();
        Some(state.reports(state.view.namespace(namespace)?))
    }

    /// The online nodes of every namespace that is known.
    pub(crate) fn all_nodes(&self) -> BTreeMap<NamespaceName, Vec<NodeReport>> {
        let state = self.lock();
        state.view.namespaces().map(|view| (view.namespace.name.clone(), state.reports(view))).collect()
    }

    /// Endpoints with what was counted of them, at most `limit`, those with the most requests first;
    /// and how many were left out.
    pub(crate) fn endpoint_totals(&self, limit: usize) -> (Vec<(String, u64, u64)>, usize) {
        let mut totals: Vec<_> = self
            .lock()
            .endpoints
            .live()
            .map(|endpoint| {
                let (requests, failures) = endpoint.totals();
                (endpoint.host.authority(endpoint.port), requests, failures)
            })
            .collect();
        totals.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let left_out = totals.len().saturating_sub(limit);
        totals.truncate(limit);
        (totals, left_out)
    }

    /// Puts the tables in force that have to be others.
    fn publish(&self, state: &mut State) {
        let revision = state.view.revision();
        let leaving = state.served.values_mut().filter_map(|served| served.publish(revision).then_some(()));
        if leaving.count() > 0 {
            self.endpoints_left.send_replace(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done by a panic: the tables are replaced as wholes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes over from the view what events touched.
    fn update(&mut self, touched: &Touched) {
        let Self { view, served, targets, endpoints } = self;
        match touched {
            Touched::All => {
                for (name, served) in served {
                    served.update(view.namespace(name), &TouchedNodes::All, targets, endpoints);
                }
            }
            Touched::Some(namespaces) => {
                for (name, nodes) in namespaces {
                    if let Some(served) = served.get_mut(name) {
                        served.update(view.namespace(name), nodes, targets, endpoints);
                    }
                }
            }
        }
    }

    fn reports(&self, view: &NamespaceView) -> Vec<NodeReport> {
        let served = self.served.get(&view.namespace.name);
        view.nodes
            .iter()
            .filter(|(_, node)| node.status == NodeStatus::Online)
            .map(|(address, node)| NodeReport {
                node: Arc::clone(node),
                health_path: view.health_path(node).clone(),
                is_healthy: served.and_then(|served| served.is_healthy(address)).unwrap_or(true),
            })
            .collect()
    }
}
