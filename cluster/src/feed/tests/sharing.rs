//! One encoding for all who need the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use bytes::Bytes;

use super::super::SnapshotItem;
use super::*;

async fn snapshot(subscription: &mut Subscription) -> Arc<SnapshotItem> {
    match next(subscription).await {
        Ok(FeedItem::Snapshot(item)) => item,
        other => panic!("a snapshot was expected, not {other:?}"),
    }
}

#[tokio::test]
async fn an_event_is_encoded_once_for_all_subscribers() {
    let mut rig = Rig::new(100);
    rig.register("a", 1);
    let encodings = AtomicUsize::new(0);
    for _ in 0..3 {
        let mut subscription = rig.hub.subscribe(Some(Revision(0)), FeedFilter::all());
        let Ok(FeedItem::Event(event)) = next(&mut subscription).await else {
            panic!("an event was expected")
        };
        let encoded = event.encoded(|event| {
            encodings.fetch_add(1, Ordering::SeqCst);
            Bytes::from(event.revision.to_string())
        });
        assert_eq!(encoded, "1");
    }
    assert_eq!(encodings.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_subscribers_that_come_at_once_share_one_encoding() {
    let mut rig = Rig::new(100);
    for port in 1..=50 {
        rig.register("a", port);
    }
    let encodings = Arc::new(AtomicUsize::new(0));
    let subscribers: Vec<_> = (0..1_000)
        .map(|_| {
            let mut subscription = rig.hub.subscribe(None, FeedFilter::all());
            let encodings = Arc::clone(&encodings);
            tokio::spawn(async move {
                let item = snapshot(&mut subscription).await;
                let encode = move |state: &State, _: &FeedFilter| {
                    encodings.fetch_add(1, Ordering::SeqCst);
                    Bytes::from(format!("{} nodes", state.nodes().count()))
                };
                // Kept, as a subscriber does that is still sending it.
                (item.encoded(encode).await, item)
            })
        })
        .collect();
    let mut kept = Vec::new();
    for subscriber in subscribers {
        let (encoded, item) = subscriber.await.unwrap();
        assert_eq!(encoded, "50 nodes");
        kept.push(item);
    }
    assert_eq!(encodings.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn filters_do_not_share_a_snapshot() {
    let mut rig = Rig::new(100);
    rig.register("a", 1);
    let all = snapshot(&mut rig.hub.subscribe(None, FeedFilter::all())).await;
    let again = snapshot(&mut rig.hub.subscribe(None, FeedFilter::all())).await;
    let some = snapshot(&mut rig.hub.subscribe(None, filter("a"))).await;
    assert!(Arc::ptr_eq(&all, &again));
    assert!(!Arc::ptr_eq(&all, &some));
    assert_eq!(some.filter(), &filter("a"));
}

#[tokio::test]
async fn a_snapshot_is_not_older_than_what_was_published_before_the_subscription() {
    let mut rig = Rig::new(100);
    rig.register("a", 1);
    let mut early = rig.hub.subscribe(None, FeedFilter::all());
    let old = snapshot(&mut rig.hub.subscribe(None, FeedFilter::all())).await;
    rig.register("a", 2);
    let new = snapshot(&mut rig.hub.subscribe(None, FeedFilter::all())).await;
    assert_eq!((old.revision(), new.revision()), (Revision(1), Revision(2)));
    // Whoever came before takes the newest one that is there.
    assert!(Arc::ptr_eq(&snapshot(&mut early).await, &new));
}

#[tokio::test]
async fn a_snapshot_that_the_ring_cannot_follow_is_not_shared() {
    let mut rig = Rig::new(2);
    rig.register("a", 1);
    let mut late = rig.hub.subscribe(None, FeedFilter::all());
    let old = snapshot(&mut rig.hub.subscribe(None, FeedFilter::all())).await;
    for port in 2..=9 {
        rig.register("a", port);
    }
    assert_eq!(snapshot(&mut late).await.revision(), Revision(9));
    assert_eq!(expect_up_to_date(&mut late).await, Revision(9));
    drop(old);
}

/// An encoding that takes until it is told to end; `began` tells that it has begun.
fn held(
    began: &mpsc::Sender<()>,
    end: mpsc::Receiver<()>,
) -> impl FnOnce(&State, &FeedFilter) -> Bytes + use<> {
    let began = began.clone();
    move |state, _| {
        began.send(()).unwrap();
        end.recv_timeout(PATIENCE).unwrap();
        Bytes::from(state.revision().to_string())
    }
}

/// A snapshot of what there is now, which is being encoded until it is told to end.
async fn encoding_under_way(rig: &Rig) -> (tokio::task::JoinHandle<Bytes>, mpsc::Sender<()>) {
    let (began, beginning) = mpsc::channel();
    let (end, ending) = mpsc::channel();
    let old = snapshot(&mut rig.hub.subscribe(None, FeedFilter::all())).await;
    let encoding = tokio::spawn({
        let encode = held(&began, ending);
        async move { old.encoded(encode).await }
    });
    tokio::task::yield_now().await;
    beginning.recv_timeout(PATIENCE).unwrap();
    (encoding, end)
}

#[tokio::test]
async fn who_cannot_use_the_encoding_under_way_waits_and_shares_the_next_one() {
    let mut rig = Rig::new(100);
    rig.register("a", 1);
    let (encoding, end) = encoding_under_way(&rig).await;

    rig.register("a", 2);
    let mut first = rig.hub.subscribe(None, FeedFilter::all());
    expect_silence(&mut first).await;
    rig.register("a", 3);
    let mut second = rig.hub.subscribe(None, FeedFilter::all());
    expect_silence(&mut second).await;
    end.send(()).unwrap();
    assert_eq!(encoding.await.unwrap(), "1");
    let (first, second) = (snapshot(&mut first).await, snapshot(&mut second).await);
    assert_eq!(first.revision(), Revision(3));
    assert!(Arc::ptr_eq(&first, &second));
}

/// Each waits in a task of its own, as connections do, so that each finds the others waiting when it wakes.
#[tokio::test]
async fn a_crowd_that_waits_for_an_encoding_does_not_wait_for_itself() {
    let mut rig = Rig::new(100);
    rig.register("a", 1);
    let (encoding, end) = encoding_under_way(&rig).await;

    rig.register("a", 2);
    let crowd: Vec<_> = (0..10)
        .map(|_| {
            let mut subscription = rig.hub.subscribe(None, FeedFilter::all());
            tokio::spawn(async move { expect_snapshot(&mut subscription).await })
        })
        .collect();
    tokio::task::yield_now().await;
    end.send(()).unwrap();
    assert_eq!(encoding.await.unwrap(), "1");
    for one in crowd {
        assert_eq!(one.await.unwrap(), Revision(2));
    }
}

#[tokio::test]
async fn an_encoding_whose_asker_has_gone_is_finished_and_kept() {
    let mut rig = Rig::new(100);
    rig.register("a", 1);
    let item = snapshot(&mut rig.hub.subscribe(None, FeedFilter::all())).await;
    let (began, beginning) = mpsc::channel();
    let (end, ending) = mpsc::channel();
    let asker = tokio::spawn({
        let (item, encode) = (Arc::clone(&item), held(&began, ending));
        async move { item.encoded(encode).await }
    });
    tokio::task::yield_now().await;
    beginning.recv_timeout(PATIENCE).unwrap();
    asker.abort();
    assert!(asker.await.unwrap_err().is_cancelled());
    end.send(()).unwrap();
    let again = item.encoded(|_, _| Bytes::from("a second encoding"));
    assert_eq!(tokio::time::timeout(PATIENCE, again).await.unwrap(), "1");
}

#[tokio::test]
async fn an_encoding_that_panics_fails_its_asker_alone() {
    let rig = Rig::new(100);
    let item = snapshot(&mut rig.hub.subscribe(None, FeedFilter::all())).await;
    let asker = tokio::spawn({
        let item = Arc::clone(&item);
        async move { item.encoded(|_, _| panic!("on purpose")).await }
    });
    assert!(asker.await.unwrap_err().is_panic());
    assert_eq!(item.encoded(|_, _| Bytes::from("fine")).await, "fine");
}
