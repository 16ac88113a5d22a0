//! The routing table of one namespace: immutable, built off the request path, read with one load.

use std::sync::Arc;

use kenger_types::{Node, NodeStatus, Revision};

use super::alias::AliasTable;
use super::endpoint::Endpoint;

/// How many random picks may hit an endpoint that was tried before the rest is looked at in order.
const PICKS_BEFORE_SCAN: usize = 4;

/// Whether and how requests can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Serving {
    /// By nodes that are online, have a weight and are healthy.
    Normal,
    /// No node that could serve is healthy, so all of them are tried: a broken health check must not
    /// take a whole service down.
    Panic,
    /// By nobody.
    Nobody(NoNode),
}

/// Why no node can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoNode {
    /// Neither the registry nor the cache has told anything yet.
    NothingKnown,
    /// The registry has no such namespace.
    NoSuchNamespace,
    /// The namespace has no node.
    NoNodes,
    /// It has nodes, none of them online.
    AllOffline,
    /// Each online node has a weight of 0.
    AllWeightsZero,
}

/// A node as the table is built from it.
#[derive(Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) node: &'a Node,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) is_healthy: bool,
}

/// Who serves the requests of a namespace.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) revision: Revision,
    pub(crate) serving: Serving,
    endpoints: Box<[Arc<Endpoint>]>,
    alias: Option<AliasTable>,
}

impl Table {
    /// A table that serves nothing.
    pub(crate) fn nobody(revision: Revision, why: NoNode) -> Self {
        Self { revision, serving: Serving::Nobody(why), endpoints: Box::default(), alias: None }
    }

    /// The table of a namespace with these nodes.
    pub(crate) fn build(revision: Revision, candidates: &[Candidate<'_>]) -> Self {
        let online = || candidates.iter().filter(|candidate| candidate.node.status == NodeStatus::Online);
        let weighted = || online().filter(|candidate| candidate.node.weight.get() > 0);
        if weighted().next().is_none() {
            let why = match (candidates.is_empty(), online().next().is_none()) {
                (true, _) => NoNode::NoNodes,
                (false, true) => NoNode::AllOffline,
                (false, false) => NoNode::AllWeightsZero,
            };
            return Self::nobody(revision, why);
        }
        let healthy: Vec<_> = weighted().filter(|candidate| candidate.is_healthy).collect();
        let (serving, chosen) = if healthy.is_empty() {
            (Serving::Panic, weighted().collect())
        } else {
            (Serving::Normal, healthy)
        };
        let weights: Vec<u16> = chosen.iter().map(|candidate| candidate.node.weight.get()).collect();
        let endpoints = chosen.iter().map(|candidate| Arc::clone(&candidate.endpoint)).collect();
        Self { revision, serving, endpoints, alias: AliasTable::new(&weights) }
    }

    /// All endpoints that may be picked.
    pub(crate) fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// An endpoint by weight, none of those that `tried` names. `None`: there is no other.
    pub(crate) fn pick(
        &self,
        random: &mut fastrand::Rng,
        tried: impl Fn(&Endpoint) -> bool,
    ) -> Option<&Arc<Endpoint>> {
        let alias = self.alias.as_ref()?;
        for _ in 0..PICKS_BEFORE_SCAN {
            let endpoint = &self.endpoints[alias.pick(random)];
            if !tried(endpoint) {
                return Some(endpoint);
            }
        }
        let (before, from) = self.endpoints.split_at(random.usize(..self.endpoints.len()));
        from.iter().chain(before).find(|endpoint| !tried(endpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::endpoint::Endpoints;
    use crate::testing::node;

    fn table(nodes: &[(u16, u16, NodeStatus, bool)]) -> Table {
        let mut endpoints = Endpoints::new(1);
        let nodes: Vec<_> = nodes
            .iter()
            .map(|(port, weight, status, is_healthy)| {
                let mut node = node("demo", *port, *weight);
                node.status = *status;
                let endpoint = endpoints.at(&node.host, node.port).unwrap();
                (node, endpoint, *is_healthy)
            })
            .collect();
        let candidates: Vec<_> = nodes
            .iter()
            .map(|(node, endpoint, is_healthy)| Candidate {
                node,
                endpoint: Arc::clone(endpoint),
                is_healthy: *is_healthy,
            })
            .collect();
        Table::build(Revision(1), &candidates)
    }

    fn ports(table: &Table) -> Vec<u16> {
        table.endpoints().iter().map(|endpoint| endpoint.port.get()).collect()
    }

    use NodeStatus::{Offline, Online};

    #[test]
    fn offline_weightless_and_unhealthy_nodes_take_no_traffic_while_another_can() {
        let table = table(&[
            (1, 100, Online, true),
            (2, 0, Online, true),
            (3, 100, Offline, true),
            (4, 100, Online, false),
        ]);
        assert_eq!(table.serving, Serving::Normal);
        assert_eq!(ports(&table), [1]);
    }

    #[test]
    fn a_weight_split_respects_health() {
        let table = table(&[(1, 90, Online, false), (2, 10, Online, true)]);
        assert_eq!(ports(&table), [2]);
    }

    #[test]
    fn if_all_are_unhealthy_all_with_a_weight_are_tried() {
        let table = table(&[
            (1, 100, Online, false),
            (2, 1, Online, false),
            (3, 0, Online, true),
            (4, 1, Offline, true),
        ]);
        assert_eq!(table.serving, Serving::Panic);
        assert_eq!(ports(&table), [1, 2]);
    }

    #[test]
    fn a_table_without_a_node_says_why() {
        assert_eq!(table(&[]).serving, Serving::Nobody(NoNode::NoNodes));
        assert_eq!(table(&[(1, 100, Offline, true)]).serving, Serving::Nobody(NoNode::AllOffline));
        let weightless = table(&[(1, 0, Online, true), (2, 100, Offline, true)]);
        assert_eq!(weightless.serving, Serving::Nobody(NoNode::AllWeightsZero));
        assert!(weightless.pick(&mut fastrand::Rng::with_seed(0), |_| false).is_none());
    }

    #[test]
    fn what_was_tried_is_not_picked_again() {
        let table = table(&[(1, 10_000, Online, true), (2, 1, Online, true)]);
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..1_000 {
            let picked = table.pick(&mut random, |endpoint| endpoint.port.get() == 1);
            assert_eq!(picked.unwrap().port.get(), 2);
        }
        assert!(table.pick(&mut random, |_| true).is_none());
    }
}
