//! No acknowledged write is lost, whichever processes die.

use std::time::Duration;

use jepsen_tests::harness::{Cluster, Ending, Settings, eventually};
use jepsen_tests::observe::Writers;
use tokio::time::sleep;

use crate::agreement::assert_nothing_lost;

const WRITERS: usize = 8;
/// After a death, writes go on within this time.
const PROGRESS_LIMIT: Duration = Duration::from_secs(20);

/// Waits until `more` writes than now have been acknowledged.
async fn progress(writers: &Writers, more: u64) {
    let goal = writers.acknowledged() + more;
    eventually("writes go on", PROGRESS_LIMIT, async || writers.acknowledged() >= goal).await;
}

/// The leader dies again and again, and once in a while a follower, while snapshots and purges go on.
async fn rounds_of_kill_minus_9(store: &'static str) {
    let settings = Settings { store, ..Settings::default() }.with_frequent_snapshots();
    let mut cluster = Cluster::start(settings).await;
    let writers = Writers::start(&cluster.apis(), WRITERS);
    for round in 0..5 {
        progress(&writers, 100).await;
        let leader = cluster.wait_for_leader().await;
        let victim = if round == 2 { leader % 3 + 1 } else { leader };
        cluster.kill(victim);
        progress(&writers, 50).await;
        cluster.start_member(victim);
        cluster.wait_until_ready(victim).await;
    }
    let ledger = writers.finish().await;
    assert_nothing_lost(&cluster, &ledger).await;
    // What is there is also on the disks of all of them.
    cluster.restart_all(Ending::Killed).await;
    assert_nothing_lost(&cluster, &ledger).await;
}

#[tokio::test]
async fn no_acknowledged_write_is_lost_when_members_are_killed_again_and_again_on_sled() {
    rounds_of_kill_minus_9("sled").await;
}

#[tokio::test]
async fn no_acknowledged_write_is_lost_when_members_are_killed_again_and_again_on_redb() {
    rounds_of_kill_minus_9("redb").await;
}

#[tokio::test]
async fn a_restart_of_all_members_at_once_keeps_every_acknowledged_write() {
    let mut cluster = Cluster::start(Settings::default().with_frequent_snapshots()).await;
    for ending in [Ending::Killed, Ending::Asked, Ending::Killed] {
        let writers = Writers::start(&cluster.apis(), WRITERS);
        progress(&writers, 200).await;
        cluster.restart_all(ending).await;
        progress(&writers, 20).await;
        let ledger = writers.finish().await;
        assert_nothing_lost(&cluster, &ledger).await;
        // The next writers begin their books anew, and so does the registry.
        let api = cluster.api(cluster.wait_for_leader().await);
        let body = serde_json::json!({"name": "writers"});
        api.post::<serde_json::Value>("/api/upstream/namespace/delete", &body).await.acknowledged();
    }
}

#[tokio::test]
async fn a_member_that_was_away_for_long_catches_up_by_a_snapshot() {
    let mut cluster = Cluster::start(Settings::default().with_frequent_snapshots()).await;
    let leader = cluster.wait_for_leader().await;
    let away = leader % 3 + 1;
    cluster.kill(away);
    let writers = Writers::start(&cluster.apis(), WRITERS);
    // Several times as many entries as a member keeps.
    progress(&writers, 400).await;
    cluster.start_member(away);
    cluster.wait_until_ready(away).await;
    progress(&writers, 50).await;
    let ledger = writers.finish().await;
    assert_nothing_lost(&cluster, &ledger).await;
    // It can lead with what it has got.
    cluster.kill(leader);
    cluster.wait_for_leader().await;
    sleep(Duration::from_millis(100)).await;
    assert_nothing_lost(&cluster, &ledger).await;
}
