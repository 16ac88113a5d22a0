//! From what the registry tells and what the health checks find to the tables that requests are
//! routed by.
//!
//! [`Router`] owns the view of the registry and rebuilds the tables when something changed. Requests
//! do not come here: each listener holds its namespace's [`SharedTable`] and loads it once a request.

mod alias;
mod endpoint;
mod table;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use kenger_types::feed::{ChangeEvent, SnapshotEvent};
use kenger_types::{ClusterId, HealthPath, Host, NamespaceName, Node, NodeStatus, Port, Revision};
use tokio::sync::watch;

use endpoint::Endpoints;
pub(crate) use endpoint::{Endpoint, EndpointId};
use table::Candidate;
pub(crate) use table::{NoNode, Serving, Table};
pub(crate) use view::Refused;
use view::{NamespaceView, RegistryView, Touched};

/// The table of one namespace; replaced as a whole, loaded without a lock.
pub(crate) type SharedTable = Arc<ArcSwap<Table>>;

/// What a health check connects to and asks for. Nodes of several namespaces that share an address
/// and a path share the check.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Target {
    pub(crate) host: Host,
    pub(crate) port: Port,
    pub(crate) path: HealthPath,
}

impl Target {
    fn of(view: &NamespaceView, node: &Node) -> Self {
        Self { host: node.host.clone(), port: node.port, path: view.health_path(node).clone() }
    }
}

/// The endpoints that tables route to: connections to others need not be kept.
#[derive(Debug, Default)]
pub(crate) struct LiveEndpoints {
    ids: HashSet<EndpointId>,
    /// `None` before anything was published.
    newest: Option<EndpointId>,
}

impl LiveEndpoints {
    /// Whether a connection to this endpoint may be used again. One that is newer than this set is
    /// in a table that was published just now.
    pub(crate) fn contains(&self, id: EndpointId) -> bool {
        self.newest.is_none_or(|newest| id > newest) || self.ids.contains(&id)
    }
}

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
    live: watch::Sender<Arc<LiveEndpoints>>,
    /// Told whenever the view changed; health checks and the cache follow it.
    view_changed: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    view: RegistryView,
    unhealthy: HashSet<Target>,
    endpoints: Endpoints,
}

impl Router {
    /// Tables for these namespaces, none of which is known yet, read by this many workers.
    pub(crate) fn new(namespaces: impl IntoIterator<Item = NamespaceName>, workers: usize) -> Self {
        let unknown = || Arc::new(ArcSwap::from_pointee(Table::nobody(Revision(0), NoNode::NothingKnown)));
        Self {
            tables: namespaces.into_iter().map(|name| (name, unknown())).collect(),
            state: Mutex::new(State {
                view: RegistryView::default(),
                unhealthy: HashSet::new(),
                endpoints: Endpoints::new(workers),
            }),
            live: watch::Sender::default(),
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

    /// The endpoints in use, and each later set of them.
    pub(crate) fn live_endpoints(&self) -> watch::Receiver<Arc<LiveEndpoints>> {
        self.live.subscribe()
    }

    /// Wakes whenever the view changed.
    pub(crate) fn view_changes(&self) -> watch::Receiver<()> {
        self.view_changed.subscribe()
    }

    /// Applies what the registry told, in order, and publishes the tables that it changes.
    ///
    /// # Errors
    /// The first event that is refused; those before it are applied, those after it are not.
    pub(crate) fn apply(&self, updates: impl IntoIterator<Item = FeedUpdate>) -> Result<(), Refused> {
        let mut state = self.lock();
        let mut touched: Option<Touched> = None;
        let mut refused = Ok(());
        for update in updates {
            let applied = match update {
                FeedUpdate::Snapshot(event) => state.view.apply_snapshot(event),
                FeedUpdate::Change(event) => state.view.apply_change(event),
                FeedUpdate::Reached(revision) => {
                    state.view.reached(revision);
                    continue;
                }
            };
            match applied {
                Ok(more) => touched = Some(merge(touched, more)),
                Err(error) => {
                    refused = Err(error);
                    break;
                }
            }
        }
        if let Some(touched) = touched {
            if !state.unhealthy.is_empty() {
                let present = self.targets_of(&state);
                state.unhealthy.retain(|target| present.contains(target));
            }
            self.publish(&mut state, &touched);
            self.view_changed.send_replace(());
        }
        refused
    }

    /// What the health checks found: `true` is healthy. Targets that no node has any more are left
    /// out.
    pub(crate) fn report_health(&self, found: impl IntoIterator<Item = (Target, bool)>) {
        let mut state = self.lock();
        let present = self.targets_of(&state);
        let mut changed = false;
        for (target, is_healthy) in found {
            changed |= if is_healthy {
                state.unhealthy.remove(&target)
            } else {
                present.contains(&target) && state.unhealthy.insert(target)
            };
        }
        if changed {
            self.publish(&mut state, &Touched::All);
        }
    }

    /// What is to be checked: the online nodes of all namespaces that have a table.
    pub(crate) fn targets(&self) -> HashSet<Target> {
        self.targets_of(&self.lock())
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
    pub(crate) fn snapshot(&self) -> Option<SnapshotEvent> {
        self.lock().view.snapshot()
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
            .iter()
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

    fn targets_of(&self, state: &State) -> HashSet<Target> {
        let views = self.tables.keys().filter_map(|name| state.view.namespace(name));
        views.flat_map(|view| online(view).map(|node| Target::of(view, node))).collect()
    }

    /// Builds and publishes the tables of the touched namespaces, then the set of live endpoints.
    fn publish(&self, state: &mut State, touched: &Touched) {
        for (name, shared) in &self.tables {
            let is_touched = match touched {
                Touched::All => true,
                Touched::Some(names) => names.contains(name),
            };
            if is_touched {
                shared.store(Arc::new(state.build(name)));
            }
        }
        let tables = self.tables.values().map(|shared| shared.load());
        let ids =
            tables.flat_map(|table| table.endpoints().iter().map(|endpoint| endpoint.id).collect::<Vec<_>>());
        let live = LiveEndpoints { ids: ids.collect(), newest: Some(state.endpoints.newest()) };
        self.live.send_replace(Arc::new(live));
        state.endpoints.forget_unused();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done by a panic: the tables are replaced as wholes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn build(&mut self, name: &NamespaceName) -> Table {
        let revision = self.view.revision();
        let Some(view) = self.view.namespace(name) else {
            return Table::nobody(revision, NoNode::NoSuchNamespace);
        };
        let mut candidates = Vec::with_capacity(view.nodes.len());
        for node in view.nodes.values() {
            if let Some(endpoint) = self.endpoints.at(&node.host, node.port) {
                let is_healthy =
                    self.unhealthy.is_empty() || !self.unhealthy.contains(&Target::of(view, node));
                candidates.push(Candidate { node, endpoint, is_healthy });
            }
        }
        Table::build(revision, &candidates)
    }

    fn reports(&self, view: &NamespaceView) -> Vec<NodeReport> {
        view.nodes
            .values()
            .filter(|node| node.status == NodeStatus::Online)
            .map(|node| {
                let target = Target::of(view, node);
                let is_healthy = !self.unhealthy.contains(&target);
                NodeReport { node: Arc::clone(node), health_path: target.path, is_healthy }
            })
            .collect()
    }
}

fn online(view: &NamespaceView) -> impl Iterator<Item = &Arc<Node>> {
    view.nodes.values().filter(|node| node.status == NodeStatus::Online)
}

fn merge(before: Option<Touched>, more: Touched) -> Touched {
    match (before, more) {
        (None, more) => more,
        (Some(Touched::Some(mut names)), Touched::Some(more)) => {
            names.extend::<BTreeSet<_>>(more);
            Touched::Some(names)
        }
        _ => Touched::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{change, deleted, node, put, snapshot};

    fn demo() -> NamespaceName {
        "demo".parse().unwrap()
    }

    fn router(nodes: Vec<Node>) -> Router {
        let router = Router::new([demo()], 1);
        router.apply([FeedUpdate::Snapshot(snapshot(10, &["demo"], nodes))]).unwrap();
        router
    }

    fn ports(router: &Router) -> Vec<u16> {
        router.table(&demo()).unwrap().load().endpoints().iter().map(|endpoint| endpoint.port.get()).collect()
    }

    fn target(port: u16) -> Target {
        let node = node("demo", port, 1);
        Target { host: node.host, port: node.port, path: HealthPath::default() }
    }

    #[test]
    fn a_weight_of_zero_takes_a_node_out_with_the_next_table() {
        let router = router(vec![node("demo", 1, 100), node("demo", 2, 100)]);
        assert_eq!(ports(&router), [1, 2]);
        router.apply([FeedUpdate::Change(change(11, vec![put(node("demo", 1, 0))]))]).unwrap();
        assert_eq!(ports(&router), [2]);
        assert_eq!(router.position().unwrap().1, Revision(11));
    }

    #[test]
    fn events_before_a_refused_one_are_in_force() {
        let router = router(vec![node("demo", 1, 100)]);
        let first = FeedUpdate::Change(change(11, vec![put(node("demo", 2, 1))]));
        let again = FeedUpdate::Change(change(11, vec![put(node("demo", 3, 1))]));
        assert!(router.apply([first, again]).is_err());
        assert_eq!(ports(&router), [1, 2]);
    }

    #[test]
    fn health_moves_a_node_out_and_back_in() {
        let router = router(vec![node("demo", 1, 100), node("demo", 2, 100)]);
        router.report_health([(target(1), false)]);
        assert_eq!(ports(&router), [2]);
        assert_eq!(router.nodes(&demo()).unwrap().iter().filter(|report| report.is_healthy).count(), 1);
        router.report_health([(target(1), true)]);
        assert_eq!(ports(&router), [1, 2]);
    }

    #[test]
    fn a_finding_about_a_removed_node_does_not_wait_for_its_return() {
        let router = router(vec![node("demo", 1, 100), node("demo", 2, 100)]);
        router.report_health([(target(1), false)]);
        router.apply([FeedUpdate::Change(change(11, vec![deleted(&node("demo", 1, 100))]))]).unwrap();
        router.report_health([(target(1), false)]);
        assert_eq!(router.targets().len(), 1);
        router.apply([FeedUpdate::Change(change(12, vec![put(node("demo", 1, 100))]))]).unwrap();
        assert_eq!(ports(&router), [1, 2], "new nodes are healthy until proven otherwise");
    }

    #[test]
    fn live_endpoints_are_those_of_the_tables_and_newer_ones() {
        let router = router(vec![node("demo", 1, 100), node("demo", 2, 100)]);
        let live = router.live_endpoints();
        let ids: Vec<_> = router.table(&demo()).unwrap().load().endpoints().iter().map(|e| e.id).collect();
        assert!(ids.iter().all(|id| live.borrow().contains(*id)));
        router.apply([FeedUpdate::Change(change(11, vec![deleted(&node("demo", 1, 100))]))]).unwrap();
        assert!(!live.borrow().contains(ids[0]));
        assert!(live.borrow().contains(ids[1]));
        assert!(live.borrow().contains(EndpointId(1_000)));
    }

    #[test]
    fn a_check_is_shared_by_the_namespaces_that_name_the_same_address_and_path() {
        let router = Router::new([demo(), "other".parse().unwrap()], 1);
        let nodes = vec![node("demo", 1, 100), node("other", 1, 100), node("unserved", 2, 100)];
        router.apply([FeedUpdate::Snapshot(snapshot(1, &["demo", "other", "unserved"], nodes))]).unwrap();
        assert_eq!(router.targets(), HashSet::from([target(1)]));
        router.report_health([(target(1), false)]);
        for name in ["demo", "other"] {
            let table = router.table(&name.parse().unwrap()).unwrap().load();
            assert_eq!(table.serving, Serving::Panic);
        }
    }
}
