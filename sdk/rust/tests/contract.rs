//! The golden bodies of `sdk/contract`: what the client sends, and that it understands each answer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code: a panic is a failed test")]

mod common;

use std::path::Path;

use common::{Member, Reply, client, json_reply};
use kenger_sdk::{Client, Consistency, Error, NodeQuery, SyncAnswer, SyncQuery, WatchEvent, WatchOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn golden(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contract").join(name).with_extension("json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Sends each valid request of an endpoint and compares both directions with the golden bodies.
async fn check<B, T, F>(name: &str, send: F)
where
    B: DeserializeOwned,
    T: Serialize,
    F: AsyncFn(Client, B) -> Result<T, Error>,
{
    let contract = golden(name);
    for example in contract["valid"].as_array().unwrap() {
        let what = format!("{name}: {}", example["name"]);
        let answer =
            example.get("response").cloned().unwrap_or(json!({"code": 0, "message": "ok", "data": null}));
        let member = Member::answering(json_reply(200, &answer)).await;
        let body: B = serde_json::from_value(example["request"].clone()).unwrap();
        let told = send(client(&[&member]), body).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let sent = &member.seen()[0];
        assert_eq!(
            (sent.method.as_str(), sent.target.as_str()),
            ("POST", contract["path"].as_str().unwrap())
        );
        let canonical = example.get("canonical").unwrap_or(&example["request"]);
        assert_eq!(&sent.json(), canonical, "{what}");
        if example.get("response").is_some() {
            assert_eq!(serde_json::to_value(told).unwrap(), answer["data"], "{what}");
        }
    }
}

#[tokio::test]
async fn what_is_sent_and_answered_is_what_the_contract_says() {
    check("namespace_add", async |client, body| client.add_namespace(&body).await).await;
    check("namespace_update", async |client, body| client.update_namespace(&body).await).await;
    check("namespace_delete", async |client, body| client.delete_namespace(&body).await).await;
    check("node_register", async |client, body| client.register(&body).await).await;
    check("node_deregister", async |client, body| client.deregister(&body).await).await;
    check("node_weight", async |client, body| client.set_weight(&body).await).await;
    check("node_update", async |client, body| client.update_node(&body).await).await;
    check("node_delete", async |client, body| client.delete_node(&body).await).await;
}

#[tokio::test]
async fn heartbeats_are_sent_singly_and_in_batches() {
    for example in golden("heartbeat")["valid"].as_array().unwrap() {
        let member = Member::answering(json_reply(200, &example["response"])).await;
        let (client, body) = (client(&[&member]), example["request"].clone());
        let told = if body.get("nodes").is_some() {
            let batch = serde_json::from_value(body.clone()).unwrap();
            serde_json::to_value(client.heartbeat_batch(&batch).await.unwrap()).unwrap()
        } else {
            let node = serde_json::from_value(body.clone()).unwrap();
            serde_json::to_value(client.heartbeat(&node).await.unwrap()).unwrap()
        };
        assert_eq!(member.seen()[0].json(), body);
        assert_eq!(told, example["response"]["data"]);
    }
}

#[tokio::test]
async fn the_answers_of_reads_are_understood() {
    for name in ["namespace_list", "node_list", "cluster_status", "sync"] {
        let contract = golden(name);
        for example in contract["valid"].as_array().unwrap() {
            let member = Member::answering(json_reply(200, &example["response"])).await;
            let client = client(&[&member]);
            let told = match name {
                "namespace_list" => {
                    serde_json::to_value(client.namespaces(Consistency::Linearizable).await.unwrap().data)
                }
                "node_list" => serde_json::to_value(client.nodes(&NodeQuery::default()).await.unwrap().data),
                "cluster_status" => serde_json::to_value(client.cluster_status().await.unwrap().data),
                _ => match client.sync(&SyncQuery::default()).await.unwrap() {
                    SyncAnswer::Nodes { nodes, .. } => serde_json::to_value(nodes.data),
                    SyncAnswer::NotModified => panic!("not asked for"),
                },
            };
            assert_eq!(told.unwrap(), example["response"]["data"], "{name}: {}", example["name"]);
            assert_eq!(member.seen()[0].target, contract["path"].as_str().unwrap());
        }
    }
}

#[tokio::test]
async fn every_error_code_is_understood() {
    let errors = golden("errors");
    let all = errors["errors"].as_array().unwrap();
    assert!(all.len() > 10);
    for example in all {
        let body = example.get("body").or(example.get("response")).unwrap_or(example);
        let status = u16::try_from(body["code"].as_u64().unwrap()).unwrap();
        let member = Member::answering(json_reply(status, body)).await;
        let failed =
            client(&[&member]).add_namespace(&serde_json::from_value(json!({"name": "a"})).unwrap()).await;
        let error = failed.unwrap_err();
        let code = error.code().unwrap_or_else(|| panic!("{example}: {error}"));
        // A fault of a member leaves the outcome of a mutation unknown.
        let expected = if status == 500 { json!("outcome_unknown") } else { body["error"].clone() };
        assert_eq!(serde_json::to_value(code).unwrap(), expected);
    }
}

#[tokio::test]
async fn every_event_of_the_feed_is_told_as_it_came() {
    let contract = golden("watch");
    let events = contract["events"].as_array().unwrap();
    let mut stream = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".to_owned();
    for event in events {
        stream += &format!(
            "event: {}\nid: {}\ndata: {}\n\n",
            event["event"].as_str().unwrap(),
            event["id"],
            event["data"]
        );
    }
    let member = Member::answering(Reply::Bytes(stream.into_bytes())).await;
    let mut watch = client(&[&member]).watch(WatchOptions::default()).unwrap();
    assert!(matches!(watch.next().await, WatchEvent::Connected(_)));
    for event in events {
        let told = match watch.next().await {
            WatchEvent::Snapshot(event) => serde_json::to_value(event),
            WatchEvent::Change(event) => serde_json::to_value(event),
            WatchEvent::Bookmark(event) => serde_json::to_value(event),
            WatchEvent::Disconnected(event) => match event.reason {
                kenger_sdk::DisconnectReason::LeaderLost(event) => serde_json::to_value(event),
                other => panic!("{other}"),
            },
            WatchEvent::Connected(_) => panic!("connected once"),
        };
        assert_eq!(told.unwrap(), event["data"]);
    }
}
