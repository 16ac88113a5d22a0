//! What survives a stop, and members that were away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kenger_cluster::StoreKind;
use kenger_types::Metadata;

use crate::harness::{Cluster, barrier, eventually, ports, register_with, surely_register};

async fn all_stop_and_come_back(store: StoreKind) {
    let mut cluster = Cluster::started(3, store).await;
    let cluster_id = cluster.member(1).cluster_id();
    for port in 8_000..8_010 {
        surely_register(cluster.member(1), port).await;
    }
    let before = cluster.member(1).state();
    for _ in 0..2 {
        cluster.stop_all().await;
        cluster.start_all().await;
        cluster.agreed().await;
        for member in cluster.members() {
            barrier(member).await;
            assert_eq!(*member.state(), *before, "member {}", member.id());
            assert_eq!(member.cluster_id(), cluster_id);
        }
    }
    surely_register(cluster.member(3), 9_000).await;
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_members_on_sled_stop_and_come_back_with_their_state() {
    all_stop_and_come_back(StoreKind::Sled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_members_on_redb_stop_and_come_back_with_their_state() {
    all_stop_and_come_back(StoreKind::Redb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_member_in_turn_stops_and_comes_back_while_writes_go_on() {
    let mut cluster = Cluster::started(3, StoreKind::Sled).await;
    let mut written = BTreeSet::new();
    for (id, port) in (1..=3).zip(8_000..) {
        cluster.stop(id).await;
        let other = 1 + id % 3;
        surely_register(cluster.member(other), port).await;
        written.insert(u16::try_from(port).unwrap());
        let member = cluster.start(id).await.unwrap();
        cluster.agreed().await;
        barrier(&member).await;
        assert_eq!(ports(&member), written, "member {id}");
    }
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_away_for_longer_than_the_log_is_kept_gets_a_snapshot() {
    let mut cluster = Cluster::started_with(3, StoreKind::Redb, |config| {
        config.compaction.snapshot_after_entries = 40;
        config.compaction.keep_entries = 5;
    })
    .await;
    surely_register(cluster.member(1), 8_000).await;
    let leader = cluster.agreed().await;
    let away = (1..=3).find(|id| *id != leader).unwrap();
    barrier(cluster.member(away)).await;
    let last = cluster.member(away).stats().last_log_index;
    cluster.stop(away).await;
    // Large enough for a snapshot in several pieces.
    let pairs: BTreeMap<_, _> = (0..32).map(|number| (format!("{number:064}"), "v".repeat(512))).collect();
    let metadata = Metadata::try_from(pairs).unwrap();
    for port in 8_001..8_200 {
        cluster.member(leader).propose(register_with(port, metadata.clone())).await.unwrap();
    }
    eventually("the log is purged beyond what the member has", || {
        cluster.member(leader).stats().purged_index > last + 1
    })
    .await;
    let member = cluster.start(away).await.unwrap();
    barrier(&member).await;
    assert_eq!(*member.state(), *cluster.member(leader).state());
    assert!(member.stats().snapshot_index > last, "it came by a snapshot: {:?}", member.stats());
    // And goes on from there.
    surely_register(&member, 9_000).await;
    barrier(&member).await;
    assert!(ports(&member).contains(&9_000));
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_taken_by_bytes_and_by_time() {
    let mut cluster = Cluster::started_with(1, StoreKind::Redb, |config| {
        config.compaction.snapshot_after_bytes = 10_000;
    })
    .await;
    for port in 8_000..8_300 {
        surely_register(cluster.member(1), port).await;
    }
    eventually("a snapshot by bytes", || cluster.member(1).stats().snapshots_total > 0).await;
    cluster.stop_all().await;

    let mut cluster = Cluster::started_with(1, StoreKind::Redb, |config| {
        config.compaction.snapshot_after = Duration::from_secs(1);
    })
    .await;
    surely_register(cluster.member(1), 8_000).await;
    eventually("a snapshot by time", || cluster.member(1).stats().snapshots_total > 0).await;
    cluster.stop_all().await;
}
