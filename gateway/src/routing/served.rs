//! A namespace that a listener serves: its nodes as a table needs them, and whether the table in force
//! is still right.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kenger_types::{Host, NamespaceName, Node, NodeStatus, Port, Revision};

use super::SharedTable;
use super::endpoint::{Endpoint, Endpoints};
use super::table::{Candidate, NoNode, Serving, Table};
use super::targets::{Checked, Target, Targets};
use super::view::{NamespaceView, TouchedNodes};

/// A namespace with a table.
#[derive(Debug)]
pub(super) struct Served {
    name: NamespaceName,
    table: SharedTable,
    /// The registry has it.
    exists: bool,
    nodes: BTreeMap<(Host, Port), Entry>,
    /// The table in force is not what it would be made to be now.
    is_stale: bool,
}

/// A node as the table needs it.
#[derive(Debug)]
struct Entry {
    endpoint: Arc<Endpoint>,
    weight: u16,
    /// What is checked; only online nodes are.
    checked: Option<Arc<Checked>>,
}

impl Entry {
    fn candidate(&self) -> Candidate<'_> {
        Candidate {
            endpoint: &self.endpoint,
            weight: self.weight,
            is_online: self.checked.is_some(),
            is_healthy: self.checked.as_ref().is_some_and(|checked| checked.is_healthy()),
        }
    }

    /// What decides about the table: whether it is online, its weight, its health.
    fn share(&self) -> (bool, u16, bool) {
        let candidate = self.candidate();
        (candidate.is_online, candidate.weight, candidate.is_healthy)
    }
}

/// Whether a node with this share can take traffic.
fn takes_traffic(share: Option<(bool, u16, bool)>) -> bool {
    share.is_some_and(|(is_online, weight, _)| is_online && weight > 0)
}

impl Served {
    pub(super) fn new(name: NamespaceName, table: SharedTable) -> Self {
        Self { name, table, exists: false, nodes: BTreeMap::new(), is_stale: false }
    }

    /// Takes over what has changed of the namespace.
    pub(super) fn update(
        &mut self,
        view: Option<&NamespaceView>,
        touched: &TouchedNodes,
        targets: &mut Targets,
        endpoints: &mut Endpoints,
    ) {
        match touched {
            TouchedNodes::Some(addresses) => {
                for address in addresses {
                    self.update_node(view, address, targets, endpoints);
                }
            }
            TouchedNodes::All => {
                let known = self.nodes.keys().cloned();
                let told = view.into_iter().flat_map(|view| view.nodes.keys().cloned());
                for address in &known.chain(told).collect::<BTreeSet<_>>() {
                    self.update_node(view, address, targets, endpoints);
                }
                self.is_stale = true;
            }
        }
        self.exists = view.is_some();
    }

    fn update_node(
        &mut self,
        view: Option<&NamespaceView>,
        address: &(Host, Port),
        targets: &mut Targets,
        endpoints: &mut Endpoints,
    ) {
        let before = self.nodes.get(address).map(Entry::share);
        match view.and_then(|view| Some((view, view.nodes.get(address)?))) {
            Some((view, node)) => self.put(view, node, address, targets, endpoints),
            None => {
                if let Some(entry) = self.nodes.remove(address) {
                    if let Some(checked) = entry.checked {
                        targets.release(&checked, &self.name);
                    }
                    endpoints.release(&entry.endpoint);
                }
            }
        }
        let after = self.nodes.get(address).map(Entry::share);
        // A node that takes no traffic may be the reason that a table without nodes gives.
        let concerns_table = takes_traffic(before)
            || takes_traffic(after)
            || matches!(self.table.load().serving, Serving::Nobody(_));
        self.is_stale |= before != after && concerns_table;
    }

    fn put(
        &mut self,
        view: &NamespaceView,
        node: &Node,
        address: &(Host, Port),
        targets: &mut Targets,
        endpoints: &mut Endpoints,
    ) {
        if !self.nodes.contains_key(address) {
            let Some(endpoint) = endpoints.acquire(&node.host, node.port) else { return };
            self.nodes.insert(address.clone(), Entry { endpoint, weight: 0, checked: None });
        }
        let Some(entry) = self.nodes.get_mut(address) else { return };
        entry.weight = node.weight.get();
        let is_online = node.status == NodeStatus::Online;
        if entry.checked.as_ref().is_some_and(|checked| !is_online || !checked.target.is_of(view, node))
            && let Some(checked) = entry.checked.take()
        {
            targets.release(&checked, &self.name);
        }
        if is_online && entry.checked.is_none() {
            entry.checked = Some(targets.acquire(Target::of(view, node), &self.name));
        }
    }

    /// The health of the node at this address has turned.
    pub(super) fn health_turned(&mut self, host: &Host, port: Port) {
        let entry = self.nodes.get(&(host.clone(), port));
        self.is_stale |= takes_traffic(entry.map(Entry::share));
    }

    /// Whether the node at this address counts as healthy.
    pub(super) fn is_healthy(&self, address: &(Host, Port)) -> Option<bool> {
        Some(self.nodes.get(address)?.candidate().is_healthy)
    }

    /// Puts a new table in force, if the present one is not right any more; whether an endpoint has left
    /// its last table.
    pub(super) fn publish(&mut self, revision: Revision) -> bool {
        if !std::mem::take(&mut self.is_stale) {
            return false;
        }
        let table = if self.exists {
            Table::build(revision, &self.nodes.values().map(Entry::candidate))
        } else {
            Table::nobody(revision, NoNode::NoSuchNamespace)
        };
        // In this order an endpoint that stays never looks as if it had left.
        table.endpoints().iter().for_each(|endpoint| endpoint.enter_table());
        let before = self.table.swap(Arc::new(table));
        before.endpoints().iter().filter(|endpoint| endpoint.leave_table()).count() > 0
    }
}
