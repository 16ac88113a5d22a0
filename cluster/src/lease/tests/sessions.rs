//! Whose leases these are, and who may answer for them.

use super::super::book::Session;
use super::*;

/// A session of this term; the keeper itself may have begun it.
fn session(rig: &Rig, term: u64) -> Option<Session> {
    rig.book.open(LeadTerm(term)).map(|(session, _)| session)
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_gives_every_node_a_full_ttl() {
    let rig = Rig::led_in(None);
    let node = rig.register(1);
    sleep(10 * TTL).await;
    rig.fake.lead.send_replace(Some(LeadTerm(3)));
    rig.expect_offline_within(&node, TTL, TTL + TICK).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_gives_offline_nodes_the_full_time_to_deletion() {
    let rig = Rig::new();
    let node = rig.register(1);
    sleep(DELETE_AFTER - 2 * TICK).await;
    assert_eq!(rig.status(&node), Some(NodeStatus::Offline));
    rig.fake.lead.send_replace(Some(LeadTerm(2)));
    sleep(DELETE_AFTER - MS).await;
    assert_eq!(rig.status(&node), Some(NodeStatus::Offline));
    sleep(TICK + 2 * MS).await;
    assert_eq!(rig.status(&node), None);
}

#[tokio::test(start_paused = true)]
async fn a_leader_s_leases_begin_when_it_begins_to_lead_and_not_at_the_next_tick() {
    let rig = Rig::led_in(None);
    sleep(TICK / 2).await;
    assert!(rig.keeper.stats().is_none());
    rig.fake.lead.send_replace(Some(LeadTerm(1)));
    settle().await;
    assert!(rig.keeper.stats().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_no_quorum_answers_acknowledges_nothing() {
    let rig = Rig::new();
    let node = rig.register(1);
    rig.fake.is_fresh.store(false, Ordering::SeqCst);
    assert!(is_no_leader(&rig.heartbeat(&node).await));
    assert!(is_no_leader(&rig.heartbeat(&address(9)).await), "nor does it say that a node is unknown");
    rig.fake.is_fresh.store(true, Ordering::SeqCst);
    assert_eq!(rig.heartbeat(&node).await.unwrap(), ALIVE);
}

#[tokio::test(start_paused = true)]
async fn the_quorum_is_asked_for_after_the_heartbeat_was_recorded() {
    let rig = Rig::new();
    let node = rig.register(1);
    sleep(Duration::from_secs(10)).await;
    rig.wall.0.store(1_000_000, Ordering::SeqCst);
    let (book, id) = (Arc::clone(&rig.book), rig.id(&node));
    let session = session(&rig, 1).unwrap();
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&recorded);
    *rig.fake.at_check.lock().unwrap() = Some(Box::new(move || {
        let heard = book.last_heard(session, &crate::feed::FeedFilter::all()).unwrap();
        seen.lock().unwrap().push(heard.get(&id) == Some(&1_000_000));
    }));
    rig.heartbeat(&node).await.unwrap();
    // A process that is stopped between the two must not acknowledge what it recorded after waking.
    assert_eq!(*recorded.lock().unwrap(), [true]);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_recorded_in_an_old_term_is_not_acknowledged_in_a_later_one() {
    let rig = Rig::new();
    let node = rig.register(1);
    // It leads in term 1 when the heartbeat comes, and in term 2 before it is answered.
    rig.fake.lead.send_replace(Some(LeadTerm(2)));
    rig.fake.lead_says.lock().unwrap().extend([Some(LeadTerm(1)), Some(LeadTerm(1))]);
    assert!(is_no_leader(&rig.heartbeat(&node).await));
    assert_eq!(rig.heartbeat(&node).await.unwrap(), ALIVE);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_waits_for_its_return_is_not_acknowledged_after_the_term() {
    let rig = Rig::new();
    let node = rig.register(1);
    sleep(TTL + MS).await;
    rig.fake.fates([Fate::Hold]);
    let heartbeat = rig.begin_heartbeat(std::slice::from_ref(&node)).await;
    rig.fake.lead.send_replace(None);
    settle().await;
    rig.fake.lead.send_replace(Some(LeadTerm(3)));
    settle().await;
    rig.fake.release(1);
    assert!(is_no_leader(&heartbeat.await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn the_leases_of_a_term_are_not_used_in_another() {
    let rig = Rig::new();
    let node = rig.register(1);
    sleep(TTL - TICK).await;
    // Others led meanwhile, and heard from the node; this member did not even notice.
    rig.fake.lead.send_replace(Some(LeadTerm(3)));
    sleep(TTL - MS).await;
    assert_eq!(rig.status(&node), Some(NodeStatus::Online));
    assert!(session(&rig, 1).is_none(), "and an old term does not come back");
    assert!(session(&rig, 3).is_some());
}

#[tokio::test(start_paused = true)]
async fn an_expiry_is_proposed_in_the_term_in_which_it_was_decided_or_not_at_all() {
    let rig = Rig::new();
    let node = rig.register(1);
    sleep(TTL - MS).await;
    // What the ticker believes is behind: the member leads in term 2 by now.
    rig.fake.lead.send_if_modified(|lead| {
        *lead = Some(LeadTerm(2));
        false
    });
    rig.fake.lead_says.lock().unwrap().extend(std::iter::repeat_n(Some(LeadTerm(1)), 3));
    sleep(2 * TICK).await;
    assert_eq!(rig.status(&node), Some(NodeStatus::Online));
    assert!(rig.fake.proposed.lock().unwrap().iter().all(|(term, _)| *term == LeadTerm(1)));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_once_the_leases_are_paused() {
    let rig = Rig::new();
    let nodes = rig.register_many(2);
    sleep(TTL - TICK).await;
    rig.heartbeat(&nodes[0]).await.unwrap();
    sleep(2 * TICK).await;
    rig.fake.fates([Fate::Hold]);
    let waiting = rig.begin_heartbeat(&nodes).await;
    let pause = rig.keeper.pause();
    assert!(is_no_leader(&rig.heartbeat(&nodes[0]).await));
    rig.fake.release(1);
    assert!(is_no_leader(&waiting.await.unwrap()), "it was recorded before, but not answered");
    sleep(10 * TTL).await;
    assert_eq!(rig.status(&nodes[0]), Some(NodeStatus::Online), "who cannot heartbeat does not expire");

    drop(pause);
    assert_eq!(rig.heartbeat(&nodes[0]).await.unwrap(), ALIVE);
    rig.expect_offline_within(&nodes[0], TTL, TTL + TICK).await;
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_is_not_acknowledged_if_the_leases_are_paused_before_its_answer() {
    let rig = Rig::new();
    let node = rig.register(1);
    let (book, paused) = (Arc::clone(&rig.book), Mutex::new(Vec::new()));
    // On another thread: recorded before, confirmed after.
    *rig.fake.at_check.lock().unwrap() = Some(Box::new(move || paused.lock().unwrap().push(book.pause())));
    assert!(is_no_leader(&rig.heartbeat(&node).await));
}

#[tokio::test(start_paused = true)]
async fn leases_are_paused_until_the_last_pause_is_over() {
    let rig = Rig::new();
    let node = rig.register(1);
    let (one, two) = (rig.keeper.pause(), rig.keeper.pause());
    drop(one);
    assert!(is_no_leader(&rig.heartbeat(&node).await));
    drop(two);
    assert_eq!(rig.heartbeat(&node).await.unwrap(), ALIVE);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_paused_is_over_for_good() {
    let rig = Rig::new();
    let node = rig.register(1);
    let session = session(&rig, 1).unwrap();
    assert!(rig.book.renew(session, &[Some(rig.id(&node))]).is_some());
    assert!(rig.book.is_current(session));
    let pause = rig.keeper.pause();
    assert!(!rig.book.is_current(session));
    assert!(rig.book.renew(session, &[Some(rig.id(&node))]).is_none());
    drop(pause);
    assert!(self::session(&rig, 1).is_some_and(|next| next != session));
    assert!(!rig.book.is_current(session));
}

/// The term is the same, so the entry may still get its place in the log: to forget about it with
/// the session would let the node be renewed in silence, and be lost after.
#[tokio::test(start_paused = true)]
async fn an_expiry_that_was_proposed_is_remembered_by_the_next_session_of_its_term() {
    let rig = Rig::new();
    let node = rig.register(1);
    rig.fake.fates([Fate::Late]);
    sleep(TTL + MS).await;
    assert_eq!(expire_sizes(&rig.fake.take_proposed()), [(1, 0)]);
    drop(rig.keeper.pause());
    assert_eq!(rig.heartbeat(&node).await.unwrap(), ALIVE);
    rig.fake.land();
    assert_eq!(rig.status(&node), Some(NodeStatus::Online), "an acknowledged heartbeat was lost");
    assert_eq!(returns(&rig.fake.take_proposed()).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_expiry_that_was_applied_between_two_sessions_is_not_taken_for_a_deletion() {
    let rig = Rig::new();
    let node = rig.register(1);
    rig.fake.fates([Fate::Late]);
    sleep(TTL + MS).await;
    let pause = rig.keeper.pause();
    rig.fake.land();
    drop(pause);
    sleep(DELETE_AFTER - TICK).await;
    assert_eq!(rig.status(&node), Some(NodeStatus::Offline));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_registered_between_two_sessions_is_not_expired_for_what_it_was_before() {
    let rig = Rig::new();
    let node = rig.register(1);
    rig.fake.fates([Fate::Late]);
    sleep(TTL + MS).await;
    rig.fake.take_proposed();
    let pause = rig.keeper.pause();
    rig.register(1);
    drop(pause);
    sleep(2 * TICK).await;
    assert_eq!(rig.fake.take_proposed(), []);
    assert_eq!(rig.status(&node), Some(NodeStatus::Online));
}

#[tokio::test(start_paused = true)]
async fn a_replaced_state_begins_the_leases_anew() {
    let rig = Rig::new();
    let before = session(&rig, 1).unwrap();
    let mut other = State::default();
    other.apply(&Proposal { proposed_at_ms: 0, command: register(&address(7), None) });
    *rig.fake.state.lock().unwrap() = other.clone();
    rig.book.replaced(&Arc::new(other));
    assert!(!rig.book.is_current(before));
    assert_eq!(rig.heartbeat(&address(7)).await.unwrap(), ALIVE);
    rig.expect_offline_within(&address(7), TTL, TTL + TICK).await;
}

#[tokio::test(start_paused = true)]
async fn a_member_that_loses_the_lead_forgets_the_leases() {
    let rig = Rig::new();
    let node = rig.register(1);
    settle().await;
    assert!(rig.keeper.stats().is_some());
    rig.fake.lead.send_replace(None);
    settle().await;
    assert!(rig.keeper.stats().is_none());
    assert!(is_no_leader(&rig.keeper.heartbeat_as_leader(&[node]).await), "it goes no further");
    assert!(rig.fake.relayed.lock().unwrap().is_empty());
}
