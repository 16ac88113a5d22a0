//! The golden bodies of `sdk/contract/` are what these types read and write.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;

use kenger_types::api::{
    HeartbeatAck, HeartbeatBatch, HeartbeatBatchAck, NamespaceAdd, NamespaceDelete, NamespaceUpdate,
    NodeAddress, NodeDelete, NodeDeregister, NodeRegister, NodeUpdate, NodeWeight, path,
};
use kenger_types::cluster::ClusterStatus;
use kenger_types::feed::{BookmarkEvent, ChangeEvent, EventName, LeaderEvent, NodeCause, SnapshotEvent};
use kenger_types::{ApiError, Envelope, ErrorCode, Namespace, Node, SyncEnvelope};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contract")
}

fn contract(name: &str) -> Value {
    let path = folder().join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn list<'a>(contract: &'a Value, key: &str) -> &'a Vec<Value> {
    contract[key].as_array().unwrap_or_else(|| panic!("there is no list {key:?}"))
}

/// Reads `T` and writes it again.
fn round_trip<T: Serialize + DeserializeOwned>(from: &Value) -> Value {
    let value: T = serde_json::from_str(&from.to_string()).unwrap_or_else(|e| panic!("{from}: {e}"));
    serde_json::to_value(value).unwrap()
}

/// The field and the message of the refusal of a body.
fn refusal<T: DeserializeOwned + Debug>(text: &str) -> (String, String) {
    let mut json = serde_json::Deserializer::from_str(text);
    let error = serde_path_to_error::deserialize::<_, T>(&mut json)
        .expect_err(&format!("this must be refused: {text}"));
    let message = error.inner().to_string();
    let path = error.path().to_string();
    let path = path.trim_end_matches(['.', '?']);
    // A field that is missing, unknown or there twice is not part of the path, but named in the message.
    let named = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|start| message.strip_prefix(start)?.split('`').next())
        .filter(|name| !path.ends_with(name));
    let field = [Some(path).filter(|path| !path.is_empty()), named].into_iter().flatten().collect::<Vec<_>>();
    (field.join("."), message)
}

/// Checks the requests and the answers of one endpoint.
fn check<Request, Answer>(file: &str, at: &str)
where
    Request: Serialize + DeserializeOwned + Debug,
    Answer: Serialize + DeserializeOwned,
{
    let contract = contract(file);
    assert_eq!(contract["path"], at);
    check_cases::<Request, Answer>(&contract, |_| true);
}

fn check_cases<Request, Answer>(contract: &Value, which: impl Fn(&Value) -> bool)
where
    Request: Serialize + DeserializeOwned + Debug,
    Answer: Serialize + DeserializeOwned,
{
    for case in list(contract, "valid").iter().filter(|case| which(case)) {
        if let Some(request) = case.get("request") {
            let canonical = case.get("canonical").unwrap_or(request);
            assert_eq!(&round_trip::<Request>(request), canonical, "{}", case["name"]);
        }
        if let Some(response) = case.get("response") {
            assert_eq!(&round_trip::<Answer>(response), response, "{}", case["name"]);
        }
    }
    for case in list(contract, "invalid").iter().filter(|case| which(case)) {
        let text = match case.get("request_text") {
            Some(text) => text.as_str().unwrap().to_owned(),
            None => case["request"].to_string(),
        };
        if text.is_empty() || text.starts_with('[') {
            continue; // The server's to refuse, before it parses.
        }
        let (field, message) = refusal::<Request>(&text);
        assert_eq!(field, case["field"], "{}: {message}", case["name"]);
        let says = case["says"].as_str().unwrap();
        assert!(message.contains(says), "{}: {message:?} does not say {says:?}", case["name"]);
    }
}

/// An endpoint whose request is a query.
type NoBody = IgnoredQuery;

#[derive(Debug, Serialize, serde::Deserialize)]
struct IgnoredQuery;

#[test]
fn bodies_about_namespaces_are_as_in_the_contract() {
    check::<NoBody, Envelope<Vec<Namespace>>>("namespace_list", path::NAMESPACE_LIST);
    check::<NamespaceAdd, Envelope<Namespace>>("namespace_add", path::NAMESPACE_ADD);
    check::<NamespaceUpdate, Envelope<Namespace>>("namespace_update", path::NAMESPACE_UPDATE);
    check::<NamespaceDelete, Value>("namespace_delete", path::NAMESPACE_DELETE);
}

#[test]
fn bodies_about_nodes_are_as_in_the_contract() {
    check::<NoBody, Envelope<Vec<Node>>>("node_list", path::NODE_LIST);
    check::<NodeRegister, Envelope<Node>>("node_register", path::NODE_REGISTER);
    check::<NodeDeregister, Value>("node_deregister", path::NODE_DEREGISTER);
    check::<NodeWeight, Envelope<Node>>("node_weight", path::NODE_WEIGHT);
    check::<NodeUpdate, Envelope<Node>>("node_update", path::NODE_UPDATE);
    check::<NodeDelete, Value>("node_delete", path::NODE_DELETE);
}

#[test]
fn heartbeats_are_as_in_the_contract() {
    let contract = contract("heartbeat");
    assert_eq!(contract["path"], path::HEARTBEAT);
    let is_batch = |case: &Value| case["request"].get("nodes").is_some();
    check_cases::<HeartbeatBatch, Envelope<HeartbeatBatchAck>>(&contract, is_batch);
    check_cases::<NodeAddress, Envelope<HeartbeatAck>>(&contract, |case| !is_batch(case));
}

#[test]
fn sync_and_status_are_as_in_the_contract() {
    check::<NoBody, SyncEnvelope>("sync", path::SYNC);
    check::<NoBody, Envelope<ClusterStatus>>("cluster_status", path::CLUSTER_STATUS);
}

#[test]
fn events_are_as_in_the_contract_and_each_kind_of_them_is_there() {
    let contract = contract("watch");
    assert_eq!(contract["path"], path::WATCH);
    let mut seen = BTreeSet::new();
    for event in list(&contract, "events") {
        let data = &event["data"];
        let name = EventName::from_name(event["event"].as_str().unwrap()).expect("a known event");
        let written = match name {
            EventName::Snapshot => round_trip::<SnapshotEvent>(data),
            EventName::Change => round_trip::<ChangeEvent>(data),
            EventName::Bookmark => round_trip::<BookmarkEvent>(data),
            EventName::Leader => round_trip::<LeaderEvent>(data),
        };
        assert_eq!(&written, data);
        assert_eq!(event["id"], data["revision"], "the id of an event is its revision");
        seen.insert(name.as_str().to_owned());
        for change in data["changes"].as_array().into_iter().flatten() {
            seen.insert(change["type"].as_str().unwrap().to_owned());
            seen.extend(change.get("cause").map(|cause| cause.as_str().unwrap().to_owned()));
        }
    }
    let names = ["snapshot", "change", "bookmark", "leader"];
    let types = ["namespace_put", "namespace_deleted", "node_put", "node_deleted"];
    let causes = [
        NodeCause::Registered,
        NodeCause::Deregistered,
        NodeCause::Weight,
        NodeCause::Updated,
        NodeCause::Deleted,
        NodeCause::Expired,
        NodeCause::Returned,
        NodeCause::NamespaceRenamed,
    ]
    .map(|cause| serde_json::to_value(cause).unwrap().as_str().unwrap().to_owned());
    let expected: BTreeSet<String> =
        names.into_iter().chain(types).map(str::to_owned).chain(causes).collect();
    assert_eq!(seen, expected);
}

#[test]
fn errors_are_as_in_the_contract() {
    let contract = contract("errors");
    let mut seen = BTreeSet::new();
    for error in list(&contract, "errors") {
        let body = &error["body"];
        assert_eq!(&round_trip::<ApiError>(body), body);
        let code: ErrorCode = serde_json::from_value(body["error"].clone()).unwrap();
        assert_eq!(error["status"], code.status());
        assert_eq!(body["code"], code.status());
        assert_eq!(error["retryable"], code.is_retryable());
        let message = body["message"].as_str().unwrap();
        let made = match body.get("field") {
            Some(field) => {
                let field = field.as_str().unwrap();
                ApiError::invalid(field, message.strip_prefix(&format!("{field}: ")).unwrap())
            }
            None => ApiError::new(code, message),
        };
        assert_eq!(&serde_json::to_value(made).unwrap(), body);
        assert!(seen.insert(body["error"].as_str().unwrap().to_owned()), "{code:?} is there twice");
    }
    assert_eq!(seen.len(), 16, "one body for each code: {seen:?}");
}

#[test]
fn every_file_of_the_contract_is_tested() {
    let tested = include_str!("contract.rs");
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(stem) = name.strip_suffix(".json") {
            assert!(tested.contains(&format!("{stem:?}")), "no test reads {name}");
        }
    }
}

#[test]
fn kengerkit_reads_the_answers_it_needs() {
    // The original client looks at `code` and `message`, and the original gateway at `version` and
    // at these keys of each node.
    let sync = contract("sync");
    let answer = &list(&sync, "valid")[0]["response"];
    assert_eq!(answer["code"], 0);
    assert!(answer["version"].is_u64());
    for node in answer["data"]["web"]["nodes"].as_array().unwrap() {
        assert!(node["host"].is_string() && node["port"].is_u64() && node["weight"].is_u64());
        assert!(node["health_path"].is_string());
    }
    let _: IgnoredAny = serde_json::from_value(answer.clone()).unwrap();
}
