//! Namespaces and nodes: what each path does and answers.

use serde_json::{Value, json};

use crate::support::{Options, one};

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_added_listed_changed_and_deleted_with_its_nodes() {
    let server = one(Options::default()).await;
    let added =
        server.post("/api/upstream/namespace/add", json!({"name": "shop", "description": "the shop"})).await;
    let namespace = added.data();
    assert_eq!(namespace["name"], "shop");
    assert_eq!(namespace["health_path"], "/api/status");
    assert_eq!((&namespace["node_count"], &namespace["online_count"]), (&json!(0), &json!(0)));
    let id = namespace["id"].clone();

    let again = server.post("/api/upstream/namespace/add", json!({"name": "shop"})).await;
    assert_eq!((again.status, again.error()), (409, "namespace_exists"));

    let renamed = json!({"id": id, "new_name": "store", "health_path": "/up"});
    let renamed = server.post("/api/upstream/namespace/update", renamed).await;
    assert_eq!((&renamed.data()["name"], &renamed.data()["health_path"]), (&json!("store"), &json!("/up")));
    assert_eq!(renamed.data()["description"], "the shop");

    for port in [1, 2] {
        server
            .post("/api/upstream/node/register", json!({"ns": "store", "host": "10.0.0.1", "port": port}))
            .await
            .data();
    }
    let listed = server.get("/api/upstream/namespace/list").await;
    assert_eq!(listed.data().as_array().unwrap().len(), 1);
    assert_eq!((&listed.data()[0]["node_count"], &listed.data()[0]["online_count"]), (&json!(2), &json!(2)));
    assert!(listed.header("x-kenger-revision").unwrap().parse::<u64>().unwrap() >= 4);

    let deleted = server.post("/api/upstream/namespace/delete", json!({"name": "store"})).await;
    assert_eq!((&deleted.data()["name"], &deleted.data()["node_count"]), (&json!("store"), &json!(2)));
    assert_eq!(server.get("/api/upstream/namespace/list").await.data(), &json!([]));
    assert_eq!(server.get("/api/upstream/node/list").await.data(), &json!([]));
    let gone = server.post("/api/upstream/namespace/delete", json!({"id": id})).await;
    assert_eq!((gone.status, gone.error()), (404, "namespace_not_found"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_registers_in_a_new_namespace_and_registering_again_changes_nothing() {
    let server = one(Options::default()).await;
    let body = json!({"ns": "shop", "host": "10.0.0.1", "port": 8080, "health_path": "/up",
                      "metadata": {"version": "v1"}, "ttl_seconds": 60});
    let first = server.post("/api/upstream/node/register", body.clone()).await;
    let node = first.data();
    for (key, value) in [
        ("ns", json!("shop")),
        ("host", json!("10.0.0.1")),
        ("port", json!(8080)),
        ("weight", json!(100)),
        ("registered_weight", json!(100)),
        ("health_path", json!("/up")),
        ("status", json!("online")),
        ("metadata", json!({"version": "v1"})),
        ("ttl_seconds", json!(60)),
    ] {
        assert_eq!(node[key], value, "{key}");
    }
    let revision = first.header("x-kenger-revision").unwrap().to_owned();
    let again = server.post("/api/upstream/node/register", body).await;
    assert_eq!(again.data()["id"], node["id"]);
    assert_eq!(again.data()["mod_revision"], node["mod_revision"]);
    assert_eq!(again.header("x-kenger-revision"), Some(&*revision));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_auto_create_a_node_needs_a_namespace() {
    let server = one(Options { auto_create_namespace: false, ..Options::default() }).await;
    let body = json!({"ns": "shop", "host": "10.0.0.1", "port": 8080});
    let refused = server.post("/api/upstream/node/register", body.clone()).await;
    assert_eq!((refused.status, refused.error()), (404, "namespace_not_found"));
    server.post("/api/upstream/namespace/add", json!({"name": "shop"})).await.data();
    server.post("/api/upstream/node/register", body).await.data();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_weight_survives_registering_again_until_it_is_given_back() {
    let server = one(Options::default()).await;
    let register = json!({"ns": "shop", "host": "h", "port": 1, "weight": 100});
    server.post("/api/upstream/node/register", register.clone()).await.data();
    let weights = |node: &Value| (node["weight"].clone(), node["registered_weight"].clone());
    let set = server
        .post("/api/upstream/node/weight", json!({"ns": "shop", "host": "h", "port": 1, "weight": 0}))
        .await;
    assert_eq!(weights(set.data()), (json!(0), json!(100)));
    let again = server.post("/api/upstream/node/register", register).await;
    assert_eq!(weights(again.data()), (json!(0), json!(100)));
    let back = server
        .post("/api/upstream/node/weight", json!({"ns": "shop", "host": "h", "port": 1, "weight": null}))
        .await;
    assert_eq!(weights(back.data()), (json!(100), json!(100)));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_changed_and_deleted_by_its_number_and_deregisters_by_its_address() {
    let server = one(Options::default()).await;
    let address = json!({"ns": "shop", "host": "h", "port": 1});
    let node = server.post("/api/upstream/node/register", address.clone()).await;
    let id = node.data()["id"].clone();
    let body = json!({"id": id, "weight": 7, "health_path": "/x", "metadata": {"version": "v2"}});
    let updated = server.post("/api/upstream/node/update", body).await;
    assert_eq!((&updated.data()["weight"], &updated.data()["health_path"]), (&json!(7), &json!("/x")));
    let cleared = server.post("/api/upstream/node/update", json!({"id": id, "health_path": null})).await;
    assert_eq!((&cleared.data()["weight"], &cleared.data()["health_path"]), (&json!(7), &json!(null)));

    assert_eq!(server.post("/api/upstream/node/delete", json!({"id": id})).await.data()["id"], id);
    let gone = server.post("/api/upstream/node/delete", json!({"id": id})).await;
    assert_eq!((gone.status, gone.error()), (404, "node_not_found"));

    server.post("/api/upstream/node/register", address.clone()).await.data();
    assert_eq!(server.post("/api/upstream/node/deregister", address.clone()).await.data()["host"], "h");
    let gone = server.post("/api/upstream/node/deregister", address).await;
    assert_eq!((gone.status, gone.error()), (404, "node_not_found"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mutation_with_another_revision_than_the_objects_changes_nothing_and_tells_the_current_one() {
    let server = one(Options::default()).await;
    let node =
        server.post("/api/upstream/node/register", json!({"ns": "shop", "host": "h", "port": 1})).await;
    let revision = node.data()["mod_revision"].as_u64().unwrap();
    let weight =
        |expected| json!({"ns": "shop", "host": "h", "port": 1, "weight": 5, "if_revision": expected});
    let refused = server.post("/api/upstream/node/weight", weight(revision + 1)).await;
    assert_eq!((refused.status, refused.error()), (409, "revision_mismatch"));
    assert!(
        refused.json["message"].as_str().unwrap().contains(&format!("mod_revision is {revision}")),
        "{}",
        refused.text
    );
    assert_eq!(server.get("/api/upstream/node/list").await.data()[0]["weight"], 100);
    assert_eq!(server.post("/api/upstream/node/weight", weight(revision)).await.data()["weight"], 5);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_listed_by_namespace_status_and_version() {
    let server = one(Options::default()).await;
    for (ns, port, version) in [("a", 1, "v1"), ("a", 2, "v2"), ("b", 3, "v1")] {
        let body = json!({"ns": ns, "host": "h", "port": port, "metadata": {"version": version}});
        server.post("/api/upstream/node/register", body).await.data();
    }
    for (query, ports) in [
        ("", &[1, 2, 3][..]),
        ("?ns=a", &[1, 2]),
        ("?namespace=b", &[3]),
        ("?ns=a,b&version=v1", &[1, 3]),
        ("?status=online", &[1, 2, 3]),
        ("?status=offline", &[]),
        ("?version=v9", &[]),
        ("?consistency=stale", &[1, 2, 3]),
    ] {
        let listed = server.get(&format!("/api/upstream/node/list{query}")).await;
        let nodes = listed.data().as_array().unwrap();
        let found: Vec<_> = nodes.iter().map(|node| node["port"].as_u64().unwrap()).collect();
        assert_eq!(found, ports, "{query}");
        assert!(nodes.iter().all(|node| node["last_heartbeat"].is_string()), "{query}: {}", listed.text);
        assert_eq!(listed.header("x-kenger-leader-lag-ms").is_some(), query.contains("stale"), "{query}");
    }
    let unknown = server.get("/api/upstream/node/list?ns=nope").await;
    assert_eq!((unknown.status, unknown.error()), (404, "namespace_not_found"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_are_streamed_and_complete() {
    let server = one(Options::default()).await;
    let padding = "x".repeat(500);
    for port in 1..=400 {
        let body = json!({"ns": "a", "host": "h", "port": port, "metadata": {"padding": padding}});
        server.post("/api/upstream/node/register", body).await.data();
    }
    let listed = server.get("/api/upstream/node/list").await;
    assert_eq!(listed.data().as_array().unwrap().len(), 400);
    assert_eq!(listed.header("transfer-encoding"), Some("chunked"));
    let synced = server.get("/api/upstream/sync").await;
    assert_eq!(synced.data()["a"]["nodes"].as_array().unwrap().len(), 400);
    server.stop().await;
}
