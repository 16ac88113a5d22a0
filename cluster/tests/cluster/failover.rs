//! Leaders that are lost, cut off or stopped.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kenger_cluster::{MemberConfig, ProposeError, ReadError, StoreKind};
use tokio::time::Instant;

use crate::harness::{Cluster, address, barrier, eventually, ports, register, surely_register};

fn others(id: u64) -> Vec<u64> {
    (1..=3).filter(|other| *other != id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_others_go_on_without_the_leader_and_it_follows_when_it_is_back() {
    let mut cluster = Cluster::started(3, StoreKind::Sled).await;
    let old = cluster.agreed().await;
    surely_register(cluster.member(old), 8_000).await;
    cluster.cut_off(old);
    let others = others(old);
    for (id, port) in others.iter().zip([8_001, 8_002]) {
        surely_register(cluster.member(*id), port).await;
    }
    let new = cluster.agreed_among(&others).await;
    assert_ne!(new, old);
    eventually("the old leader knows that it leads no more", || {
        let leadership = cluster.member(old).leadership();
        !leadership.is_leader && leadership.leader.is_none()
    })
    .await;
    cluster.mend();
    cluster.agreed().await;
    barrier(cluster.member(old)).await;
    assert_eq!(ports(cluster.member(old)), BTreeSet::from([8_000, 8_001, 8_002]));
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_nothing_is_acknowledged_and_nothing_default_is_read() {
    let short = |config: &mut MemberConfig| {
        config.timing.commit_timeout = Duration::from_secs(1);
        config.timing.leader_wait = Duration::from_secs(1);
    };
    let mut cluster = Cluster::started_with(3, StoreKind::Redb, short).await;
    let leader = cluster.agreed().await;
    surely_register(cluster.member(leader), 8_000).await;
    cluster.cut_off(leader);
    // At first the cut-off leader does not know and takes the command, later it refuses.
    for port in 8_001..8_004 {
        match cluster.member(leader).propose(register(port)).await {
            Err(ProposeError::Unknown(_) | ProposeError::NoLeader(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    let read = cluster.member(leader).read_barrier().await;
    assert!(matches!(read, Err(ReadError::NoLeader(_))), "{read:?}");
    let refused = cluster.member(leader).propose(register(8_009)).await;
    assert!(matches!(refused, Err(ProposeError::NoLeader(_))), "{refused:?}");
    let heartbeat = cluster.member(leader).heartbeat(vec![address(8_000)]).await;
    assert!(matches!(heartbeat, Err(ReadError::NoLeader(_))), "{heartbeat:?}");
    assert!(ports(cluster.member(leader)).is_subset(&BTreeSet::from([8_000])), "stale reads go on");
    // What was refused as "nothing was done" must not turn up later.
    cluster.mend();
    cluster.agreed().await;
    barrier(cluster.member(leader)).await;
    assert!(!ports(cluster.member(leader)).contains(&8_009));
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_acknowledges_no_heartbeat_once_another_one_leads() {
    let mut cluster = Cluster::started(3, StoreKind::Redb).await;
    let old = cluster.agreed().await;
    surely_register(cluster.member(old), 8_000).await;
    let began = Arc::new(OnceLock::new());
    for id in others(old) {
        let (mut changes, began) = (cluster.member(id).leadership_changes(), Arc::clone(&began));
        tokio::spawn(async move {
            if changes.wait_for(|leadership| leadership.is_leader).await.is_ok() {
                let _ = began.set(Instant::now());
            }
        });
    }
    cluster.cut_off(old);
    let mut last_acknowledged = Instant::now();
    let beat = || cluster.member(old).heartbeat(vec![address(8_000)]);
    loop {
        match beat().await {
            Ok(_) => last_acknowledged = Instant::now(),
            Err(ReadError::NoLeader(_)) => break,
            Err(error) => panic!("{error}"),
        }
        assert!(
            began.get().is_none_or(|began| last_acknowledged < *began),
            "acknowledged while another leads"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    eventually("another one leads", || began.get().is_some()).await;
    assert!(began.get().is_some_and(|began| last_acknowledged < *began), "acknowledged while another leads");
    // Nor does it take them up again.
    for _ in 0..3 {
        let refused = beat().await;
        assert!(matches!(refused, Err(ReadError::NoLeader(_))), "{refused:?}");
    }
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_is_cut_off_says_so_and_disturbs_nobody_when_it_is_back() {
    let mut cluster = Cluster::started(3, StoreKind::Redb).await;
    let leader = cluster.agreed().await;
    let term = cluster.member(leader).stats().term;
    let follower = others(leader)[0];
    cluster.cut_off(follower);
    eventually("the follower knows", || cluster.member(follower).leadership().leader.is_none()).await;
    let refused = cluster.member(follower).propose(register(8_000)).await;
    assert!(matches!(refused, Err(ProposeError::NoLeader(_))), "{refused:?}");
    // Long enough for several elections that it cannot win.
    tokio::time::sleep(Duration::from_secs(4)).await;
    surely_register(cluster.member(leader), 8_001).await;
    cluster.mend();
    barrier(cluster.member(follower)).await;
    assert_eq!(ports(cluster.member(follower)), BTreeSet::from([8_001]));
    assert_eq!(cluster.member(leader).stats().term, term, "pre-vote keeps the term");
    assert_eq!(cluster.agreed().await, leader);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_hands_over_before_an_election_timeout() {
    let slow = |config: &mut MemberConfig| {
        config.timing.election_timeout_min = Duration::from_secs(5);
        config.timing.election_timeout_max = Duration::from_secs(10);
    };
    let mut cluster = Cluster::started_with(3, StoreKind::Redb, slow).await;
    let leader = cluster.agreed().await;
    let others = others(leader);
    surely_register(cluster.member(leader), 8_000).await;
    let stopping = cluster.member(leader).clone();
    let begun = Instant::now();
    let stopped = tokio::spawn(async move { stopping.shutdown().await });
    let committed = surely_register(cluster.member(others[0]), 8_001).await;
    let took = begun.elapsed();
    // Without a handover nobody asks to lead before the shortest silence.
    assert!(took < Duration::from_secs(4), "the next write took {took:?}");
    assert!(committed.revision.0 > 0);
    stopped.await.unwrap();
    assert!(others.contains(&cluster.agreed_among(&others).await));
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_stops_takes_nothing_more_on() {
    let mut cluster = Cluster::started(1, StoreKind::Redb).await;
    let member = cluster.member(1).clone();
    surely_register(&member, 8_000).await;
    cluster.stop(1).await;
    assert!(matches!(member.propose(register(8_001)).await, Err(ProposeError::Stopping)));
    assert!(matches!(member.read_barrier().await, Err(ReadError::Stopping)));
    assert!(matches!(member.heartbeat(vec![]).await, Err(ReadError::Stopping)));
}
