//! The admin API has the shapes of the original system.

use serde_json::json;

use crate::support::{Raw, Rig, Service, node, run};

#[test]
fn nodes_and_health_have_the_original_shapes() {
    run(async {
        let v1 = Service::named("v1").await;
        let rig = Rig::start(vec![node(v1.address, 90)]).await;
        let port = v1.address.port();
        let one = json!({
            "host": "127.0.0.1", "port": port, "weight": 90, "health_path": "/api/status",
            "created_at": 1_700_000_000, "updated_at": 1_700_000_001, "healthy": true,
        });
        assert_eq!(rig.admin_json("/nodes?ns=demo").await, json!([one]));
        assert_eq!(rig.admin_json("/nodes").await, json!({ "demo": [one] }));
        assert_eq!(rig.admin_json("/health").await, json!({ "demo": [one] }));
        assert_eq!(rig.admin_json("/nodes?ns=unknown").await, json!([]));
        let mut health = rig.admin_json("/health?ns=demo").await;
        let health = health.as_object_mut().unwrap();
        assert_eq!(health.remove("stale"), Some(json!(false)));
        assert!(health.remove("age_ms").unwrap().is_u64());
        let address = format!("127.0.0.1:{port}");
        let expected = json!({
            "namespace": "demo", "total": 1, "healthy": 1, "unhealthy": 0,
            "nodes": [{ "address": address, "weight": 90, "healthy": true, "health_path": "/api/status" }],
        });
        assert_eq!(serde_json::Value::Object(health.clone()), expected);
    });
}

#[test]
fn config_tells_how_things_stand_and_no_secret() {
    run(async {
        let rig = Rig::with(Vec::new(), |settings| settings.token = Some("hidden-token".to_owned())).await;
        let config = rig.admin_json("/config").await;
        assert_eq!(config["registry_url"], format!("http://{}", rig.registry.address()));
        assert_eq!((&config["token_set"], &config["sync_interval"]), (&json!(true), &json!(0)));
        assert_eq!(
            (&config["connected"], &config["stale"], &config["revision"]),
            (&json!(true), &json!(false), &json!(10))
        );
        assert_eq!(config["from_leader"], true, "who speaks is said after the first snapshot, too");
        assert_eq!(config["listeners"], json!([{ "address": rig.address.to_string(), "namespace": "demo" }]));
        assert_eq!(config["cluster_id"], "00000000000000000000000000000007");
        assert!(!config.to_string().contains("hidden-token"));
    });
}

#[test]
fn the_admin_api_is_read_only_and_says_what_it_has() {
    run(async {
        let rig = Rig::start(Vec::new()).await;
        for (request, status) in [
            ("POST /nodes", 405),
            ("DELETE /nodes?ns=demo", 405),
            ("GET /nope", 404),
            ("GET /nodes?ns=a/b", 400),
            ("GET /healthz", 200),
            ("GET /metrics", 200),
        ] {
            let mut client = Raw::connect(rig.admin).await;
            client.send(format!("{request} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")).await;
            let answer = client.answer().await;
            assert_eq!(answer.status, status, "{request}: {}", answer.text());
            if status >= 400 {
                let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                assert_eq!(body["code"], status, "{body}");
            }
        }
    });
}

#[test]
fn metrics_count_what_happened() {
    run(async {
        let v1 = Service::named("v1").await;
        let rig = Rig::start(vec![node(v1.address, 1)]).await;
        for _ in 0..7 {
            rig.get("/").await;
        }
        let mut client = Raw::connect(rig.address).await;
        client.send("GET / HTTP/1.1\r\n\r\n").await;
        assert_eq!(client.answer().await.status, 400);
        assert_eq!(rig.metric("requests_total", "class=\"2xx\"").await, 7.0);
        assert_eq!(rig.metric("requests_total", "class=\"4xx\"").await, 1.0);
        assert_eq!(rig.metric("errors_total", "code=\"bad_request\"").await, 1.0);
        assert_eq!(rig.metric("time_to_head_seconds_count", "demo").await, 8.0);
        assert_eq!(rig.metric("node_requests_total", &v1.address.to_string()).await, 7.0);
        assert_eq!(rig.metric("revision", "").await, 10.0);
        assert_eq!(rig.metric("routable_nodes", "demo").await, 1.0);
        assert_eq!(rig.metric("connections_total", "demo").await, 8.0);
        assert!(rig.metric("event_to_table_seconds_count", "").await >= 1.0);
    });
}
