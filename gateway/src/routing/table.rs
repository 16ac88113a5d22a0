//! The routing table of one namespace: immutable, built off the request path, read with one load.

use std::sync::Arc;

use kenger_types::Revision;

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
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) endpoint: &'a Arc<Endpoint>,
    pub(crate) weight: u16,
    pub(crate) is_online: bool,
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
    pub(crate) fn build<'a>(
        revision: Revision,
        candidates: &(impl Iterator<Item = Candidate<'a>> + Clone),
    ) -> Self {
        let online = || candidates.clone().filter(|candidate| candidate.is_online);
        let weighted = || online().filter(|candidate| candidate.weight > 0);
        let mut chosen: Vec<_> = weighted().filter(|candidate| candidate.is_healthy).collect();
        let mut serving = Serving::Normal;
        if chosen.is_empty() {
            (serving, chosen) = (Serving::Panic, weighted().collect());
        }
        if chosen.is_empty() {
            let why = match (candidates.clone().next().is_none(), online().next().is_none()) {
                (true, _) => NoNode::NoNodes,
                (false, true) => NoNode::AllOffline,
                (false, false) => NoNode::AllWeightsZero,
            };
            return Self::nobody(revision, why);
        }
        let weights: Vec<u16> = chosen.iter().map(|candidate| candidate.weight).collect();
        let endpoints = chosen.iter().map(|candidate| Arc::clone(candidate.endpoint)).collect();
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

    #[derive(Clone, Copy, PartialEq)]
    enum Is {
        Online,
        Offline,
    }
    use Is::{Offline, Online};

    fn table(nodes: &[(u16, u16, Is, bool)]) -> Table {
        let mut endpoints = Endpoints::new(1);
        let nodes: Vec<_> = nodes
            .iter()
            .map(|(port, weight, status, is_healthy)| {
                let node = node("demo", *port, *weight);
                let endpoint = endpoints.acquire(&node.host, node.port).unwrap();
                (endpoint, *weight, *status == Online, *is_healthy)
            })
            .collect();
        let candidates = nodes.iter().map(|(endpoint, weight, is_online, is_healthy)| Candidate {
            endpoint,
            weight: *weight,
            is_online: *is_online,
            is_healthy: *is_healthy,
        });
        Table::build(Revision(1), &candidates)
    }

    fn ports(table: &Table) -> Vec<u16> {
        table.endpoints().iter().map(|endpoint| endpoint.port.get()).collect()
    }

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
