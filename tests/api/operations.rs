//! Probes, status and metrics.

use serde_json::json;

use crate::support::{Options, one};

#[tokio::test(flavor = "multi_thread")]
async fn a_member_tells_that_it_is_up_and_ready_and_what_it_knows_of_the_cluster() {
    let server = one(Options::default()).await;
    assert_eq!(server.get("/healthz").await.data(), &json!({"status": "up"}));
    assert_eq!(server.get("/readyz").await.data(), &json!({"status": "ready"}));
    let status = server.get("/api/cluster/status").await;
    let status = status.data();
    assert_eq!(status["cluster_id"], server.member.cluster_id().unwrap().to_string());
    assert_eq!((&status["member_id"], &status["leader_id"]), (&json!(1), &json!(1)));
    assert_eq!(status["members"][0]["role"], "leader");
    assert_eq!(status["members"][0]["api"], server.address.to_string());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_requests_by_route_and_code_and_never_by_what_clients_make_up() {
    let server = one(Options::default()).await;
    server.post("/api/upstream/node/register", json!({"ns": "a", "host": "h", "port": 1})).await.data();
    server.post("/api/upstream/node/register", json!({})).await.field();
    for i in 0..3 {
        server.get(&format!("/made/up/{i}")).await.error();
    }
    let metrics = server.get("/metrics").await;
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let text = metrics.text;
    for line in [
        r#"kenger_http_requests_total{route="/api/upstream/node/register",code="200"} 1"#,
        r#"kenger_http_requests_total{route="/api/upstream/node/register",code="400"} 1"#,
        r#"kenger_http_requests_total{route="unmatched",code="404"} 3"#,
        r#"kenger_http_request_duration_seconds_count{route="/api/upstream/node/register"} 2"#,
        "kenger_member_is_leader 1",
        "kenger_nodes 1",
        "kenger_nodes_online 1",
        "kenger_namespaces 1",
        "kenger_revision 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("made"), "{text}");
    let families = text.lines().filter(|line| line.starts_with("# TYPE")).count();
    assert_eq!(text.lines().filter(|line| line.starts_with("# HELP")).count(), families);
    assert!(text.ends_with("# EOF\n"));
    server.stop().await;
}
