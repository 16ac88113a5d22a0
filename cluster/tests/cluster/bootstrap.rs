//! The first start, and directories and secrets that are not what they should be.

use std::fs;
use std::time::Duration;

use kenger_cluster::{StartError, StoreKind};
use tokio::time::timeout;

use crate::harness::{Cluster, PATIENCE, barrier, surely_register};

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_starts_only_when_all_members_are_there() {
    let mut cluster = Cluster::configured(3, StoreKind::Redb);
    cluster.start(1).await.unwrap();
    cluster.start(2).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(cluster.member(1).cluster_id(), None);
    assert_eq!(cluster.member(2).cluster_id(), None);
    cluster.start(3).await.unwrap();
    cluster.agreed().await;
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_in_which_members_start_does_not_matter() {
    let mut cluster = Cluster::configured(3, StoreKind::Redb);
    for id in [3, 2, 1] {
        cluster.start(id).await.unwrap();
    }
    cluster.agreed().await;
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_was_interrupted_goes_on_with_the_cluster_id_that_was_chosen() {
    let mut cluster = Cluster::configured(3, StoreKind::Redb);
    cluster.start(1).await.unwrap();
    cluster.stop(1).await;
    // As if it had stopped between storing the cluster id and initializing Raft.
    let path = cluster.config(1).data_dir.join("identity.json");
    let mut identity: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    identity["cluster_id"] = "00112233445566778899aabbccddeeff".into();
    fs::write(&path, serde_json::to_vec(&identity).unwrap()).unwrap();
    cluster.start_all().await;
    cluster.agreed().await;
    for member in cluster.members() {
        assert_eq!(member.cluster_id().unwrap().to_string(), "00112233445566778899aabbccddeeff");
    }
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn different_member_lists_start_no_cluster_and_say_so() {
    let mut cluster = Cluster::configured(3, StoreKind::Redb);
    cluster.config(3).members[1].api = "192.0.2.77:5000".to_owned();
    cluster.start_all().await;
    let reason = timeout(PATIENCE, cluster.member(1).failed()).await.unwrap();
    assert!(reason.contains("member 3 was started with another member list"), "{reason}");
    assert!(reason.contains("192.0.2.77:5000") && reason.contains("192.0.2.2:5000"), "{reason}");
    assert_eq!(cluster.member(2).cluster_id(), None);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_with_another_secret_is_not_let_in() {
    let mut cluster = Cluster::configured(3, StoreKind::Redb);
    cluster.config(3).peer_secret = b"another one".to_vec();
    cluster.start_all().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(cluster.members().all(|member| member.cluster_id().is_none()));
    // With the right one it goes on.
    cluster.stop(3).await;
    let secret = cluster.config(1).peer_secret.clone();
    cluster.config(3).peer_secret = secret;
    cluster.start(3).await.unwrap();
    cluster.agreed().await;
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_directory_does_not_come_back_under_its_old_id() {
    let mut cluster = Cluster::started(3, StoreKind::Redb).await;
    surely_register(cluster.member(1), 8_000).await;
    // The lowest id finds out by its probes, another one when the leader calls it.
    for lost in [1, 3] {
        cluster.stop(lost).await;
        let kept = cluster.config(lost).data_dir.with_extension("kept");
        fs::rename(&cluster.config(lost).data_dir, &kept).unwrap();
        let member = cluster.start(lost).await.unwrap();
        let reason = timeout(PATIENCE, member.failed()).await.unwrap();
        assert!(reason.contains("lost") && reason.contains("new id"), "{reason}");
        assert_eq!(member.cluster_id(), None);
        // The others go on meanwhile, and with its directory the member is back.
        surely_register(cluster.member(2), 8_000 + i64::try_from(lost).unwrap()).await;
        cluster.stop(lost).await;
        fs::remove_dir_all(&cluster.config(lost).data_dir).unwrap();
        fs::rename(&kept, &cluster.config(lost).data_dir).unwrap();
        let member = cluster.start(lost).await.unwrap();
        barrier(&member).await;
    }
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_gone_or_swapped_stops_the_member() {
    let mut cluster = Cluster::started(3, StoreKind::Redb).await;
    cluster.stop_all().await;
    let (one, two) = (cluster.config(1).data_dir.clone(), cluster.config(2).data_dir.clone());
    let identity = |directory: &std::path::Path| directory.join("identity.json");

    let swapped = fs::read(identity(&two)).unwrap();
    let own = fs::read(identity(&one)).unwrap();
    fs::write(identity(&one), &swapped).unwrap();
    let error = cluster.start(1).await.err().unwrap();
    assert!(matches!(error, StartError::DataDir { .. }), "{error}");
    assert!(error.to_string().contains("member 2's, not member 1's"), "{error}");

    fs::remove_file(identity(&one)).unwrap();
    let error = cluster.start(1).await.err().unwrap();
    assert!(error.to_string().contains("there is a store but no identity.json"), "{error}");

    fs::write(identity(&one), own).unwrap();
    fs::rename(one.join("redb"), one.join("elsewhere")).unwrap();
    let error = cluster.start(1).await.err().unwrap();
    assert!(error.to_string().contains("missing"), "{error}");

    fs::rename(one.join("elsewhere"), one.join("redb")).unwrap();
    cluster.start_all().await;
    cluster.agreed().await;
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_lists_are_refused_before_anything_is_made() {
    for (size, change) in [(2, 2), (3, 3), (4, 4)] {
        let mut cluster = Cluster::configured(size, StoreKind::Redb);
        if change == 3 {
            let first = cluster.config(1).members[0].clone();
            cluster.config(1).members[1] = first;
        }
        let error = cluster.start(1).await.err().unwrap();
        assert!(error.to_string().contains("member list"), "{error}");
        assert!(!cluster.config(1).data_dir.exists());
    }
}
