//! Order, completeness, filters, resuming.

use super::*;

#[tokio::test]
async fn a_new_subscriber_begins_with_a_snapshot_and_goes_on_with_events() {
    let mut rig = Rig::new(100);
    rig.register("a", 1);
    let mut subscription = rig.hub.subscribe(None, FeedFilter::all());
    assert_eq!(subscription.revision(), Revision(0));
    assert_eq!(expect_snapshot(&mut subscription).await, Revision(1));
    assert_eq!(expect_up_to_date(&mut subscription).await, Revision(1));
    rig.register("a", 2);
    assert_eq!(expect_event(&mut subscription).await, Revision(2));
    assert_eq!(expect_up_to_date(&mut subscription).await, Revision(2));
    expect_silence(&mut subscription).await;
    assert_eq!(subscription.revision(), Revision(2));
}

#[tokio::test]
async fn events_come_in_order_each_once_without_a_gap() {
    let mut rig = Rig::new(1_000);
    let mut subscription = rig.hub.subscribe(Some(Revision(0)), FeedFilter::all());
    for port in 1..=300 {
        rig.register("a", port);
    }
    for revision in 1..=300 {
        assert_eq!(expect_event(&mut subscription).await, Revision(revision));
        assert_eq!(subscription.revision(), Revision(revision));
    }
    assert_eq!(expect_up_to_date(&mut subscription).await, Revision(300));
    expect_silence(&mut subscription).await;
}

#[tokio::test]
async fn all_changes_of_a_revision_come_in_one_event() {
    let mut rig = Rig::new(100);
    let mut subscription = rig.hub.subscribe(Some(Revision(0)), FeedFilter::all());
    rig.register("new", 1);
    let Ok(FeedItem::Event(event)) = next(&mut subscription).await else { panic!("an event was expected") };
    assert!(matches!(event.changes[..], [Change::NamespacePut { .. }, Change::NodePut { .. }]));
    assert_eq!(expect_up_to_date(&mut subscription).await, Revision(1));
}

#[tokio::test]
async fn a_command_that_changes_nothing_makes_no_event() {
    let mut rig = Rig::new(100);
    rig.run(add_namespace("a"));
    let mut subscription = rig.hub.subscribe(Some(Revision(1)), FeedFilter::all());
    assert_eq!(expect_up_to_date(&mut subscription).await, Revision(1));
    assert_eq!(rig.run(Command::Return { nodes: Vec::new() }), Revision(1));
    expect_silence(&mut subscription).await;
    rig.register("a", 1);
    assert_eq!(expect_event(&mut subscription).await, Revision(2));
}

#[tokio::test]
async fn a_subscriber_resumes_exactly_after_every_cursor_that_the_ring_has() {
    let mut rig = Rig::new(200);
    for port in 1..=150 {
        rig.register("a", port);
    }
    for cursor in 0..=150 {
        let mut subscription = rig.hub.subscribe(Some(Revision(cursor)), FeedFilter::all());
        assert_eq!(subscription.revision(), Revision(cursor));
        for revision in cursor + 1..=150 {
            assert_eq!(expect_event(&mut subscription).await, Revision(revision));
        }
        assert_eq!(expect_up_to_date(&mut subscription).await, Revision(150));
    }
}

#[tokio::test]
async fn cursors_older_than_the_ring_or_ahead_of_the_history_get_a_snapshot() {
    let mut rig = Rig::new(10);
    for port in 1..=30 {
        rig.register("a", port);
    }
    for cursor in 0..=40 {
        let mut subscription = rig.hub.subscribe(Some(Revision(cursor)), FeedFilter::all());
        let item = next(&mut subscription).await.unwrap();
        match cursor {
            20..=29 => {
                assert!(matches!(item, FeedItem::Event(event) if event.revision == Revision(cursor + 1)));
            }
            30 => assert!(matches!(item, FeedItem::UpToDate(Revision(30)))),
            _ => assert!(matches!(item, FeedItem::Snapshot(snapshot) if snapshot.revision() == Revision(30))),
        }
    }
}

#[tokio::test]
async fn a_filter_passes_over_other_namespaces_and_the_revision_moves_on() {
    let mut rig = Rig::new(1_000);
    let mut subscription = rig.hub.subscribe(Some(Revision(0)), filter("a"));
    assert_eq!(expect_up_to_date(&mut subscription).await, Revision(0));
    for port in 1..=100 {
        rig.register("b", port);
    }
    assert_eq!(expect_up_to_date(&mut subscription).await, Revision(100));
    expect_silence(&mut subscription).await;
    assert_eq!(subscription.revision(), Revision(100));
    rig.register("a", 1);
    rig.register("b", 101);
    assert_eq!(expect_event(&mut subscription).await, Revision(101));
    assert_eq!(expect_up_to_date(&mut subscription).await, Revision(102));
    assert_eq!(subscription.filter(), &filter("a"));
}

#[tokio::test]
async fn an_event_that_a_filter_wants_in_part_is_passed_on() {
    let mut rig = Rig::new(100);
    rig.register("a", 1);
    let mut subscription = rig.hub.subscribe(Some(Revision(1)), filter("a"));
    rig.run(Command::UpdateNamespace {
        key: NamespaceKey::Name(name("a")),
        new_name: Some(name("z")),
        description: None,
        health_path: None,
        if_revision: None,
    });
    let Ok(FeedItem::Event(event)) = next(&mut subscription).await else { panic!("an event was expected") };
    assert!(event.is_wanted(&filter("a")) && !event.is_wanted_whole(&filter("a")));
    assert!(event.is_wanted_whole(&FeedFilter::all()));
}

#[tokio::test]
async fn nothing_is_lost_when_the_wait_for_the_next_item_is_given_up() {
    let mut rig = Rig::new(1_000);
    let mut subscription = rig.hub.subscribe(None, FeedFilter::all());
    let mut replica = Replica::default();
    let mut told = Vec::new();
    for port in 1..=200 {
        rig.register("a", port);
        // Each of these futures is dropped after one poll, wherever it was.
        for _ in 0..port % 3 {
            tokio::task::yield_now().await;
            match futures_util::FutureExt::now_or_never(subscription.next()) {
                Some(Ok(FeedItem::Snapshot(item))) => replica = Replica::of(item.state(), item.filter()),
                Some(Ok(FeedItem::Event(event))) => {
                    told.push(event.revision.0);
                    replica.apply(&event.changes, &FeedFilter::all());
                }
                _ => {}
            }
        }
    }
    while subscription.revision() < Revision(200) {
        if let FeedItem::Event(event) = next(&mut subscription).await.unwrap() {
            told.push(event.revision.0);
            replica.apply(&event.changes, &FeedFilter::all());
        }
    }
    assert!(told.windows(2).all(|pair| pair[1] == pair[0] + 1), "{told:?}");
    assert_eq!(replica, Replica::of(&rig.state, &FeedFilter::all()));
}
