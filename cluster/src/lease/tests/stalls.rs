//! Time in which this member could not have heard anything does not count.

use tokio::time::Instant;

use super::super::clock::{LeaseClock, LeaseTime};
use super::*;

#[tokio::test(start_paused = true)]
async fn a_leader_that_was_stopped_for_longer_than_the_ttl_expires_nobody() {
    let rig = Rig::new();
    let nodes = rig.register_many(3);
    sleep(TTL / 2).await;
    stopped(10 * TTL).await;
    sleep(TTL / 4).await;
    assert_eq!(rig.fake.take_proposed(), []);
    for node in &nodes {
        assert_eq!(rig.heartbeat(node).await.unwrap(), ALIVE);
    }
    assert!(rig.keeper.stats().unwrap().given_back > 9 * TTL);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_back_is_what_was_slept_and_no_more() {
    let rig = Rig::new();
    let node = rig.register(1);
    sleep(TTL / 2).await;
    stopped(10 * TTL).await;
    rig.expect_offline_within(&node, TTL / 2 - 2 * TICK, TTL / 2 + 2 * TICK).await;
}

/// The first to look after waking up may be a tick, a heartbeat that was queued, an expiry that is
/// under way, or an applied command.
#[tokio::test(start_paused = true)]
async fn whoever_looks_first_after_waking_up_gives_the_slept_time_back() {
    let wall = Arc::default();
    for first in ["tick", "heartbeat", "expiry", "command"] {
        let book = Arc::new(Book::new(env(&wall), TIMES, Arc::default()));
        let fake = Fake::new(Arc::clone(&book), Some(LeadTerm(1)));
        fake.apply(register(&address(1), None));
        fake.apply(register(&address(2), None));
        let (session, state) = book.open(LeadTerm(1)).unwrap();
        let id = state.nodes().next().unwrap().id;
        for _ in 0..4 {
            tokio::time::advance(TICK).await;
            assert!(!book.tick(session, true));
        }
        tokio::time::advance(10 * TTL).await;
        match first {
            "heartbeat" => assert!(book.renew(session, &[Some(id)]).is_some()),
            "expiry" => {}
            "command" => drop(fake.apply(Command::Return { nodes: vec![id] })),
            _ => assert!(!book.tick(session, true)),
        }
        assert_eq!(book.expire(session), None, "{first} first");
        assert!(!book.tick(session, true), "{first} first");
        assert_eq!(book.expire(session), None, "{first} first");
        // And neither did the lease of a node that was not heard from become longer than it was.
        let left = TTL - 4 * TICK - TICK;
        for _ in 0..left.as_millis() / TICK.as_millis() + 1 {
            tokio::time::advance(TICK).await;
            book.tick(session, true);
        }
        assert!(book.expire(session).is_some(), "{first} first");
    }
}

#[tokio::test(start_paused = true)]
async fn time_without_a_quorum_does_not_count() {
    let rig = Rig::new();
    let node = rig.register(1);
    sleep(TTL / 2).await;
    rig.fake.is_fresh.store(false, Ordering::SeqCst);
    sleep(20 * TTL).await;
    assert!(is_no_leader(&rig.heartbeat(&address(9)).await));
    rig.fake.is_fresh.store(true, Ordering::SeqCst);
    rig.expect_offline_within(&node, TTL / 2 - 2 * TICK, TTL / 2 + 2 * TICK).await;
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_jumps_does_nothing_to_a_lease() {
    let rig = Rig::new();
    let node = rig.register(1);
    for (round, unix_ms) in [0, u64::MAX, 1, 86_400_000, 5].into_iter().enumerate() {
        rig.wall.0.store(unix_ms, Ordering::SeqCst);
        sleep(TTL - MS).await;
        assert_eq!(rig.heartbeat(&node).await.unwrap(), ALIVE, "round {round}");
    }
    assert_eq!(rig.fake.take_proposed(), []);
    rig.wall.0.store(0, Ordering::SeqCst);
    rig.expect_offline_within(&node, TTL, TTL + TICK).await;
}

#[tokio::test(start_paused = true)]
async fn people_are_told_when_a_node_was_heard_from_by_the_wall_clock_of_the_moment() {
    let rig = Rig::new();
    let (heard, silent) = (rig.register(1), rig.register(2));
    // A new leader has not heard from anybody yet.
    rig.fake.lead.send_replace(Some(LeadTerm(2)));
    settle().await;
    rig.heartbeat(&heard).await.unwrap();
    sleep(Duration::from_secs(7)).await;
    rig.wall.0.store(1_000_000, Ordering::SeqCst);
    let told = rig.keeper.last_heard(&crate::feed::FeedFilter::all()).unwrap();
    assert_eq!(told.get(&rig.id(&heard)), Some(&993_000));
    assert_eq!(told.get(&rig.id(&silent)), None);
    let other = crate::feed::FeedFilter::namespaces(["other".parse().unwrap()]);
    assert!(rig.keeper.last_heard(&other).unwrap().is_empty());
    rig.fake.lead.send_replace(None);
    assert!(is_no_leader(&rig.keeper.last_heard(&other)));
}

#[tokio::test(start_paused = true)]
async fn lease_time_stands_still_only_for_what_is_late_by_more_than_a_tick() {
    let began = Instant::now();
    let mut clock = LeaseClock::start(began, TICK);
    let at = |duration| LeaseTime::START.after(duration);
    assert_eq!(clock.read(began + TICK / 2), at(TICK / 2));
    assert_eq!(clock.tick(began + TICK, true), at(TICK));
    // Late by a tick: all of it counts.
    assert_eq!(clock.tick(began + 3 * TICK, true), at(3 * TICK));
    // Late by more: one tick counts.
    assert_eq!(clock.tick(began + 3 * TICK + 2 * TICK + MS, true), at(4 * TICK));
    assert_eq!(clock.given_back(), TICK + MS);
    // Read first, ticked then: counted once.
    let woken = began + 3 * TICK + 2 * TICK + MS + 100 * TICK;
    assert_eq!(clock.read(woken), at(5 * TICK));
    assert_eq!(clock.read(woken + TICK / 2), at(5 * TICK + TICK / 2));
    assert_eq!(clock.tick(woken + TICK, true), at(6 * TICK));
    // No quorum.
    assert_eq!(clock.tick(woken + 2 * TICK, false), at(6 * TICK));
    assert_eq!(clock.tick(woken + 3 * TICK, true), at(7 * TICK));
    // A clock that goes back is taken for one that stands.
    assert_eq!(clock.read(began), at(7 * TICK));
}
