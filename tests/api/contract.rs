//! The golden bodies of `sdk/contract`, which the SDKs are tested against, too.

use std::collections::BTreeMap;
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::events::Events;
use crate::support::{Answer, Options, Server, answer, one};

fn golden(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk/contract").join(name);
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap()
}

fn all_golden() -> BTreeMap<String, Value> {
    let directory = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk/contract")).unwrap();
    let names = directory.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".json")).map(|name| (name.clone(), golden(&name))).collect()
}

fn cases<'a>(file: &'a Value, key: &str) -> &'a [Value] {
    file[key].as_array().map_or(&[], Vec::as_slice)
}

/// That `found` has the keys and types of `expected`, all the way down. Whatever may be null in one
/// may be null in the other.
fn check_shape(found: &Value, expected: &Value, at: &str) {
    match (found, expected) {
        (Value::Null, _) | (_, Value::Null) => {}
        (Value::Object(_), Value::Object(_)) if at.ends_with(".metadata") => {}
        (Value::Object(found), Value::Object(expected)) => {
            let keys = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(found), keys(expected), "{at}");
            for (key, value) in found {
                check_shape(value, &expected[key], &format!("{at}.{key}"));
            }
        }
        (Value::Array(found), Value::Array(expected)) => {
            assert_eq!(found.len(), expected.len(), "{at}");
            for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
                check_shape(found, expected, &format!("{at}[{i}]"));
            }
        }
        (found, expected) => {
            assert_eq!(
                std::mem::discriminant(found),
                std::mem::discriminant(expected),
                "{at}: {found} {expected}"
            );
        }
    }
}

async fn ask(server: &Server, file: &Value, request: &Value) -> Answer {
    server.post(file["path"].as_str().unwrap(), request.clone()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_invalid_example_is_refused_with_its_field() {
    let server = one(Options::default()).await;
    let mut count = 0;
    for (name, file) in all_golden() {
        for case in cases(&file, "invalid") {
            let request = server.request(Method::POST, file["path"].as_str().unwrap());
            let request = request.header("content-type", "application/json");
            let body =
                case["request_text"].as_str().map_or_else(|| case["request"].to_string(), str::to_owned);
            let refused = answer(request.body(body)).await;
            assert_eq!(refused.field(), case["field"], "{name}: {case} {}", refused.text);
            let message = refused.json["message"].as_str().unwrap();
            assert!(message.contains(case["says"].as_str().unwrap()), "{name}: {case} {message}");
            count += 1;
        }
    }
    assert!(count > 100, "{count} examples");
    assert_eq!(server.get("/api/upstream/node/list").await.data(), &json!([]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_registration_is_answered_as_in_its_example() {
    let server = one(Options::default()).await;
    let file = golden("node_register.json");
    for case in cases(&file, "valid") {
        let request = &case["request"];
        let registered = ask(&server, &file, request).await;
        check_shape(&registered.json, &case["response"], &case["name"].to_string());
        for key in ["host", "port", "health_path", "metadata", "ttl_seconds"] {
            assert_eq!(registered.data()[key], case["response"]["data"][key], "{key}: {case}");
        }
        let ns = registered.data()["ns"].clone();
        server.post("/api/upstream/namespace/delete", json!({"name": ns})).await.data();
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_namespace_is_answered_as_in_its_example() {
    let server = one(Options::default()).await;
    let add = golden("namespace_add.json");
    for case in cases(&add, "valid") {
        let added = ask(&server, &add, &case["request"]).await;
        check_shape(&added.json, &case["response"], &case["name"].to_string());
        for key in ["name", "description", "health_path", "node_count", "online_count"] {
            assert_eq!(added.data()[key], case["response"]["data"][key], "{key}: {case}");
        }
        server.post("/api/upstream/namespace/delete", json!({"id": added.data()["id"]})).await.data();
    }
    for name in ["namespace_update.json", "namespace_delete.json"] {
        let file = golden(name);
        for case in cases(&file, "valid") {
            let added = server.post("/api/upstream/namespace/add", json!({"name": "web"})).await;
            let request = aimed(&case["request"], added.data());
            let changed = ask(&server, &file, &request).await;
            changed.data();
            if case.get("response").is_some() {
                check_shape(&changed.json, &case["response"], &case["name"].to_string());
            }
            let id = json!({"id": added.data()["id"]});
            server.post("/api/upstream/namespace/delete", id).await;
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_node_is_answered_as_in_its_example() {
    let server = one(Options::default()).await;
    for name in
        ["node_weight.json", "node_update.json", "node_deregister.json", "node_delete.json", "heartbeat.json"]
    {
        let file = golden(name);
        for case in cases(&file, "valid") {
            let mut node =
                json!({"ns": "web", "host": "192.0.2.1", "port": 8080, "metadata": {"version": "v1"}});
            if let Some(ttl) = case["response"]["data"].get("ttl_seconds") {
                node["ttl_seconds"] = ttl.clone();
            }
            let registered = server.post("/api/upstream/node/register", node).await;
            let request = aimed(&case["request"], registered.data());
            let changed = ask(&server, &file, &request).await;
            changed.data();
            if case.get("response").is_some() {
                check_shape(&changed.json, &case["response"], &format!("{name}: {}", case["name"]));
                for (key, asked) in
                    case["request"].as_object().unwrap().iter().filter(|(key, _)| *key != "id")
                {
                    if let Some(found) = changed.data().get(key).filter(|_| !asked.is_null()) {
                        // A batch of heartbeats asks for nodes and is answered with outcomes.
                        assert!(found == asked || key == "nodes", "{name}: {key} of {case}: {found}");
                    }
                }
            }
            server.post("/api/upstream/namespace/delete", json!({"name": "web"})).await;
        }
    }
    server.stop().await;
}

/// The request of an example, for an object that is there.
fn aimed(request: &Value, object: &Value) -> Value {
    let mut request = request.clone();
    for (key, known_as) in [("id", "id"), ("if_revision", "mod_revision")] {
        if request.get(key).is_some_and(|value| !value.is_null()) {
            request[key] = object[known_as].clone();
        }
    }
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_sync_and_status_are_answered_as_in_their_examples() {
    let server = one(Options::default()).await;
    let empty = golden("namespace_list.json");
    check_shape(
        &server.get("/api/upstream/namespace/list").await.json,
        &cases(&empty, "valid")[1]["response"],
        "none",
    );

    server
        .post("/api/upstream/namespace/add", json!({"name": "empty", "health_path": "/ready"}))
        .await
        .data();
    for node in [
        json!({"ns": "web", "host": "192.0.2.1", "port": 8080, "metadata": {"version": "v1"}}),
        json!({"ns": "web", "host": "2001:db8::1", "port": 8080, "health_path": "/ready", "ttl_seconds": 60}),
    ] {
        server.post("/api/upstream/node/register", node).await.data();
    }
    for name in ["namespace_list.json", "node_list.json", "sync.json"] {
        let file = golden(name);
        let case = &cases(&file, "valid")[0];
        let found = server.get(file["path"].as_str().unwrap()).await;
        check_shape(&found.json, &case["response"], name);
    }
    let filtered = server.get("/api/upstream/sync?ns=empty").await;
    assert_eq!(filtered.data(), &cases(&golden("sync.json"), "valid")[1]["response"]["data"]);

    let status = golden("cluster_status.json");
    let mut expected = cases(&status, "valid")[0]["response"].clone();
    expected["data"]["members"].as_array_mut().unwrap().truncate(1);
    check_shape(&server.get("/api/cluster/status").await.json, &expected, "status");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_as_in_their_examples() {
    let server = one(Options::default()).await;
    let file = golden("watch.json");
    let example = |name: &str| {
        let found = file["events"].as_array().unwrap().iter().find(|event| event["event"] == name);
        found.unwrap_or_else(|| panic!("no example of {name}"))["data"].clone()
    };
    let changes: BTreeMap<String, Value> = file["events"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|event| event["data"]["changes"].as_array().into_iter().flatten())
        .map(|change| (change["type"].as_str().unwrap().to_owned(), change.clone()))
        .collect();

    let node = json!({"ns": "web", "host": "192.0.2.1", "port": 8080, "metadata": {"version": "v1"}});
    server.post("/api/upstream/node/register", node.clone()).await.data();
    let mut events = Events::open(server.request(Method::GET, "/api/upstream/watch")).await;
    let snapshot = events.snapshot().await;
    check_shape(&snapshot.data, &example("snapshot"), "snapshot");

    server.post("/api/upstream/namespace/add", json!({"name": "api"})).await.data();
    server
        .post(
            "/api/upstream/node/weight",
            json!({"ns": "web", "host": "192.0.2.1", "port": 8080, "weight": 1}),
        )
        .await
        .data();
    let address = json!({"ns": "web", "host": "192.0.2.1", "port": 8080});
    server.post("/api/upstream/node/deregister", address).await.data();
    server.post("/api/upstream/namespace/delete", json!({"name": "api"})).await.data();
    for kind in ["namespace_put", "node_put", "node_deleted", "namespace_deleted"] {
        let change = events.expect("change").await.data["changes"][0].clone();
        assert_eq!(change["type"], kind);
        let example = &changes[kind];
        if kind != "node_put" {
            check_shape(&change, example, kind);
        }
    }
    let mut resumed = Events::open(
        server.request(Method::GET, "/api/upstream/watch").header("last-event-id", snapshot.id.unwrap()),
    )
    .await;
    check_shape(&resumed.expect("bookmark").await.data, &example("bookmark"), "bookmark");
    server.stop().await;
    while let Some(event) = resumed.next().await {
        if event.name == "leader" {
            check_shape(&event.data, &example("leader"), "leader");
            return;
        }
    }
    panic!("no leader event");
}
