//! A member that lost its data cannot pass for the one that had it.

use std::time::Duration;

use jepsen_tests::harness::{Cluster, MemberId, Settings};
use kenger_types::Metadata;

use crate::agreement::place;

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
