//! After the leader's end, the next write is acknowledged soon.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use jepsen_tests::harness::{Api, Cluster, Ending, MemberId, Settings, eventually};
use kenger_types::Metadata;
use tokio::time::{Instant, sleep};

use crate::agreement::place;

const ROUNDS: usize = 5;

/// From now until a write is acknowledged by one of these members.
async fn until_next_write(apis: &[Api]) -> Duration {
    let started = Instant::now();
    let limited: Vec<_> = apis.iter().map(|api| api.with_limit(Duration::from_secs(4))).collect();
    let node = place("probe", 80);
    for api in limited.iter().cycle() {
        if api.register(&node, Metadata::default()).await.is_acknowledged() {
            return started.elapsed();
        }
        assert!(started.elapsed() < Duration::from_secs(30), "no write is acknowledged any more");
        sleep(Duration::from_millis(10)).await;
    }
    unreachable!("there are members");
}

async fn measure(ending: Ending) -> Vec<Duration> {
    let mut cluster = Cluster::start(Settings::default()).await;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let leader = cluster.wait_for_leader().await;
        let others: Vec<MemberId> = cluster.ids().into_iter().filter(|id| *id != leader).collect();
        let apis: Vec<_> = others.iter().map(|id| cluster.api(*id)).collect();
        until_next_write(&apis).await;
        let (time, ()) = tokio::join!(until_next_write_after_loss(&apis), cluster.end(leader, ending));
        times.push(time);
        cluster.start_member(leader);
        cluster.wait_until_ready(leader).await;
    }
    let times_ms: Vec<_> = times.iter().map(Duration::as_millis).collect();
    // Reported whether the test passes or not.
    eprintln!("next acknowledged write after {ending:?} (ms): {times_ms:?}");
    times
}

/// The same, begun when the signal is being sent: writes that the old leader still takes are no
/// measure, so it is the longest pause among the writes of the next seconds.
async fn until_next_write_after_loss(apis: &[Api]) -> Duration {
    let watched_for = Duration::from_secs(3);
    let (started, mut longest) = (Instant::now(), Duration::ZERO);
    while started.elapsed() < watched_for {
        longest = longest.max(until_next_write(apis).await);
        sleep(Duration::from_millis(10)).await;
    }
    longest
}

#[tokio::test]
async fn writes_are_acknowledged_again_soon_after_the_leader_was_killed() {
    let times = measure(Ending::Killed).await;
    assert!(times.iter().all(|time| *time < Duration::from_secs(5)), "{times:?}");
    // A pause that was not there would mean that the leader was not the leader.
    assert!(times.iter().any(|time| *time > Duration::from_millis(100)), "{times:?}");
}

#[tokio::test]
async fn a_leader_that_is_asked_to_stop_hands_over_without_an_election_timeout() {
    let times = measure(Ending::Asked).await;
    assert!(times.iter().all(|time| *time < Duration::from_secs(5)), "{times:?}");
    let mut sorted = times.clone();
    sorted.sort();
    // Shorter than the shortest silence after which a member would ask to lead by itself.
    assert!(sorted[ROUNDS / 2] < Duration::from_millis(500), "{times:?}");
}

#[tokio::test]
async fn a_member_names_the_leader_of_the_term_that_it_names() {
    let mut cluster = Cluster::start(Settings::default()).await;
    for _ in 0..2 {
        let old = cluster.wait_for_leader().await;
        let first = cluster.api(old).status().await.unwrap();
        let mut leaders = BTreeMap::from([(first.term, old)]);
        // A member asks the others for its answer, and waits for the one that stands still: the leader
        // changes while it does.
        cluster.pause(old);
        let others = cluster.running();
        eventually("the others have another leader", Duration::from_secs(20), async || {
            // At several moments, so that the change falls into one of the waits.
            let asked = (0..6).flat_map(|turn| others.iter().map(move |id| (turn * 90, *id)));
            let told = join_all(asked.map(async |(after_ms, id)| {
                sleep(Duration::from_millis(after_ms)).await;
                cluster.api(id).status().await
            }));
            let told = told.await;
            let mut is_over = true;
            for status in told.into_iter().flatten() {
                let Some(leader) = status.leader_id.map(|id| id.0) else { continue };
                let known = *leaders.entry(status.term).or_insert(leader);
                assert_eq!(known, leader, "member {} names both in term {}", status.member_id, status.term);
                is_over &= leader != old;
            }
            is_over && leaders.len() > 1
        })
        .await;
        cluster.resume(old);
        cluster.wait_for_all().await;
    }
}
