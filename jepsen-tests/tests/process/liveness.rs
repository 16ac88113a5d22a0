//! A node that is silent goes offline in time and is deleted later, and comes back when it is heard.

use std::time::Duration;

use jepsen_tests::harness::{Cluster, Settings, Sse};
use kenger_types::api::NodeAddress;
use kenger_types::feed::{Change, ChangeEvent, NodeCause};
use kenger_types::{ErrorCode, Metadata, NodeStatus};
use tokio::time::{Instant, timeout};

use crate::agreement::{place, register};

const TTL: Duration = Duration::from_secs(2);
const DELETE_AFTER: Duration = Duration::from_secs(5);
/// What a busy machine may add to what is promised.
const SLACK: Duration = Duration::from_millis(1_000);

fn settings() -> Settings {
    Settings::default().with_node_times(TTL, DELETE_AFTER)
}

/// Waits until the feed tells this of the node, and answers when.
async fn told(feed: &mut Sse, node: &NodeAddress, wanted: NodeCause, limit: Duration) -> Instant {
    let search = async {
        loop {
            let event = feed.next().await.expect("the stream goes on");
            if event.name != "change" {
                continue;
            }
            let event: ChangeEvent = serde_json::from_str(&event.data).unwrap();
            for change in event.changes {
                let (cause, host) = match &change {
                    Change::NodePut { cause, node } => (*cause, &node.host),
                    Change::NodeDeleted { cause, host, .. } => (*cause, host),
                    _ => continue,
                };
                if (cause, host) == (wanted, &node.host) {
                    return Instant::now();
                }
            }
        }
    };
    timeout(limit, search)
        .await
        .unwrap_or_else(|_| panic!("{} was not {wanted:?} within {limit:?}", node.host))
}

#[tokio::test]
async fn a_silent_node_is_offline_within_its_ttl_and_a_tick_and_deleted_after_that() {
    let cluster = Cluster::start(settings()).await;
    let api = cluster.api(cluster.wait_for_leader().await);
    let mut feed = Sse::open(&api, None).await.unwrap();
    let (silent, hasty) = (place("silent", 80), place("hasty", 80));
    let registered = Instant::now();
    register(&cluster, &silent).await;
    api.register_with(&hasty, Metadata::default(), Some(1.try_into().unwrap())).await.acknowledged();

    let tick = cluster.settings().lease_tick;
    let hasty_offline = told(&mut feed, &hasty, NodeCause::Expired, TTL).await - registered;
    assert!(hasty_offline >= Duration::from_secs(1), "the time that it asked for counts: {hasty_offline:?}");
    let offline = told(&mut feed, &silent, NodeCause::Expired, TTL * 2).await - registered;
    assert!((TTL..TTL + tick + SLACK).contains(&offline), "offline after {offline:?}");
    assert_eq!(api.node(&silent).await.expect("it is still there").status, NodeStatus::Offline);

    // It is heard from again: online by the time of the answer.
    api.heartbeat(&silent).await.acknowledged();
    assert_eq!(api.node(&silent).await.unwrap().status, NodeStatus::Online);
    let heard = Instant::now();
    told(&mut feed, &silent, NodeCause::Returned, SLACK).await;

    let offline = told(&mut feed, &silent, NodeCause::Expired, TTL * 2).await - heard;
    assert!((TTL - SLACK / 10..TTL + tick + SLACK).contains(&offline), "offline again after {offline:?}");
    let deleted = told(&mut feed, &silent, NodeCause::Expired, DELETE_AFTER).await - heard;
    assert!(
        (DELETE_AFTER - SLACK / 10..DELETE_AFTER + tick + SLACK).contains(&deleted),
        "deleted after {deleted:?}"
    );
    assert_eq!(api.node(&silent).await, None);
    for id in cluster.ids() {
        assert_eq!(cluster.api(id).heartbeat(&silent).await.code(), Some(ErrorCode::NodeNotFound));
    }
}

#[tokio::test]
async fn a_silent_node_goes_offline_under_a_new_leader_too() {
    let mut cluster = Cluster::start(settings()).await;
    let leader = cluster.wait_for_leader().await;
    let follower = leader % 3 + 1;
    let silent = place("silent", 80);
    register(&cluster, &silent).await;
    let killed = Instant::now();
    cluster.kill(leader);
    let led_again = cluster.wait_for_leader().await;
    let mut feed = Sse::open(&cluster.api(follower), None).await.unwrap();
    let limit = TTL + cluster.settings().lease_tick + cluster.settings().election_timeout_max * 2 + SLACK;
    let offline = told(&mut feed, &silent, NodeCause::Expired, limit).await - killed;
    // The new leader, whichever it is, has not heard of it and gives it a full time to live.
    assert!(offline >= TTL, "led by {led_again}, offline after {offline:?}");
    assert!(offline < limit, "offline after {offline:?}");
}
