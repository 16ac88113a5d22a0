//! Nodes that were offline, or about to be, and are heard from again: only through the log.

use super::super::{RETURN_MAX_NODES, RETURN_QUEUE_MAX_NODES};
use super::*;

#[tokio::test(start_paused = true)]
async fn an_offline_node_comes_back_through_the_log_before_its_heartbeat_is_acknowledged() {
    let rig = Rig::new();
    let node = rig.register(1);
    sleep(TTL + MS).await;
    let epoch = rig.epoch(&node);
    rig.fake.take_proposed();
    rig.fake.fates([Fate::Hold]);
    let heartbeat = rig.begin_heartbeat(std::slice::from_ref(&node)).await;
    assert!(!heartbeat.is_finished());
    assert_eq!(rig.status(&node), Some(NodeStatus::Offline));
    rig.fake.release(1);
    assert_eq!(heartbeat.await.unwrap().unwrap(), [ALIVE]);
    assert_eq!(rig.status(&node), Some(NodeStatus::Online));
    assert_ne!(rig.epoch(&node), epoch);
    assert_eq!(rig.fake.take_proposed().len(), 1);
    rig.expect_offline_within(&node, TTL, TTL + TICK).await;
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_during_a_proposed_expiry_is_no_silent_renewal() {
    let rig = Rig::new();
    let node = rig.register(1);
    rig.fake.fates([Fate::Hold, Fate::Hold]);
    sleep(TTL + MS).await;
    assert_eq!(expire_sizes(&rig.fake.take_proposed()), [(1, 0)]);
    let heartbeat = rig.begin_heartbeat(std::slice::from_ref(&node)).await;
    assert!(!heartbeat.is_finished(), "acknowledged, although the expiry may yet be applied");
    assert_eq!(returns(&rig.fake.take_proposed()), [[rig.id(&node)]]);
    rig.fake.release(1);
    settle().await;
    assert_eq!(rig.status(&node), Some(NodeStatus::Offline));
    assert!(!heartbeat.is_finished());
    rig.fake.release(1);
    assert_eq!(heartbeat.await.unwrap().unwrap(), [ALIVE]);
    assert_eq!(rig.status(&node), Some(NodeStatus::Online));
}

#[tokio::test(start_paused = true)]
async fn an_expiry_that_lands_after_the_return_is_refused() {
    let rig = Rig::new();
    let node = rig.register(1);
    rig.fake.fates([Fate::Late]);
    sleep(TTL + MS).await;
    assert_eq!(rig.heartbeat(&node).await.unwrap(), ALIVE);
    rig.fake.land();
    assert_eq!(rig.status(&node), Some(NodeStatus::Online));
    sleep(TTL - MS).await;
    assert_eq!(rig.status(&node), Some(NodeStatus::Online));
}

#[tokio::test(start_paused = true)]
async fn an_expiry_of_which_nothing_is_known_is_not_forgotten() {
    for fate in [Fate::Late, Fate::Lose, Fate::Refuse] {
        let rig = Rig::new();
        let node = rig.register(1);
        rig.fake.fates([fate]);
        sleep(TTL + MS).await;
        assert_eq!(expire_sizes(&rig.fake.take_proposed()), [(1, 0)], "{fate:?}");
        assert_eq!(rig.heartbeat(&node).await.unwrap(), ALIVE, "{fate:?}");
        assert_eq!(returns(&rig.fake.take_proposed()).len(), 1, "{fate:?}: it was renewed in silence");
        rig.fake.land();
        assert_eq!(rig.status(&node), Some(NodeStatus::Online), "{fate:?}: lost an acknowledged heartbeat");
        assert_eq!(rig.heartbeat(&node).await.unwrap(), ALIVE);
        assert_eq!(rig.fake.take_proposed(), [], "{fate:?}: it is settled");
    }
}

#[tokio::test(start_paused = true)]
async fn a_return_that_fails_is_no_acknowledgement() {
    for fate in [Fate::Late, Fate::Lose, Fate::Refuse] {
        let rig = Rig::new();
        let node = rig.register(1);
        sleep(TTL + MS).await;
        rig.fake.fates([fate]);
        assert!(is_no_leader(&rig.heartbeat(&node).await), "{fate:?}");
        assert_eq!(rig.status(&node), Some(NodeStatus::Offline), "{fate:?}");
        assert_eq!(rig.heartbeat(&node).await.unwrap(), ALIVE, "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_return_for_which_there_is_no_room_is_told_as_such() {
    let rig = Rig::new();
    let node = rig.register(1);
    sleep(TTL + MS).await;
    rig.fake.fates([Fate::Crowd]);
    let refused = rig.heartbeat(&node).await;
    assert!(matches!(refused, Err(ReadError::TooMany(7))), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn heartbeats_of_a_session_that_is_over_neither_return_nor_keep_others_from_it() {
    let rig = Rig::new();
    let nodes = rig.register_many(3);
    sleep(TTL + MS).await;
    rig.fake.take_proposed();
    rig.fake.fates([Fate::Hold]);
    let under_way = rig.begin_heartbeat(&nodes[..1]).await;
    let waiting = rig.begin_heartbeat(&nodes[1..2]).await;
    rig.fake.lead.send_replace(Some(LeadTerm(2)));
    settle().await;
    let next = rig.begin_heartbeat(&nodes[2..]).await;
    rig.fake.release(1);
    assert!(is_no_leader(&under_way.await.unwrap()));
    assert!(is_no_leader(&waiting.await.unwrap()));
    assert_eq!(next.await.unwrap().unwrap(), [ALIVE]);
    let expected = [[rig.id(&nodes[0])], [rig.id(&nodes[2])]];
    assert_eq!(returns(&rig.fake.take_proposed()), expected);
}

#[tokio::test(start_paused = true)]
async fn returns_that_come_while_one_is_under_way_share_the_next_one() {
    let rig = Rig::new();
    let nodes = rig.register_many(4);
    sleep(TTL + MS).await;
    rig.fake.take_proposed();
    rig.fake.fates([Fate::Hold, Fate::Hold]);
    let mut heartbeats = vec![rig.begin_heartbeat(&nodes[..1]).await];
    for round in 0..60 {
        heartbeats.push(rig.begin_heartbeat(&nodes[round % 4..][..1]).await);
    }
    rig.fake.release(1);
    settle().await;
    rig.fake.release(1);
    for heartbeat in heartbeats {
        assert_eq!(heartbeat.await.unwrap().unwrap(), [ALIVE]);
    }
    let ids: Vec<NodeId> = nodes.iter().map(|node| rig.id(node)).collect();
    assert_eq!(returns(&rig.fake.take_proposed()), [ids[..1].to_vec(), ids[1..].to_vec()]);
}

#[tokio::test(start_paused = true)]
async fn a_command_brings_back_a_bounded_number_of_nodes() {
    let rig = Rig::new();
    let nodes = rig.register_many(u16::try_from(2 * RETURN_MAX_NODES + 300).unwrap());
    sleep(TTL + MS).await;
    rig.fake.take_proposed();
    let told = rig.keeper.heartbeat(nodes.clone()).await.unwrap();
    assert!(told.iter().all(|outcome| *outcome == ALIVE));
    let sizes: Vec<_> = returns(&rig.fake.take_proposed()).iter().map(Vec::len).collect();
    assert_eq!(sizes, [RETURN_MAX_NODES, RETURN_MAX_NODES, 300]);
}

#[tokio::test(start_paused = true)]
async fn a_bounded_number_of_nodes_waits_to_come_back() {
    let rig = Rig::new();
    let node = rig.register(1);
    sleep(TTL + MS).await;
    rig.fake.fates([Fate::Hold]);
    let first = rig.begin_heartbeat(std::slice::from_ref(&node)).await;
    let many = vec![node.clone(); RETURN_QUEUE_MAX_NODES - 1];
    let second = rig.begin_heartbeat(&many).await;
    let refused = rig.heartbeat(&node).await;
    assert!(matches!(refused, Err(ReadError::TooMany(RETURN_QUEUE_MAX_NODES))), "{refused:?}");
    rig.fake.release(1);
    assert_eq!(first.await.unwrap().unwrap(), [ALIVE]);
    assert_eq!(second.await.unwrap().unwrap().len(), many.len());
    assert_eq!(rig.heartbeat(&node).await.unwrap(), ALIVE, "there is room again");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_deleted_before_its_return_is_unknown() {
    let rig = Rig::new();
    let nodes = rig.register_many(2);
    sleep(TTL + MS).await;
    rig.fake.fates([Fate::Hold]);
    let heartbeat = rig.begin_heartbeat(&nodes).await;
    rig.fake.apply(deregister(&nodes[0]));
    rig.fake.release(1);
    assert_eq!(heartbeat.await.unwrap().unwrap(), [HeartbeatOutcome::NotFound, ALIVE]);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_during_a_proposed_deletion_brings_the_node_back_or_says_that_it_is_gone() {
    for is_deleted in [false, true] {
        let rig = Rig::new();
        let node = rig.register(1);
        rig.fake.fates([Fate::Apply, if is_deleted { Fate::Apply } else { Fate::Late }]);
        sleep(DELETE_AFTER + MS).await;
        if is_deleted {
            assert_eq!(rig.heartbeat(&node).await.unwrap(), HeartbeatOutcome::NotFound);
        } else {
            assert_eq!(rig.heartbeat(&node).await.unwrap(), ALIVE);
            rig.fake.land();
            assert_eq!(rig.status(&node), Some(NodeStatus::Online));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_of_others_does_not_wait_for_a_return() {
    let rig = Rig::new();
    let (silent, alive) = (rig.register(1), rig.register(2));
    sleep(TTL - TICK).await;
    rig.heartbeat(&alive).await.unwrap();
    rig.fake.fates([Fate::Hold]);
    sleep(2 * TICK).await;
    let _waiting = rig.begin_heartbeat(&[silent]).await;
    assert_eq!(rig.heartbeat(&alive).await.unwrap(), ALIVE);
}
