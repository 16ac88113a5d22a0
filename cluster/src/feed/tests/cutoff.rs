//! Bounds, and how subscriptions end.

use std::sync::Arc;

use super::super::BATCH_MAX_EVENTS;
use super::*;

#[tokio::test]
async fn a_subscriber_that_falls_out_of_the_ring_is_cut_off_after_what_it_had_taken() {
    let mut rig = Rig::new(10);
    rig.register("a", 1);
    let mut subscription = rig.hub.subscribe(Some(Revision(0)), FeedFilter::all());
    assert_eq!(expect_event(&mut subscription).await, Revision(1));
    for port in 2..=12 {
        rig.register("a", port);
    }
    assert_eq!(next(&mut subscription).await.unwrap_err(), FeedEnd::TooSlow);
    assert_eq!(next(&mut subscription).await.unwrap_err(), FeedEnd::TooSlow, "it stays over");
    assert_eq!(subscription.revision(), Revision(1));
    assert_eq!(rig.hub.stats().too_slow_total, 1);

    let mut resumed = rig.hub.subscribe(Some(subscription.revision()), FeedFilter::all());
    assert_eq!(expect_snapshot(&mut resumed).await, Revision(12));
}

#[tokio::test]
async fn a_subscriber_takes_a_bounded_number_of_events_at_a_time() {
    let batch = u64::try_from(BATCH_MAX_EVENTS).unwrap();
    let mut rig = Rig::new(3 * BATCH_MAX_EVENTS);
    let mut subscription = rig.hub.subscribe(Some(Revision(0)), FeedFilter::all());
    let mut port = 0;
    let mut register = |rig: &mut Rig, count: usize| {
        for _ in 0..count {
            port += 1;
            rig.register("a", port);
        }
    };
    register(&mut rig, 3 * BATCH_MAX_EVENTS);
    assert_eq!(expect_event(&mut subscription).await, Revision(1));
    register(&mut rig, 2 * BATCH_MAX_EVENTS);
    for revision in 2..=batch {
        assert_eq!(expect_event(&mut subscription).await, Revision(revision));
    }
    assert_eq!(next(&mut subscription).await.unwrap_err(), FeedEnd::TooSlow);
}

#[tokio::test]
async fn the_ring_is_bounded_in_revisions() {
    let mut rig = Rig::new(10);
    for port in 1..=30 {
        rig.register("a", port);
    }
    let stats = rig.hub.stats();
    assert_eq!((stats.ring_revisions, stats.oldest, stats.newest), (10, Some(Revision(21)), Revision(30)));
}

#[tokio::test]
async fn the_ring_is_bounded_in_bytes() {
    let mut rig = Rig::with_bytes(20_000);
    for port in 1..=500 {
        rig.register("a", port);
        assert!(rig.hub.stats().ring_bytes <= 20_000);
    }
    let stats = rig.hub.stats();
    assert!((5..100).contains(&stats.ring_revisions), "{stats:?}");
    assert_eq!(stats.oldest, Some(Revision(500 - stats.ring_revisions as u64 + 1)));
}

#[tokio::test]
async fn an_event_larger_than_the_whole_ring_reaches_those_that_are_up_to_date() {
    let mut rig = Rig::with_bytes(20_000);
    for port in 1..=200 {
        rig.register("a", port);
    }
    let mut subscription = rig.hub.subscribe(Some(Revision(200)), FeedFilter::all());
    assert_eq!(expect_up_to_date(&mut subscription).await, Revision(200));
    rig.run(Command::UpdateNamespace {
        key: NamespaceKey::Name(name("a")),
        new_name: Some(name("z")),
        description: None,
        health_path: None,
        if_revision: None,
    });
    assert!(rig.hub.stats().ring_bytes > 20_000);
    assert_eq!(expect_event(&mut subscription).await, Revision(201));
    rig.register("a", 1);
    assert_eq!(rig.hub.stats().ring_revisions, 1, "it is the first to go");
}

#[tokio::test]
async fn a_replaced_state_ends_subscriptions_that_are_behind_it() {
    let mut rig = Rig::new(100);
    rig.register("a", 1);
    let mut behind = rig.hub.subscribe(None, FeedFilter::all());
    expect_snapshot(&mut behind).await;
    let mut waiting = rig.hub.subscribe(Some(Revision(1)), FeedFilter::all());
    expect_up_to_date(&mut waiting).await;
    let waiting = tokio::spawn(async move { next(&mut waiting).await });
    tokio::task::yield_now().await;

    let mut ahead = rig.state.clone();
    for port in 2..=5 {
        ahead.apply(&Proposal { proposed_at_ms: 0, command: register("a", port, 100) });
    }
    rig.hub.replace(&Arc::new(ahead.clone()));
    assert_eq!(next(&mut behind).await.unwrap_err(), FeedEnd::Replaced);
    assert_eq!(waiting.await.unwrap().unwrap_err(), FeedEnd::Replaced);
    assert_eq!(rig.hub.stats().replaced_total, 2);

    let mut resumed = rig.hub.subscribe(Some(Revision(1)), FeedFilter::all());
    assert_eq!(expect_snapshot(&mut resumed).await, Revision(5));
    rig.state = ahead;
    rig.register("a", 6);
    assert_eq!(expect_event(&mut resumed).await, Revision(6));
}

#[tokio::test]
async fn a_replaced_state_ends_no_subscription_that_has_nothing_to_lose() {
    let mut rig = Rig::new(100);
    rig.register("a", 1);
    rig.register("a", 2);
    let mut not_begun = rig.hub.subscribe(None, FeedFilter::all());
    let mut not_resumed = rig.hub.subscribe(Some(Revision(1)), FeedFilter::all());
    let mut at_it = rig.hub.subscribe(Some(Revision(2)), FeedFilter::all());
    expect_up_to_date(&mut at_it).await;

    rig.hub.replace(&Arc::new(rig.state.clone()));
    rig.register("a", 3);
    assert_eq!(expect_snapshot(&mut not_begun).await, Revision(3));
    assert_eq!(expect_snapshot(&mut not_resumed).await, Revision(3));
    assert_eq!(expect_event(&mut at_it).await, Revision(3));
}

#[tokio::test]
async fn what_was_taken_before_the_state_was_replaced_is_still_told() {
    let mut rig = Rig::new(100);
    for port in 1..=3 {
        rig.register("a", port);
    }
    let mut subscription = rig.hub.subscribe(Some(Revision(0)), FeedFilter::all());
    assert_eq!(expect_event(&mut subscription).await, Revision(1));
    rig.hub.replace(&Arc::new(rig.state.clone()));
    assert_eq!(expect_event(&mut subscription).await, Revision(2));
    assert_eq!(expect_event(&mut subscription).await, Revision(3));
    assert_eq!(expect_up_to_date(&mut subscription).await, Revision(3));
}

#[tokio::test]
async fn a_revision_out_of_order_is_never_a_silent_gap() {
    let mut rig = Rig::new(100);
    rig.register("a", 1);
    let mut subscription = rig.hub.subscribe(Some(Revision(0)), FeedFilter::all());
    assert_eq!(expect_event(&mut subscription).await, Revision(1));
    // Applied, but not published.
    rig.state.apply(&Proposal { proposed_at_ms: 0, command: register("a", 2, 100) });
    rig.register("a", 3);
    assert_eq!(next(&mut subscription).await.unwrap_err(), FeedEnd::Replaced);
    let mut resumed = rig.hub.subscribe(Some(Revision(1)), FeedFilter::all());
    assert_eq!(expect_snapshot(&mut resumed).await, Revision(3));
}

#[tokio::test]
async fn closing_ends_those_that_wait_those_that_do_not_and_those_that_come_later() {
    let mut rig = Rig::new(100);
    rig.register("a", 1);
    let mut waiting = rig.hub.subscribe(Some(Revision(1)), FeedFilter::all());
    expect_up_to_date(&mut waiting).await;
    let waiting = tokio::spawn(async move { next(&mut waiting).await });
    let mut busy = rig.hub.subscribe(Some(Revision(0)), FeedFilter::all());
    tokio::task::yield_now().await;
    rig.hub.close();
    assert_eq!(waiting.await.unwrap().unwrap_err(), FeedEnd::Stopping);
    assert_eq!(next(&mut busy).await.unwrap_err(), FeedEnd::Stopping);
    for after in [None, Some(Revision(0)), Some(Revision(9))] {
        let mut late = rig.hub.subscribe(after, FeedFilter::all());
        assert_eq!(next(&mut late).await.unwrap_err(), FeedEnd::Stopping);
    }
}

#[tokio::test]
async fn dropping_the_hub_ends_all_subscriptions() {
    let rig = Rig::new(100);
    let mut waiting = rig.hub.subscribe(Some(Revision(0)), FeedFilter::all());
    expect_up_to_date(&mut waiting).await;
    let waiting = tokio::spawn(async move { next(&mut waiting).await });
    tokio::task::yield_now().await;
    drop(rig);
    assert_eq!(waiting.await.unwrap().unwrap_err(), FeedEnd::Stopping);
}

#[tokio::test]
async fn subscribers_are_counted() {
    let rig = Rig::new(100);
    let one = rig.hub.subscribe(None, FeedFilter::all());
    let two = rig.hub.subscribe(None, filter("a"));
    assert_eq!(rig.hub.stats().subscribers, 2);
    drop((one, two));
    assert_eq!(rig.hub.stats().subscribers, 0);
}
