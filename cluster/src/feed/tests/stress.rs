//! Many subscribers at many speeds, cut off at random, while the state changes: each of them ends
//! with exactly what the state is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use super::*;

const SUBSCRIBERS: u64 = 60;
const COMMANDS: u64 = 4_000;

/// Follows until `last` is reached, however often it is cut off; gives what it knows then.
async fn follow(hub: Arc<Hub>, filter: FeedFilter, seed: u64, last: Arc<AtomicU64>) -> (Replica, u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let slowness = random.random_range(0..4u32);
    let mut replica = Replica::default();
    let (mut known, mut ends) = (None, 0);
    loop {
        let mut subscription = hub.subscribe(known, filter.clone());
        let mut is_first = true;
        while let Ok(item) = next(&mut subscription).await {
            match item {
                FeedItem::Snapshot(snapshot) => {
                    assert!(is_first, "a snapshot in the middle");
                    assert!(Some(snapshot.revision()) >= known, "it went back");
                    replica = Replica::of(snapshot.state(), snapshot.filter());
                    known = Some(snapshot.revision());
                }
                FeedItem::Event(event) => {
                    let before = known.unwrap();
                    assert!(event.revision > before, "{} after {before}", event.revision);
                    assert!(
                        filter != FeedFilter::all() || event.revision.0 == before.0 + 1,
                        "{} after {before}",
                        event.revision
                    );
                    replica.apply(&event.changes, &filter);
                    known = Some(event.revision);
                }
                FeedItem::UpToDate(revision) => {
                    assert!(Some(revision) >= known);
                    known = Some(revision);
                    if revision.0 == last.load(Ordering::SeqCst) {
                        return (replica, ends);
                    }
                }
            }
            is_first = false;
            assert_eq!(known, Some(subscription.revision()));
            if slowness > 0 && random.random_ratio(slowness, 40) {
                tokio::time::sleep(Duration::from_millis(random.random_range(0..30))).await;
            }
            if random.random_ratio(1, 200) {
                break;
            }
        }
        ends += 1;
    }
}

fn random_command(random: &mut SmallRng) -> Command {
    let ns = ["a", "b", "c"][random.random_range(0..3)];
    let port = random.random_range(1..30);
    match random.random_range(0..20) {
        0 => delete_namespace(ns),
        1..5 => Command::Deregister { key: address(ns, port), if_revision: None },
        _ => register(ns, port, random.random_range(0..100)),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_subscribers_ends_with_exactly_what_the_state_is() {
    let hub = Arc::new(Hub::new(Arc::default(), 150, Workers::Threads));
    let last = Arc::new(AtomicU64::new(u64::MAX));
    let filters = [FeedFilter::all(), filter("a"), FeedFilter::namespaces([name("b"), name("c")])];
    let followers: Vec<_> = (0..SUBSCRIBERS)
        .map(|seed| {
            let filter = filters[seed as usize % filters.len()].clone();
            let following = follow(Arc::clone(&hub), filter.clone(), seed, Arc::clone(&last));
            (filter, tokio::spawn(following))
        })
        .collect();

    let mut random = SmallRng::seed_from_u64(4_711);
    let mut state = State::default();
    for at in 0..COMMANDS {
        let applied = state.apply(&Proposal { proposed_at_ms: at, command: random_command(&mut random) });
        hub.publish(&Arc::new(state.clone()), applied.revision, applied.changes);
        if at % 16 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if at == COMMANDS / 2 {
            // A member that was far behind is given a leader's snapshot.
            for skipped in 0..50 {
                state.apply(&Proposal { proposed_at_ms: skipped, command: random_command(&mut random) });
            }
            hub.replace(&Arc::new(state.clone()));
        }
    }
    last.store(state.revision().0, Ordering::SeqCst);
    // Wakes those that were up to date before `last` was known.
    hub.replace(&Arc::new(state.clone()));
    let applied = state.apply(&Proposal { proposed_at_ms: 0, command: add_namespace("the-end") });
    last.store(applied.revision.0, Ordering::SeqCst);
    hub.publish(&Arc::new(state.clone()), applied.revision, applied.changes);

    let mut ends = 0;
    for (filter, follower) in followers {
        let (replica, ended) = tokio::time::timeout(PATIENCE, follower).await.unwrap().unwrap();
        assert_eq!(replica, Replica::of(&state, &filter));
        ends += ended;
    }
    let stats = hub.stats();
    println!("{ends} resumed, {stats:?}");
    assert!(stats.too_slow_total > 0 && stats.replaced_total > 0, "nobody was cut off: {stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_waiting_subscribers_hear_of_every_revision() {
    let mut rig = Rig::new(10_000);
    let subscribers: Vec<_> = (0..1_000)
        .map(|_| {
            let mut subscription = rig.hub.subscribe(Some(Revision(0)), FeedFilter::all());
            tokio::spawn(async move {
                let mut events = 0;
                while subscription.revision() < Revision(1_000) {
                    events += u64::from(matches!(next(&mut subscription).await.unwrap(), FeedItem::Event(_)));
                }
                events
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (mut longest, began) = (Duration::ZERO, Instant::now());
    for port in 1..=1_000 {
        let before = Instant::now();
        rig.register("a", port);
        longest = longest.max(before.elapsed());
        tokio::task::yield_now().await;
    }
    let publishing = began.elapsed();
    for subscriber in subscribers {
        assert_eq!(subscriber.await.unwrap(), 1_000);
    }
    println!(
        "1000 revisions to 1000 subscribers: published in {publishing:?} (longest {longest:?}), heard by all after {:?}",
        began.elapsed()
    );
}
