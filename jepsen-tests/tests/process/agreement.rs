//! What the tests of several promises need: places of nodes, and whether all members agree.

use std::time::Duration;

use jepsen_tests::harness::{Cluster, eventually, eventually_some};
use jepsen_tests::observe::Ledger;
use kenger_types::api::NodeAddress;
use kenger_types::{Metadata, Node};

/// Members that can reach each other agree within this time.
pub(crate) const AGREE_LIMIT: Duration = Duration::from_secs(20);

/// A place in the namespace `web`.
pub(crate) fn place(host: &str, port: u16) -> NodeAddress {
    NodeAddress {
        ns: "web".parse().unwrap(),
        host: host.parse().unwrap(),
        port: i64::from(port).try_into().unwrap(),
    }
}

/// Registers a node at any member.
pub(crate) async fn register(cluster: &Cluster, node: &NodeAddress) -> Node {
    let api = cluster.api(cluster.wait_for_leader().await);
    api.register(node, Metadata::default()).await.acknowledged()
}

/// Waits until every running member has the same nodes in its own state as the leader, and answers
/// them.
pub(crate) async fn agreed_nodes(cluster: &Cluster) -> Vec<Node> {
    let nodes = eventually_some("the nodes can be listed", AGREE_LIMIT, async || {
        cluster.api(*cluster.running().first()?).nodes().await
    })
    .await;
    for id in cluster.running() {
        eventually(&format!("member {id} has the state of the others"), AGREE_LIMIT, async || {
            cluster
                .api(id)
                .nodes_stale()
                .await
                .is_some_and(|own| without_heartbeats(&own) == without_heartbeats(&nodes))
        })
        .await;
    }
    nodes
}

/// When a node was heard from is not replicated.
fn without_heartbeats(nodes: &[Node]) -> Vec<Node> {
    nodes.iter().map(|node| Node { last_heartbeat: None, ..node.clone() }).collect()
}

/// All members agree, and on nothing else than what was acknowledged.
pub(crate) async fn assert_nothing_lost(cluster: &Cluster, ledger: &Ledger) {
    let nodes = agreed_nodes(cluster).await;
    let (acknowledged, unknown) = ledger.totals();
    let contradictions = ledger.contradictions(&nodes);
    assert!(
        contradictions.is_empty(),
        "of {acknowledged} acknowledged writes (and {unknown} of unknown outcome): {contradictions:#?}"
    );
}
