//! Heartbeats, one and many.

use std::time::Duration;

use kenger_cluster::config::LeaseTimes;
use serde_json::json;

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
