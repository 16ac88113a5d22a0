//! A leader without a quorum acknowledges nothing, and no partition loses what was acknowledged.

use std::time::Duration;

use jepsen_tests::harness::{
    Api, Cluster, MemberId, Namespaces, Settings, eventually, eventually_some, within_namespaces,
};
use jepsen_tests::observe::Writers;
use kenger_types::{ErrorCode, Metadata};
use tokio::time::{Instant, sleep};

use crate::agreement::{assert_nothing_lost, place};
use crate::leases;

/// Writes go on, or begin again, within this time.
const PROGRESS_LIMIT: Duration = Duration::from_secs(20);

/// Who the members of a majority say leads them.
async fn leader_of(cluster: &Cluster, majority: &[MemberId]) -> MemberId {
    eventually_some("the majority has a leader of its own", PROGRESS_LIMIT, async || {
        let mut leader = None;
        for id in majority {
            leader = cluster.api(*id).status().await?.leader_id.map(|id| id.0);
        }
        leader.filter(|leader| majority.contains(leader))
    })
    .await
}

async fn progress(writers: &Writers, more: u64) {
    let goal = writers.acknowledged() + more;
    eventually("writes go on", PROGRESS_LIMIT, async || writers.acknowledged() >= goal).await;
}

/// Asks a member that must not acknowledge anything to do so.
async fn acknowledges_nothing(api: &Api, during: Duration) {
    let (started, mut refused) = (Instant::now(), 0);
    let registered = place("before", 80);
    while started.elapsed() < during {
        let heartbeat = api.heartbeat(&registered).await;
        assert!(!heartbeat.is_acknowledged(), "a heartbeat was acknowledged without a quorum");
        let write = api.set_weight(&registered, 7).await;
        assert!(!write.is_acknowledged(), "a write was acknowledged without a quorum");
        assert_eq!(api.node(&registered).await, None, "a read was answered without a quorum");
        refused += usize::from(heartbeat.code() == Some(ErrorCode::NoLeader));
    }
    assert!(refused > 0, "it did not say that it has no quorum");
}

#[test]
fn a_leader_in_the_minority_acknowledges_neither_writes_nor_heartbeats_nor_reads() {
    let name = "a_leader_in_the_minority_acknowledges_neither_writes_nor_heartbeats_nor_reads";
    within_namespaces(name, 3, async |mut network: Namespaces| {
        let mut cluster = network.start(leases::settings()).await;
        let old = cluster.wait_for_leader().await;
        let alive = leases::Alive::start(&cluster, "before", old).await;
        sleep(Duration::from_secs(1)).await;

        network.isolate(old);
        // What it may still say in good faith it says within the shortest election timeout.
        sleep(cluster.settings().election_timeout_min + Duration::from_millis(100)).await;
        let majority: Vec<_> = cluster.ids().into_iter().filter(|id| *id != old).collect();
        let impatient = cluster.api(old).with_limit(Duration::from_millis(900));
        acknowledges_nothing(&impatient, Duration::from_secs(4)).await;
        let new = leader_of(&cluster, &majority).await;
        assert_ne!(new, old);
        let node = place("meanwhile", 80);
        cluster.api(new).register(&node, Metadata::default()).await.acknowledged();

        network.heal();
        cluster.wait_for_all().await;
        assert!(cluster.api(old).node(&node).await.is_some(), "the old leader follows the new one");
        alive.was_never_offline(&cluster, leases::TTL).await;
        // What it took without a quorum came to nothing, or came through: never both.
        let weights: Vec<_> = {
            let mut weights = Vec::new();
            for id in cluster.ids() {
                weights.push(cluster.api(id).node(&place("before", 80)).await.unwrap().weight);
            }
            weights
        };
        assert!(weights.windows(2).all(|pair| pair[0] == pair[1]), "{weights:?}");
    });
}

/// Cuts the leader off, one way or both, again and again under load.
fn nothing_is_lost_while(name: &str, cut: fn(&mut Namespaces, MemberId, MemberId)) {
    let settings = Settings::default().with_frequent_snapshots();
    within_namespaces(name, 3, async move |mut network: Namespaces| {
        let mut cluster = network.start(settings).await;
        let writers = Writers::start(&cluster.apis(), 6);
        for _ in 0..2 {
            progress(&writers, 80).await;
            let leader = cluster.wait_for_leader().await;
            for other in cluster.ids().into_iter().filter(|id| *id != leader) {
                cut(&mut network, leader, other);
            }
            progress(&writers, 40).await;
            network.heal();
            cluster.wait_for_all().await;
        }
        progress(&writers, 20).await;
        let ledger = writers.finish().await;
        assert_nothing_lost(&cluster, &ledger).await;
    });
}

#[test]
fn no_acknowledged_write_is_lost_when_the_leader_is_cut_off() {
    nothing_is_lost_while(
        "no_acknowledged_write_is_lost_when_the_leader_is_cut_off",
        Namespaces::cut_both_ways,
    );
}

#[test]
fn no_acknowledged_write_is_lost_when_nobody_hears_the_leader() {
    nothing_is_lost_while(
        "no_acknowledged_write_is_lost_when_nobody_hears_the_leader",
        |network, leader, other| network.cut(leader, other),
    );
}

#[test]
fn no_acknowledged_write_is_lost_when_the_leader_hears_nobody() {
    nothing_is_lost_while(
        "no_acknowledged_write_is_lost_when_the_leader_hears_nobody",
        |network, leader, other| network.cut(other, leader),
    );
}

#[test]
fn a_follower_that_was_cut_off_for_long_does_not_unseat_the_leader_and_catches_up() {
    let name = "a_follower_that_was_cut_off_for_long_does_not_unseat_the_leader_and_catches_up";
    within_namespaces(name, 3, async |mut network: Namespaces| {
        let mut cluster = network.start(Settings::default().with_frequent_snapshots()).await;
        let leader = cluster.wait_for_leader().await;
        let term = cluster.api(leader).status().await.unwrap().term;
        let follower = leader % 3 + 1;
        let writers = Writers::start(&cluster.apis(), 6);
        network.isolate(follower);
        progress(&writers, 250).await;
        network.heal();
        cluster.wait_until_ready(follower).await;
        let ledger = writers.finish().await;
        assert_nothing_lost(&cluster, &ledger).await;
        let status = cluster.api(follower).status().await.unwrap();
        assert_eq!(
            (status.leader_id.map(|id| id.0), status.term),
            (Some(leader), term),
            "pre-vote held it back"
        );
    });
}
