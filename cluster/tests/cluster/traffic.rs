//! Writes, reads and heartbeats through every member.

use std::collections::{BTreeMap, BTreeSet};

use kenger_cluster::{FeedFilter, HeartbeatOutcome, ProposeError, StoreKind};
use kenger_types::Metadata;
use kenger_types::cluster::MemberRole;

use crate::harness::{
    Cluster, address, barrier, eventually, ports, register, register_with, surely_register,
};

async fn every_member_takes_writes_and_reads(size: u64, store: StoreKind) {
    let mut cluster = Cluster::started(size, store).await;
    let mut written = BTreeSet::new();
    for (at, port) in (1..=size).zip(8_000..) {
        surely_register(cluster.member(at), port).await;
        written.insert(u16::try_from(port).unwrap());
        for member in cluster.members() {
            barrier(member).await;
            assert_eq!(ports(member), written, "member {} after a write at member {at}", member.id());
        }
    }
    let ids: BTreeSet<_> = cluster.members().map(|member| member.cluster_id().unwrap()).collect();
    assert_eq!(ids.len(), 1);
    let revisions: BTreeSet<_> = cluster.members().map(|member| member.state().revision()).collect();
    assert_eq!(revisions.len(), 1);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_on_sled_take_writes_and_reads_everywhere() {
    every_member_takes_writes_and_reads(3, StoreKind::Sled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_on_redb_take_writes_and_reads_everywhere() {
    every_member_takes_writes_and_reads(3, StoreKind::Redb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_members_take_writes_and_reads_everywhere() {
    every_member_takes_writes_and_reads(5, StoreKind::Redb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_member_is_a_cluster() {
    every_member_takes_writes_and_reads(1, StoreKind::Sled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writes_through_all_members_at_once_are_all_there_once() {
    let mut cluster = Cluster::started(3, StoreKind::Redb).await;
    let before = cluster.member(1).state().revision();
    let writers: Vec<_> = (0..300)
        .map(|number| {
            let member = cluster.member(1 + number % 3).clone();
            let port = 10_000 + i64::try_from(number).unwrap();
            tokio::spawn(async move { member.propose(register(port)).await.unwrap().revision })
        })
        .collect();
    let mut revisions = BTreeSet::new();
    for writer in writers {
        revisions.insert(writer.await.unwrap());
    }
    assert_eq!(revisions.len(), 300, "each write has a revision of its own");
    assert_eq!(revisions.last().unwrap().0 - before.0, 300, "and no other");
    for member in cluster.members() {
        barrier(member).await;
        assert_eq!(ports(member).len(), 300);
    }
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_barrier_at_one_member_sees_what_was_acknowledged_at_another() {
    let mut cluster = Cluster::started(3, StoreKind::Redb).await;
    let readers: Vec<_> = (0..3_u64)
        .map(|place| {
            let (writer, reader) =
                (cluster.member(1 + place).clone(), cluster.member(1 + (place + 1) % 3).clone());
            tokio::spawn(async move {
                for round in 0..50_i64 {
                    let port = 10_000 + 100 * i64::try_from(place).unwrap() + round;
                    writer.propose(register(port)).await.unwrap();
                    reader.read_barrier().await.unwrap();
                    assert!(ports(&reader).contains(&u16::try_from(port).unwrap()), "round {round}");
                }
            })
        })
        .collect();
    for reader in readers {
        reader.await.unwrap();
    }
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_is_told_through_a_follower_as_it_is() {
    let mut cluster = Cluster::started(3, StoreKind::Redb).await;
    let leader = cluster.agreed().await;
    for member in cluster.members() {
        let command = kenger_cluster::state::Command::Deregister { key: address(1), if_revision: None };
        let error = member.propose(command).await.unwrap_err();
        assert!(
            matches!(error, ProposeError::Rejected(_)),
            "member {} (leader {leader}): {error:?}",
            member.id()
        );
    }
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_registrations_replicate_in_bulk() {
    let mut cluster = Cluster::started(3, StoreKind::Sled).await;
    let pairs: BTreeMap<_, _> = (0..32).map(|number| (format!("{number:064}"), "v".repeat(512))).collect();
    let metadata = Metadata::try_from(pairs).unwrap();
    let writers: Vec<_> = (0..200)
        .map(|number| {
            let member = cluster.member(1 + number % 3).clone();
            let command = register_with(20_000 + i64::try_from(number).unwrap(), metadata.clone());
            tokio::spawn(async move { member.propose(command).await })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    for member in cluster.members() {
        barrier(member).await;
        assert_eq!(ports(member).len(), 200);
        assert!(member.state().nodes().all(|node| node.metadata == metadata));
    }
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_reach_the_leader_through_every_member() {
    let mut cluster = Cluster::started(3, StoreKind::Redb).await;
    let leader = cluster.agreed().await;
    surely_register(cluster.member(1), 8_000).await;
    barrier(cluster.member(leader)).await;
    for member in cluster.members() {
        let outcomes = member.heartbeat(vec![address(8_000), address(1)]).await.unwrap();
        assert!(matches!(outcomes[0], HeartbeatOutcome::Alive { ttl_seconds: 30, .. }), "{outcomes:?}");
        assert_eq!(outcomes[1], HeartbeatOutcome::NotFound);
        let heard = member.last_heard(&FeedFilter::all()).await.unwrap();
        assert_eq!(heard.len(), 1, "member {}: {heard:?}", member.id());
    }
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_member_tells_what_all_members_are() {
    let mut cluster = Cluster::started(3, StoreKind::Redb).await;
    let leader = cluster.agreed().await;
    surely_register(cluster.member(leader), 8_000).await;
    for member in cluster.members() {
        barrier(member).await;
    }
    for member in cluster.members() {
        let status = member.cluster_status().await;
        assert_eq!(status.leader_id.map(|id| id.0), Some(leader));
        assert_eq!(status.members.len(), 3);
        for told in &status.members {
            let expected = if told.id.0 == leader { MemberRole::Leader } else { MemberRole::Follower };
            assert_eq!(told.role, expected, "member {} about member {}", member.id(), told.id);
            assert!(told.voter && told.disk_bytes > Some(0) && told.lag.is_some(), "{told:?}");
        }
    }
    let gone = (1..=3).find(|id| *id != leader).unwrap();
    cluster.stop(gone).await;
    let status = cluster.member(leader).cluster_status().await;
    let told = status.members.iter().find(|member| member.id.0 == gone).unwrap();
    assert_eq!(told.role, MemberRole::Unreachable);
    assert_eq!(told.term, None);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_serves_the_feed_of_what_the_leader_applied() {
    let mut cluster = Cluster::started(3, StoreKind::Redb).await;
    let leader = cluster.agreed().await;
    let follower = (1..=3).find(|id| *id != leader).unwrap();
    let revision = surely_register(cluster.member(leader), 8_000).await.revision;
    let mut feed = cluster.member(follower).subscribe(None, FeedFilter::all());
    eventually("the follower has applied it", || cluster.member(follower).state().revision() == revision)
        .await;
    let next = surely_register(cluster.member(leader), 8_001).await.revision;
    let told = tokio::time::timeout(crate::harness::PATIENCE, async {
        while feed.revision() < next {
            feed.next().await.unwrap();
        }
    });
    told.await.unwrap();
    cluster.stop_all().await;
}
