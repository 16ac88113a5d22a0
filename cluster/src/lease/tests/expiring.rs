//! Silent nodes go offline and are deleted, in time and not before; the others stay.

use super::super::EXPIRE_MAX_NODES;
use super::*;

#[tokio::test(start_paused = true)]
async fn a_silent_node_is_offline_after_its_ttl_and_deleted_later() {
    let rig = Rig::new();
    let node = rig.register(1);
    rig.expect_offline_within(&node, TTL, TTL + TICK).await;
    sleep(DELETE_AFTER - TTL - TICK - 3 * MS).await;
    assert_eq!(rig.status(&node), Some(NodeStatus::Offline));
    sleep(TICK + 4 * MS).await;
    assert_eq!(rig.status(&node), None);
    assert_eq!(expire_sizes(&rig.fake.take_proposed()), [(1, 0), (0, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_heartbeats_in_time_stays_online_without_a_single_command() {
    let rig = Rig::new();
    let node = rig.register(1);
    for _ in 0..50 {
        sleep(TTL - MS).await;
        assert_eq!(rig.heartbeat(&node).await.unwrap(), ALIVE);
    }
    assert_eq!(rig.fake.take_proposed(), []);
    rig.expect_offline_within(&node, TTL, TTL + TICK).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_s_own_ttl_counts_and_a_longer_one_puts_off_its_deletion() {
    let rig = Rig::new();
    let short = rig.register_with_ttl(1, Some(5));
    let long = rig.register_with_ttl(2, Some(300));
    let told = rig.keeper.heartbeat(vec![short.clone(), long.clone()]).await.unwrap();
    let ttl = |ttl_seconds| HeartbeatOutcome::Alive { status: NodeStatus::Online, ttl_seconds };
    assert_eq!(told, [ttl(5), ttl(300)]);
    rig.expect_offline_within(&short, Duration::from_secs(5), Duration::from_secs(5) + TICK).await;
    let deleted_at = async |node: &NodeAddress| {
        while rig.status(node).is_some() {
            sleep(TICK).await;
        }
        tokio::time::Instant::now()
    };
    let began = tokio::time::Instant::now() - Duration::from_secs(5) - TICK;
    let around = |at: tokio::time::Instant, seconds: u64| {
        (at - began).abs_diff(Duration::from_secs(seconds)) < 3 * TICK
    };
    assert!(around(deleted_at(&short).await, 120));
    while rig.status(&long) == Some(NodeStatus::Online) {
        sleep(TICK).await;
    }
    assert!(around(tokio::time::Instant::now(), 300));
    assert!(around(deleted_at(&long).await, 300 + 90));
}

#[tokio::test(start_paused = true)]
async fn a_changed_ttl_counts_from_the_last_heartbeat() {
    let rig = Rig::new();
    let node = rig.register_with_ttl(1, Some(3_600));
    sleep(Duration::from_secs(60)).await;
    rig.fake.apply(Command::UpdateNode {
        id: rig.id(&node),
        weight: None,
        health_path: None,
        metadata: None,
        ttl_seconds: Some(Some(TtlSeconds::try_from(70).unwrap())),
        if_revision: None,
    });
    rig.expect_offline_within(&node, Duration::from_secs(10), Duration::from_secs(10) + TICK).await;
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_of_an_unknown_node_says_so_and_the_order_is_kept() {
    let rig = Rig::new();
    let known = rig.register(2);
    let told = rig.keeper.heartbeat(vec![address(1), known.clone(), address(3)]).await.unwrap();
    assert_eq!(told, [HeartbeatOutcome::NotFound, ALIVE, HeartbeatOutcome::NotFound]);
    rig.fake.apply(deregister(&known));
    assert_eq!(rig.heartbeat(&known).await.unwrap(), HeartbeatOutcome::NotFound);
    rig.register(2);
    assert_eq!(rig.heartbeat(&known).await.unwrap(), ALIVE, "it registered again");
}

#[tokio::test(start_paused = true)]
async fn a_command_expires_a_bounded_number_of_nodes() {
    let rig = Rig::new();
    let count = u16::try_from(2 * EXPIRE_MAX_NODES + 300).unwrap();
    let nodes = rig.register_many(count);
    sleep(TTL + TICK + MS).await;
    assert!(nodes.iter().all(|node| rig.status(node) == Some(NodeStatus::Offline)));
    let sizes = expire_sizes(&rig.fake.take_proposed());
    assert_eq!(sizes, [(EXPIRE_MAX_NODES, 0), (EXPIRE_MAX_NODES, 0), (300, 0)]);
}

#[tokio::test(start_paused = true)]
async fn nodes_that_wait_for_the_next_command_can_still_heartbeat() {
    let rig = Rig::new();
    let nodes = rig.register_many(u16::try_from(EXPIRE_MAX_NODES + 1).unwrap());
    rig.fake.fates([Fate::Hold]);
    sleep(TTL + TICK).await;
    let last = nodes.last().unwrap();
    assert_eq!(rig.heartbeat(last).await.unwrap(), ALIVE);
    rig.fake.release(1);
    sleep(TICK).await;
    assert_eq!(rig.status(last), Some(NodeStatus::Online));
    assert_eq!(rig.status(&nodes[0]), Some(NodeStatus::Offline));
    assert_eq!(expire_sizes(&rig.fake.take_proposed()), [(EXPIRE_MAX_NODES, 0)]);
}

#[tokio::test(start_paused = true)]
async fn an_expiry_names_the_epoch_that_was_seen() {
    let rig = Rig::new();
    let node = rig.register(1);
    let epoch = rig.epoch(&node);
    rig.fake.fates([Fate::Hold]);
    sleep(TTL + TICK).await;
    let proposed = rig.fake.take_proposed();
    let Some(Command::Expire { offline, .. }) = proposed.first() else { panic!("{proposed:?}") };
    assert_eq!((offline[0].id, offline[0].epoch), (rig.id(&node), epoch));
    // It registers again while its expiry is on its way.
    rig.register(1);
    rig.fake.release(1);
    sleep(TICK).await;
    assert_eq!(rig.status(&node), Some(NodeStatus::Online));
    assert_eq!(rig.heartbeat(&node).await.unwrap(), ALIVE);
    assert_eq!(rig.fake.take_proposed(), []);
}

#[tokio::test(start_paused = true)]
async fn an_expiry_that_was_lost_is_proposed_again_until_it_is_applied() {
    for fate in [Fate::Lose, Fate::Refuse] {
        let rig = Rig::new();
        let node = rig.register(1);
        rig.fake.fates([fate, fate]);
        sleep(TTL + 3 * TICK).await;
        assert_eq!(rig.status(&node), Some(NodeStatus::Offline), "{fate:?}");
        assert!(expire_sizes(&rig.fake.take_proposed()).len() >= 3, "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_expiry_that_was_lost_makes_way_for_no_more_than_one_command() {
    let rig = Rig::new();
    rig.register_many(u16::try_from(3 * EXPIRE_MAX_NODES).unwrap());
    rig.fake.fates(std::iter::repeat_n(Fate::Lose, 1_000));
    sleep(TTL + 5 * TICK).await;
    let proposed = rig.fake.take_proposed();
    assert!(proposed.len() > 2 && proposed.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(rig.keeper.stats().unwrap().expiring, EXPIRE_MAX_NODES);
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_nothing_is_proposed() {
    let rig = Rig::new();
    let node = rig.register(1);
    sleep(TTL - MS).await;
    rig.fake.is_fresh.store(false, Ordering::SeqCst);
    sleep(TTL).await;
    assert_eq!(rig.fake.take_proposed(), []);
    rig.fake.is_fresh.store(true, Ordering::SeqCst);
    sleep(3 * TICK).await;
    assert_eq!(rig.status(&node), Some(NodeStatus::Offline));
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_nothing_is_proposed_again_either() {
    let rig = Rig::new();
    let node = rig.register(1);
    rig.fake.fates([Fate::Lose]);
    sleep(TTL + MS).await;
    assert_eq!(expire_sizes(&rig.fake.take_proposed()), [(1, 0)]);
    rig.fake.is_fresh.store(false, Ordering::SeqCst);
    sleep(TTL).await;
    assert_eq!(rig.fake.take_proposed(), []);
    rig.fake.is_fresh.store(true, Ordering::SeqCst);
    sleep(2 * TICK).await;
    assert_eq!(rig.status(&node), Some(NodeStatus::Offline));
}

#[tokio::test(start_paused = true)]
async fn the_leases_are_counted() {
    let rig = Rig::new();
    let nodes = rig.register_many(3);
    sleep(TTL - 2 * TICK).await;
    rig.heartbeat(&nodes[0]).await.unwrap();
    rig.fake.fates([Fate::Hold]);
    sleep(3 * TICK).await;
    let stats = rig.keeper.stats().unwrap();
    assert_eq!((stats.online, stats.offline, stats.expiring), (3, 0, 2));
    rig.fake.release(1);
    sleep(TICK).await;
    let stats = rig.keeper.stats().unwrap();
    assert_eq!((stats.online, stats.offline, stats.expiring, stats.given_back), (1, 2, 0, Duration::ZERO));
}
