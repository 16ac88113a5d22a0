//! Sync: the nodes that take traffic, tags, and waiting for a change.

use std::time::Duration;

use kenger_cluster::config::LeaseTimes;
use kenger_types::SyncEnvelope;
use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

use crate::support::{Answer, Options, Server, answer, one, until};

const SYNC: &str = "/api/upstream/sync";
/// Shorter than any wait in these tests, longer than any answer takes that does not wait.
const AT_ONCE: Duration = Duration::from_secs(5);

async fn register(server: &Server, ns: &str, port: u16) {
    let body = json!({"ns": ns, "host": "10.0.0.1", "port": port});
    server.post("/api/upstream/node/register", body).await.data();
}

async fn with_tag(server: &Server, path: &str, tag: &str) -> Answer {
    answer(server.request(Method::GET, path).header("if-none-match", tag)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sync_shows_online_nodes_with_the_weight_in_force_and_a_health_path() {
    let lease = LeaseTimes {
        ttl: Duration::from_millis(400),
        delete_after: Duration::from_secs(600),
        tick: Duration::from_millis(20),
    };
    let server = one(Options { lease, ..Options::default() }).await;
    server.post("/api/upstream/namespace/add", json!({"name": "empty"})).await.data();
    for (port, health_path, ttl) in [(1, json!("/own"), 60), (2, json!(null), 60), (3, json!(null), 1)] {
        let body = json!({"ns": "shop", "host": "10.0.0.1", "port": port, "health_path": health_path,
                          "ttl_seconds": ttl, "metadata": {"version": "v1"}});
        server.post("/api/upstream/node/register", body).await.data();
    }
    let body = json!({"ns": "shop", "host": "10.0.0.1", "port": 2, "weight": 0});
    server.post("/api/upstream/node/weight", body).await.data();
    until("the silent node is gone from sync", || async {
        server.get(SYNC).await.data()["shop"]["nodes"].as_array().unwrap().len() == 2
    })
    .await;
    let synced = server.get(SYNC).await;
    let envelope: SyncEnvelope = serde_json::from_str(&synced.text).unwrap();
    assert_eq!(synced.header("x-kenger-revision"), Some(&*envelope.version.to_string()));
    assert_eq!(
        synced.data(),
        &json!({
            "empty": {"health_path": "/api/status", "nodes": []},
            "shop": {"health_path": "/api/status", "nodes": [
                {"host": "10.0.0.1", "port": 1, "weight": 100, "health_path": "/own", "metadata": {"version": "v1"}},
                {"host": "10.0.0.1", "port": 2, "weight": 0, "health_path": "/api/status", "metadata": {"version": "v1"}},
            ]},
        })
    );
    let one_of_them = server.get("/api/upstream/sync?ns=empty,unknown").await;
    assert_eq!(one_of_them.data(), &json!({"empty": {"health_path": "/api/status", "nodes": []}}));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_is_good_until_something_changes_and_for_the_same_question_only() {
    let server = one(Options::default()).await;
    register(&server, "a", 1).await;
    let first = server.get(SYNC).await;
    let tag = first.header("etag").unwrap().to_owned();
    assert!(tag.contains(&server.member.cluster_id().unwrap().to_string()), "{tag}");
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let unchanged = with_tag(&server, SYNC, &known).await;
        assert_eq!((unchanged.status, &*unchanged.text), (304, ""), "{known}");
        assert_eq!(unchanged.header("etag"), Some(&*tag));
    }
    assert_eq!(with_tag(&server, "/api/upstream/sync?ns=a", &tag).await.status, 200);
    register(&server, "a", 2).await;
    let changed = with_tag(&server, SYNC, &tag).await;
    assert_eq!(changed.data()["a"]["nodes"].as_array().unwrap().len(), 2);
    assert_ne!(changed.header("etag"), Some(&*tag));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_with_the_first_change_that_is_asked_for() {
    let server = one(Options::default()).await;
    register(&server, "a", 1).await;
    let version = server.get(SYNC).await.json["version"].as_u64().unwrap();
    let path = format!("{SYNC}?ns=a&since={version}&wait=60s");
    let waiting = tokio::spawn(answer(server.request(Method::GET, &path)));
    // A change elsewhere ends no wait for `a`.
    register(&server, "b", 1).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    register(&server, "a", 2).await;
    let woken = tokio::time::timeout(AT_ONCE, waiting).await.unwrap().unwrap();
    assert_eq!(woken.data()["a"]["nodes"].as_array().unwrap().len(), 2);
    assert!(woken.json["version"].as_u64().unwrap() > version);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_at_once_if_something_has_changed_already_or_the_revision_is_not_ours() {
    let server = one(Options::default()).await;
    register(&server, "a", 1).await;
    register(&server, "a", 2).await;
    for since in ["0", "1", "18446744073709551615"] {
        let started = Instant::now();
        let answered = server.get(&format!("{SYNC}?since={since}&wait=60s")).await;
        assert_eq!(answered.data()["a"]["nodes"].as_array().unwrap().len(), 2);
        assert!(started.elapsed() < AT_ONCE, "since={since}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_when_the_time_is_over_with_what_there_is() {
    let server = one(Options::default()).await;
    register(&server, "a", 1).await;
    let first = server.get(SYNC).await;
    let version = &first.json["version"];
    let started = Instant::now();
    let same = server.get(&format!("{SYNC}?since={version}&wait=300ms")).await;
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!(&same.json["version"], version);
    let path = format!("{SYNC}?since={version}&wait=100ms");
    assert_eq!(with_tag(&server, &path, first.header("etag").unwrap()).await.status, 304);
    server.stop().await;
}
