//! Followers pass heartbeats on: few messages, none too large, none lost.

use super::super::{RELAY_BATCH_MAX_NODES, RELAY_GATHER, RELAY_IN_FLIGHT_MAX, RELAY_QUEUE_MAX_NODES};
use super::*;

fn sizes(rig: &Rig) -> Vec<usize> {
    rig.fake.relayed.lock().unwrap().iter().map(Vec::len).collect()
}

fn addresses(ports: std::ops::Range<u16>) -> Vec<NodeAddress> {
    ports.map(address).collect()
}

#[tokio::test(start_paused = true)]
async fn heartbeats_of_a_few_milliseconds_go_in_one_message_and_each_gets_its_own_answer() {
    let rig = Rig::led_in(None);
    let mut heartbeats = Vec::new();
    for first in (1..100).step_by(3) {
        let nodes = addresses(first..first + 3);
        heartbeats.push((nodes.clone(), rig.begin_heartbeat(&nodes).await));
    }
    assert_eq!(sizes(&rig), Vec::<usize>::new());
    sleep(RELAY_GATHER).await;
    assert_eq!(sizes(&rig), [99]);
    for (nodes, heartbeat) in heartbeats {
        let expected: Vec<_> = nodes.iter().map(relayed_outcome).collect();
        assert_eq!(heartbeat.await.unwrap().unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lone_heartbeat_waits_no_longer_than_the_gathering() {
    let rig = Rig::led_in(None);
    let heartbeat = rig.begin_heartbeat(&[address(1)]).await;
    sleep(RELAY_GATHER).await;
    assert!(heartbeat.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_message_has_a_bounded_number_of_nodes_and_a_full_one_goes_at_once() {
    let rig = Rig::led_in(None);
    let third = u16::try_from(RELAY_BATCH_MAX_NODES / 3).unwrap();
    let mut heartbeats = Vec::new();
    for _ in 0..7 {
        heartbeats.push(rig.begin_heartbeat(&addresses(1..third + 1)).await);
    }
    let full = 3 * usize::from(third);
    assert_eq!(sizes(&rig), [full, full]);
    sleep(RELAY_GATHER).await;
    assert_eq!(sizes(&rig), [full, full, usize::from(third)]);
    for heartbeat in heartbeats {
        assert_eq!(heartbeat.await.unwrap().unwrap().len(), usize::from(third));
    }
}

#[tokio::test(start_paused = true)]
async fn a_bounded_number_of_messages_is_under_way_and_the_rest_is_gathered_meanwhile() {
    let rig = Rig::led_in(None);
    rig.fake.relays_answered.forget_permits(usize::MAX);
    let mut heartbeats = Vec::new();
    for port in 1..=20 {
        heartbeats.push(rig.begin_heartbeat(&[address(port)]).await);
        sleep(RELAY_GATHER).await;
    }
    assert_eq!(sizes(&rig), [1; RELAY_IN_FLIGHT_MAX]);
    rig.fake.relays_answered.add_permits(100);
    sleep(2 * RELAY_GATHER).await;
    for heartbeat in heartbeats {
        heartbeat.await.unwrap().unwrap();
    }
    let sizes = sizes(&rig);
    assert_eq!(sizes.iter().sum::<usize>(), 20);
    assert!(sizes.len() <= RELAY_IN_FLIGHT_MAX + 2, "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_bounded_number_of_nodes_waits_for_the_leader() {
    let rig = Rig::led_in(None);
    rig.fake.relays_answered.forget_permits(usize::MAX);
    let batch = vec![address(1); RELAY_BATCH_MAX_NODES];
    let mut heartbeats = Vec::new();
    for _ in 0..RELAY_QUEUE_MAX_NODES / RELAY_BATCH_MAX_NODES {
        heartbeats.push(rig.begin_heartbeat(&batch).await);
    }
    let refused = rig.heartbeat(&address(1)).await;
    assert!(matches!(refused, Err(ReadError::TooMany(RELAY_QUEUE_MAX_NODES))), "{refused:?}");
    rig.fake.relays_answered.add_permits(1_000);
    for heartbeat in heartbeats {
        assert_eq!(heartbeat.await.unwrap().unwrap().len(), RELAY_BATCH_MAX_NODES);
    }
    assert!(rig.heartbeat(&address(1)).await.is_ok(), "there is room again");
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_leader_reaches_everybody_in_the_message() {
    let rig = Rig::led_in(None);
    rig.fake.is_fresh.store(false, Ordering::SeqCst);
    let heartbeats = [rig.begin_heartbeat(&[address(1)]).await, rig.begin_heartbeat(&[address(2)]).await];
    for heartbeat in heartbeats {
        assert!(is_no_leader(&heartbeat.await.unwrap()));
    }
    assert_eq!(sizes(&rig), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_became_the_leader_meanwhile_answers_itself() {
    let rig = Rig::led_in(None);
    let node = rig.register(1);
    let heartbeat = rig.begin_heartbeat(&[node]).await;
    rig.fake.lead.send_replace(Some(LeadTerm(1)));
    assert_eq!(heartbeat.await.unwrap().unwrap(), [ALIVE]);
    assert_eq!(sizes(&rig), Vec::<usize>::new());
}

#[tokio::test(start_paused = true)]
async fn a_member_that_becomes_the_leader_while_it_waits_for_the_old_one_answers_itself() {
    let rig = Rig::led_in(None);
    let node = rig.register(1);
    rig.fake.relays_answered.forget_permits(usize::MAX);
    let heartbeat = rig.begin_heartbeat(&[node]).await;
    sleep(2 * RELAY_GATHER).await;
    assert_eq!(sizes(&rig), [1]);
    assert!(!heartbeat.is_finished());
    rig.fake.lead.send_replace(Some(LeadTerm(1)));
    assert_eq!(heartbeat.await.unwrap().unwrap(), [ALIVE]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_nothing() {
    let rig = Rig::led_in(None);
    assert_eq!(rig.keeper.heartbeat(Vec::new()).await.unwrap(), []);
    assert_eq!(sizes(&rig), Vec::<usize>::new());
}
