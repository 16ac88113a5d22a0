//! A member that lost its data cannot pass for the one that had it.

use std::path::Path;
use std::time::Duration;

use jepsen_tests::harness::{Cluster, MemberId, Settings};
use kenger_types::Metadata;

use crate::agreement::{agreed_nodes, place};

const REFUSAL_LIMIT: Duration = Duration::from_secs(30);

/// Ends a member, empties its data directory and starts it again.
async fn wiped_member_is_refused(cluster: &mut Cluster, id: MemberId) {
    cluster.kill(id);
    std::fs::remove_dir_all(cluster.data_dir(id)).unwrap();
    cluster.start_member(id);
    let (status, log) = cluster.ends_by_itself(id, REFUSAL_LIMIT).await;
    assert!(!status.success(), "member {id} took part with an empty directory: {log}");
    assert!(log.contains("director"), "it does not say what is wrong: {log}");
}

#[tokio::test]
async fn a_member_whose_data_directory_was_emptied_refuses_to_come_back_under_its_old_id() {
    // The first member is the one that starts a new cluster where there is none.
    for wiped in [1, 3] {
        let mut cluster = Cluster::start(Settings::default()).await;
        let before = place("before", 80);
        cluster.api(2).register(&before, Metadata::default()).await.acknowledged();
        wiped_member_is_refused(&mut cluster, wiped).await;
        cluster.wait_for_all().await;
        let after = place("after", 80);
        cluster.api(2).register(&after, Metadata::default()).await.acknowledged();
        assert!(cluster.api(2).node(&before).await.is_some(), "the others go on with what they have");
    }
}

#[tokio::test]
async fn a_data_directory_of_another_member_is_refused() {
    let mut cluster = Cluster::start(Settings::default()).await;
    let (one, other) = (cluster.data_dir(2), cluster.data_dir(3));
    cluster.kill(2);
    cluster.kill(3);
    // Directory 3 now holds what member 2 made.
    std::fs::remove_dir_all(&other).unwrap();
    std::fs::rename(&one, &other).unwrap();
    cluster.start_member(3);
    let (status, log) = cluster.ends_by_itself(3, REFUSAL_LIMIT).await;
    assert!(!status.success(), "member 3 took the directory of member 2: {log}");
    assert!(log.contains("member"), "it does not say what is wrong: {log}");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap() {
        let (path, target) = {
            let item = item.unwrap();
            (item.path(), to.join(item.file_name()))
        };
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(path, target).unwrap();
        }
    }
}

#[tokio::test]
async fn an_old_copy_of_a_data_directory_is_caught_up_and_ends_no_leader() {
    let mut cluster = Cluster::start(Settings::default()).await;
    let leader = cluster.wait_for_leader().await;
    let put_back = leader % 3 + 1;
    let old = cluster.folder().join("old-copy");
    let write = async |cluster: &Cluster, name: &str| {
        for number in 1..=20 {
            let node = place(&format!("{name}-{number}"), 80);
            cluster.api(leader).register(&node, Metadata::default()).await.acknowledged();
        }
    };
    write(&cluster, "before").await;
    cluster.kill(put_back);
    copy(&cluster.data_dir(put_back), &old);
    cluster.start_member(put_back);
    cluster.wait_for_all().await;
    write(&cluster, "between").await;
    agreed_nodes(&cluster).await;
    cluster.kill(put_back);
    std::fs::remove_dir_all(cluster.data_dir(put_back)).unwrap();
    copy(&old, &cluster.data_dir(put_back));
    cluster.start_member(put_back);
    cluster.wait_until_ready(put_back).await;
    write(&cluster, "after").await;
    assert_eq!(agreed_nodes(&cluster).await.len(), 60);
    assert!(cluster.claims_to_lead(leader).await, "the leader was to stay");
}
