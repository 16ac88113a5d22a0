//! Heartbeats, one and many.

use std::time::Duration;

use kenger_cluster::config::LeaseTimes;
use kenger_cluster::state::Command;
use kenger_cluster::{Member, ProposeError};
use kenger_types::api::NodeAddress;
use kenger_types::{Metadata, NodeStatus};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::{Options, one, until};

const HEARTBEAT: &str = "/api/upstream/heartbeat";

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_tells_the_time_to_live_and_an_unknown_node_to_register() {
    let server = one(Options::default()).await;
    for (port, ttl) in [(1, json!(null)), (2, json!(60))] {
        let body = json!({"ns": "shop", "host": "h", "port": port, "ttl_seconds": ttl});
        server.post("/api/upstream/node/register", body).await.data();
    }
    let beat = |port| json!({"ns": "shop", "host": "h", "port": port});
    assert_eq!(server.post(HEARTBEAT, beat(1)).await.data(), &json!({"status": "online", "ttl_seconds": 30}));
    assert_eq!(server.post(HEARTBEAT, beat(2)).await.data(), &json!({"status": "online", "ttl_seconds": 60}));
    let unknown = server.post(HEARTBEAT, beat(3)).await;
    assert_eq!((unknown.status, unknown.error()), (404, "node_not_found"));
    let nowhere = server.post(HEARTBEAT, json!({"ns": "nope", "host": "h", "port": 1})).await;
    assert_eq!((nowhere.status, nowhere.error()), (404, "node_not_found"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_answered_node_by_node_in_its_order() {
    let server = one(Options::default()).await;
    server.post("/api/upstream/node/register", json!({"ns": "a", "host": "h", "port": 2})).await.data();
    let nodes: Vec<_> = [1, 2, 3].map(|port| json!({"ns": "a", "host": "h", "port": port})).into();
    let batch = server.post(HEARTBEAT, json!({"nodes": nodes})).await;
    assert_eq!(
        batch.data(),
        &json!({"nodes": [
            {"result": "node_not_found"},
            {"result": "ok", "status": "online", "ttl_seconds": 30},
            {"result": "node_not_found"},
        ]})
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_brings_a_silent_node_back() {
    let lease = LeaseTimes {
        ttl: Duration::from_millis(400),
        delete_after: Duration::from_secs(600),
        tick: Duration::from_millis(20),
    };
    let server = one(Options { lease, ..Options::default() }).await;
    let node = json!({"ns": "a", "host": "h", "port": 1});
    server.post("/api/upstream/node/register", node.clone()).await.data();
    until("the silent node is offline", || async {
        server.get("/api/upstream/node/list?status=offline").await.data().as_array().unwrap().len() == 1
    })
    .await;
    assert_eq!(server.post(HEARTBEAT, node).await.data()["status"], "online");
    let listed = server.get("/api/upstream/node/list").await;
    assert_eq!(listed.data()[0]["status"], "online");
    server.stop().await;
}

/// More writes than a member takes at a time.
const WRITERS: u16 = 9_000;
const OVERLOAD: Duration = Duration::from_secs(8);

/// Registers one node again and again, each time differently, also when the member is full, until it is
/// told to stop.
async fn write(member: Member, port: u16, stop: CancellationToken) {
    let key = NodeAddress {
        ns: "crowd".parse().unwrap(),
        host: "h".parse().unwrap(),
        port: i64::from(port).try_into().unwrap(),
    };
    let mut weight = 0;
    while !stop.is_cancelled() {
        weight = 1 - weight;
        let command = Command::Register {
            key: key.clone(),
            weight: weight.try_into().unwrap(),
            health_path: None,
            metadata: Metadata::default(),
            ttl_seconds: Some(600.try_into().unwrap()),
            create_namespace: true,
            if_revision: None,
        };
        match member.propose(command).await {
            Ok(_) | Err(ProposeError::Unknown(_)) => {}
            Err(ProposeError::TooMany(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The writes are made within the process: so many connections are more than a test may open.
#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_come_first_on_a_member_that_is_full_of_writes() {
    let ttl = Duration::from_secs(5);
    let lease = LeaseTimes { ttl, delete_after: Duration::from_secs(600), tick: Duration::from_millis(50) };
    let server = one(Options { lease, ..Options::default() }).await;
    let node = json!({"ns": "shop", "host": "h", "port": 1});
    server.post("/api/upstream/node/register", node.clone()).await.data();

    let (stop, mut writers) = (CancellationToken::new(), JoinSet::new());
    for port in 1..=WRITERS {
        writers.spawn(write(server.member.clone(), port, stop.clone()));
    }
    let (mut refused, mut slowest, mut revisions) = (0, Duration::ZERO, Vec::new());
    let began = Instant::now();
    while began.elapsed() < OVERLOAD {
        // A write finds no place, and is told when to come again.
        let other = json!({"ns": "shop", "host": "h", "port": 2});
        let answered = server.post("/api/upstream/node/register", other).await;
        if answered.status == 429 {
            assert_eq!((answered.error(), answered.header("retry-after")), ("too_many_requests", Some("1")));
            refused += 1;
        }
        let sent = Instant::now();
        server.post(HEARTBEAT, node.clone()).await.data();
        slowest = slowest.max(sent.elapsed());
        let state = server.member.state();
        revisions.push(state.revision().0);
        let kept = state.nodes().find(|node| node.ns.as_str() == "shop" && node.port.get() == 1).unwrap();
        assert_eq!(kept.status, NodeStatus::Online);
        tokio::time::sleep(ttl / 20).await;
    }
    stop.cancel();
    while writers.join_next().await.is_some_and(|ended| ended.is_ok()) {}
    assert!(refused > 0, "the member was never full");
    assert!(revisions.last() > revisions.first(), "it went on to write");
    assert!(slowest < ttl / 2, "a heartbeat took {slowest:?}");
    server.stop().await;
}
