//! A node whose heartbeats are acknowledged is never marked offline, whatever happens to the members.

use std::time::Duration;

use jepsen_tests::check::Pulse;
use jepsen_tests::harness::{Cluster, Ending, MemberId, Settings};
use kenger_types::api::NodeAddress;
use kenger_types::{Node, NodeStatus};
use tokio::time::sleep;

use crate::agreement::{place, register};

pub(crate) const TTL: Duration = Duration::from_secs(3);
const DELETE_AFTER: Duration = Duration::from_secs(9);
pub(crate) const HEARTBEAT_EVERY: Duration = Duration::from_millis(500);

pub(crate) fn settings() -> Settings {
    Settings::default().with_node_times(TTL, DELETE_AFTER)
}

/// A node with a beating heart.
pub(crate) struct Alive {
    node: NodeAddress,
    registered: Node,
    pulse: Pulse,
}

impl Alive {
    /// Registers a node and lets it say that it is alive, first of all to the member `first`.
    pub(crate) async fn start(cluster: &Cluster, host: &str, first: MemberId) -> Self {
        let node = place(host, 80);
        let registered = register(cluster, &node).await;
        let mut apis = cluster.apis();
        let place = apis.iter().position(|api| api.member == first).unwrap();
        apis.rotate_left(place);
        let pulse = Pulse::start(&apis, node.clone(), HEARTBEAT_EVERY);
        Self { node, registered, pulse }
    }

    /// Ends the heartbeats. The node was online all the time: going offline and coming back would each
    /// have changed it. The heartbeats were acknowledged in intervals under `longest_gap`.
    pub(crate) async fn was_never_offline(self, cluster: &Cluster, longest_gap: Duration) {
        let node = cluster.api(cluster.wait_for_leader().await).node(&self.node).await;
        let report = self.pulse.finish().await;
        assert!(report.acknowledged.len() > 5, "hardly a heartbeat was acknowledged: {report:?}");
        assert_eq!(report.unknown_node, Vec::<String>::new());
        let gap = report.longest_gap();
        assert!(gap < longest_gap, "the test's own condition does not hold: no acknowledgement for {gap:?}");
        let node = node.expect("the node is there");
        assert_eq!(node.status, NodeStatus::Online);
        assert_eq!(node.id, self.registered.id);
        assert_eq!(node.mod_revision, self.registered.mod_revision, "it was offline in between");
    }
}

#[tokio::test]
async fn a_node_that_is_heard_from_stays_online_when_the_leader_is_killed() {
    let mut cluster = Cluster::start(settings()).await;
    let leader = cluster.wait_for_leader().await;
    let at_leader = Alive::start(&cluster, "heard-by-the-leader", leader).await;
    let at_follower = Alive::start(&cluster, "heard-by-a-follower", leader % 3 + 1).await;
    for _ in 0..2 {
        let leader = cluster.wait_for_leader().await;
        cluster.kill(leader);
        sleep(TTL + Duration::from_secs(1)).await;
        cluster.start_member(leader);
        cluster.wait_until_ready(leader).await;
    }
    sleep(TTL).await;
    at_leader.was_never_offline(&cluster, TTL).await;
    at_follower.was_never_offline(&cluster, TTL).await;
}

#[tokio::test]
async fn a_node_that_is_heard_from_stays_online_when_the_leader_sleeps_for_longer_than_its_ttl() {
    let mut cluster = Cluster::start(settings()).await;
    let leader = cluster.wait_for_leader().await;
    let at_leader = Alive::start(&cluster, "heard-by-the-leader", leader).await;
    let at_follower = Alive::start(&cluster, "heard-by-a-follower", leader % 3 + 1).await;
    sleep(Duration::from_secs(1)).await;
    cluster.pause(leader);
    let meanwhile = cluster.wait_for_leader().await;
    assert_ne!(meanwhile, leader);
    sleep(TTL * 3).await;
    // It wakes up with leases that look as if they had run out, and as the leader that it was.
    cluster.resume(leader);
    sleep(TTL * 2).await;
    at_leader.was_never_offline(&cluster, TTL).await;
    at_follower.was_never_offline(&cluster, TTL).await;
}

#[tokio::test]
async fn time_in_which_all_members_sleep_does_not_count() {
    let mut cluster = Cluster::start(settings()).await;
    let leader = cluster.wait_for_leader().await;
    let alive = Alive::start(&cluster, "patient", leader).await;
    sleep(Duration::from_secs(1)).await;
    // The whole machine stands still, as when a virtual machine is moved: nobody takes over.
    for id in cluster.ids() {
        cluster.pause(id);
    }
    let asleep = TTL * 2;
    sleep(asleep).await;
    for id in cluster.ids() {
        cluster.resume(id);
    }
    sleep(TTL * 2).await;
    alive.was_never_offline(&cluster, asleep + TTL).await;
}

#[tokio::test]
async fn a_node_that_is_heard_from_stays_online_when_all_members_are_restarted() {
    let mut cluster = Cluster::start(settings()).await;
    let leader = cluster.wait_for_leader().await;
    let alive = Alive::start(&cluster, "patient", leader).await;
    for ending in [Ending::Killed, Ending::Asked] {
        sleep(Duration::from_secs(1)).await;
        cluster.restart_all(ending).await;
    }
    sleep(TTL * 2).await;
    // While no member runs nobody can be heard; a new leader gives everybody a full time to live.
    alive.was_never_offline(&cluster, TTL * 4).await;
}
