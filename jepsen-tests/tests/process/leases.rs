//! A node whose heartbeats are acknowledged is never marked offline, whatever happens to the members.

use std::time::Duration;

use jepsen_tests::harness::{Cluster, Ending, MemberId, Settings};
use jepsen_tests::observe::Pulse;
use kenger_types::api::NodeAddress;
use kenger_types::{Node, NodeStatus};
use tokio::time::sleep;

use crate::agreement::{place, register};

pub(crate) const TTL: Duration = Duration::from_secs(4);
const DELETE_AFTER: Duration = Duration::from_secs(12);
const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);
/// Longer than any sleep of these tests.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn settings() -> Settings {
    Settings::default().with_node_times(TTL, DELETE_AFTER)
}

/// Members that wait so long for a silent leader that it is still the leader when it wakes up.
fn settings_of_patient_members() -> Settings {
    let (election_timeout_min, election_timeout_max) = (PATIENCE, PATIENCE + Duration::from_secs(1));
    Settings { election_timeout_min, election_timeout_max, ..settings() }
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
        assert!(report.acknowledged.len() > 3, "hardly a heartbeat was acknowledged: {report:?}");
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

/// Lets these members sleep for longer than the time to live, and wakes them up under the same leader.
async fn time_slept_does_not_count(who_sleeps: impl Fn(MemberId) -> Vec<MemberId>) {
    let mut cluster = Cluster::start(settings_of_patient_members()).await;
    let leader = cluster.wait_for_leader().await;
    let before = cluster.api(leader).status().await.unwrap().term;
    let alive = Alive::start(&cluster, "patient", leader).await;
    sleep(Duration::from_secs(1)).await;
    let sleepers = who_sleeps(leader);
    for id in &sleepers {
        cluster.pause(*id);
    }
    let asleep = TTL + TTL / 2;
    sleep(asleep).await;
    for id in &sleepers {
        cluster.resume(*id);
    }
    sleep(TTL).await;
    let after = cluster.api(cluster.wait_for_leader().await).status().await.unwrap();
    assert_eq!((after.leader_id.map(|id| id.0), after.term), (Some(leader), before), "the lead has changed");
    alive.was_never_offline(&cluster, asleep + TTL).await;
}

#[tokio::test]
async fn time_in_which_the_leader_sleeps_and_nobody_takes_over_does_not_count() {
    time_slept_does_not_count(|leader| vec![leader]).await;
}

#[tokio::test]
async fn time_in_which_the_whole_machine_sleeps_does_not_count() {
    time_slept_does_not_count(|_| vec![1, 2, 3]).await;
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

#[tokio::test]
async fn a_new_leader_gives_every_node_a_full_time_to_live() {
    let mut cluster = Cluster::start(settings()).await;
    let quiet = place("quiet", 80);
    let registered = register(&cluster, &quiet).await;
    sleep(TTL * 7 / 10).await;
    cluster.restart_all(Ending::Killed).await;
    // It has been silent for longer than its time to live by now, but the new leader cannot know.
    sleep(TTL / 2).await;
    let leader = cluster.api(cluster.wait_for_leader().await);
    leader.heartbeat(&quiet).await.acknowledged();
    let node = leader.node(&quiet).await.expect("it is there");
    assert_eq!(node.mod_revision, registered.mod_revision, "it was offline in between");
}
