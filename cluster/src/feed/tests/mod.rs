//! Every promise of the feed, and every way to lose one's place in it.

mod cutoff;
mod order;
mod sharing;
mod stress;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kenger_state::{Command, NamespaceKey, Proposal, State};
use kenger_types::api::NodeAddress;
use kenger_types::feed::Change;
use kenger_types::{
    Description, HealthPath, Metadata, Namespace, NamespaceId, NamespaceName, Node, NodeId, Port, Revision,
    Weight,
};

use super::ring::RingBounds;
use super::{FeedEnd, FeedFilter, FeedItem, Hub, Subscription};
use crate::env::Workers;

/// Longer than anything here takes; a test that waits for what never comes ends.
const PATIENCE: Duration = Duration::from_secs(20);

/// A state machine whose changes are published.
struct Rig {
    hub: Hub,
    state: State,
}

impl Rig {
    fn new(ring_revisions: usize) -> Self {
        Self { hub: Hub::new(Arc::default(), ring_revisions, Workers::Threads), state: State::default() }
    }

    fn with_bytes(max_bytes: usize) -> Self {
        let bounds = RingBounds { max_revisions: 1_000, max_bytes };
        Self { hub: Hub::with_bounds(Arc::default(), bounds, Workers::Threads), state: State::default() }
    }

    fn run(&mut self, command: Command) -> Revision {
        let applied = self.state.apply(&Proposal { proposed_at_ms: 0, command });
        applied.result.unwrap();
        self.hub.publish(&Arc::new(self.state.clone()), applied.revision, applied.changes);
        applied.revision
    }

    fn register(&mut self, ns: &str, port: u16) -> Revision {
        self.run(register(ns, port, 100))
    }
}

fn name(ns: &str) -> NamespaceName {
    ns.parse().unwrap()
}

fn filter(ns: &str) -> FeedFilter {
    FeedFilter::namespaces([name(ns)])
}

fn address(ns: &str, port: u16) -> NodeAddress {
    NodeAddress {
        ns: name(ns),
        host: "192.0.2.1".parse().unwrap(),
        port: Port::try_from(i64::from(port)).unwrap(),
    }
}

fn register(ns: &str, port: u16, weight: i64) -> Command {
    Command::Register {
        key: address(ns, port),
        weight: Weight::try_from(weight).unwrap(),
        health_path: None,
        metadata: Metadata::default(),
        ttl_seconds: None,
        create_namespace: true,
        if_revision: None,
    }
}

fn add_namespace(ns: &str) -> Command {
    Command::AddNamespace {
        name: name(ns),
        description: Description::default(),
        health_path: HealthPath::default(),
    }
}

fn delete_namespace(ns: &str) -> Command {
    Command::DeleteNamespace { key: NamespaceKey::Name(name(ns)), if_revision: None }
}

async fn next(subscription: &mut Subscription) -> Result<FeedItem, FeedEnd> {
    tokio::time::timeout(PATIENCE, subscription.next()).await.expect("nothing came")
}

async fn expect_event(subscription: &mut Subscription) -> Revision {
    match next(subscription).await {
        Ok(FeedItem::Event(event)) => event.revision,
        other => panic!("an event was expected, not {other:?}"),
    }
}

async fn expect_snapshot(subscription: &mut Subscription) -> Revision {
    match next(subscription).await {
        Ok(FeedItem::Snapshot(snapshot)) => snapshot.revision(),
        other => panic!("a snapshot was expected, not {other:?}"),
    }
}

async fn expect_up_to_date(subscription: &mut Subscription) -> Revision {
    match next(subscription).await {
        Ok(FeedItem::UpToDate(revision)) => revision,
        other => panic!("to be up to date was expected, not {other:?}"),
    }
}

async fn expect_silence(subscription: &mut Subscription) {
    // Polled often enough for the herald to have its turn.
    for _ in 0..10 {
        tokio::task::yield_now().await;
        let polled = futures_util::FutureExt::now_or_never(subscription.next());
        assert!(polled.is_none(), "silence was expected, not {polled:?}");
    }
}

/// What a subscriber makes of what it is told, checked as it comes.
#[derive(Debug, Default, PartialEq)]
struct Replica {
    namespaces: BTreeMap<NamespaceId, Namespace>,
    nodes: BTreeMap<NodeId, Node>,
}

impl Replica {
    /// What a subscriber with this filter should know of a state.
    fn of(state: &State, filter: &FeedFilter) -> Self {
        let namespaces = state.namespaces().filter(|namespace| filter.wants(&namespace.name));
        let nodes = state.nodes().filter(|node| filter.wants(&node.ns));
        Self {
            namespaces: namespaces.map(|namespace| (namespace.id, namespace.view())).collect(),
            nodes: nodes.map(|node| (node.id, node.view())).collect(),
        }
    }

    fn apply(&mut self, changes: &[Change], filter: &FeedFilter) {
        for change in changes.iter().filter(|change| filter.wants(change.namespace())) {
            match change {
                Change::NamespacePut { namespace } => {
                    self.namespaces.insert(namespace.id, namespace.clone());
                }
                Change::NamespaceDeleted { id, name } => {
                    self.namespaces.remove(id);
                    self.nodes.retain(|_, node| node.ns != *name);
                }
                Change::NodePut { node, .. } => {
                    self.nodes.insert(node.id, node.clone());
                }
                Change::NodeDeleted { id, .. } => {
                    assert!(
                        self.nodes.remove(id).is_some(),
                        "told that node {id} is gone, which was not there"
                    );
                }
            }
        }
    }
}
