//! How calls go over several endpoints, and what is never sent twice.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code: a panic is a failed test")]

mod common;

use std::time::Duration;

use common::{Member, Reply, builder, client, error, json_reply, nobody, node_json, ok, raw_reply};
use kenger_sdk::{Client, Consistency, Error, NodeQuery, SyncAnswer, SyncQuery};
use kenger_types::api::{NodeAddress, NodeDeregister, NodeRegister, NodeWeight};
use kenger_types::{ErrorCode, NodeStatus, Revision};
use serde_json::{Value, json};

fn register() -> NodeRegister {
    serde_json::from_value(json!({"ns": "demo", "host": "127.0.0.1", "port": 8080})).unwrap()
}

fn weight() -> NodeWeight {
    serde_json::from_value(json!({"ns": "demo", "host": "127.0.0.1", "port": 8080, "weight": 5})).unwrap()
}

fn address() -> NodeAddress {
    serde_json::from_value(json!({"ns": "demo", "host": "127.0.0.1", "port": 8080})).unwrap()
}

fn deregister() -> NodeDeregister {
    serde_json::from_value(json!({"ns": "demo", "host": "127.0.0.1", "port": 8080})).unwrap()
}

async fn fine() -> Member {
    Member::answering(ok(&node_json(8080))).await
}

/// An answer that ends before its announced length.
fn truncated() -> Reply {
    Reply::BytesAndClose(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"code\":0,".to_vec())
}

#[tokio::test]
async fn the_next_endpoint_is_asked_when_one_is_down_and_stays_the_first_choice() {
    let second = fine().await;
    let third = fine().await;
    let endpoints = [nobody().await, second.url(), third.url()];
    let client = builder().endpoints(endpoints).build().unwrap();
    client.set_weight(&weight()).await.unwrap();
    client.set_weight(&weight()).await.unwrap();
    assert_eq!((second.count(), third.count()), (2, 0));
    assert_eq!(client.preferred().to_string(), second.url());
}

#[tokio::test]
async fn a_member_that_did_nothing_passes_even_a_mutation_on() {
    for code in [ErrorCode::NoLeader, ErrorCode::NotReady, ErrorCode::TooManyRequests] {
        let (first, second) = (Member::answering(error(code, "not now")).await, fine().await);
        let client = client(&[&first, &second]);
        client.set_weight(&weight()).await.unwrap();
        client.set_weight(&weight()).await.unwrap();
        assert_eq!((first.count(), second.count()), (1, 2), "{code:?}");
    }
}

/// What may have been carried out although no success came back.
fn doubtful() -> Vec<(&'static str, Reply)> {
    vec![
        ("reset", Reply::Reset),
        ("closed", Reply::BytesAndClose(Vec::new())),
        ("silent", Reply::Hang),
        ("truncated", truncated()),
        ("504", error(ErrorCode::OutcomeUnknown, "no answer from the leader")),
        ("500", error(ErrorCode::Internal, "a fault")),
        ("502 of a proxy", raw_reply(502, "", b"<html>bad gateway</html>")),
    ]
}

#[tokio::test]
async fn a_mutation_whose_outcome_is_unknown_is_never_sent_again() {
    for (what, reply) in doubtful() {
        let (first, second) = (Member::answering(reply).await, fine().await);
        let endpoints = [first.url(), second.url()];
        let client = builder().timeout(Duration::from_millis(800)).endpoints(endpoints).build().unwrap();
        let error = client.set_weight(&weight()).await.unwrap_err();
        assert!(matches!(error, Error::OutcomeUnknown { repeatable: false, .. }), "{what}: {error}");
        assert_eq!(error.code(), Some(ErrorCode::OutcomeUnknown));
        assert!(!error.is_retryable());
        assert_eq!((first.count(), second.count()), (1, 0), "{what}");
    }
}

#[tokio::test]
async fn reads_and_idempotent_calls_go_on_to_the_next_endpoint() {
    for (what, reply) in doubtful() {
        let (first, second) = (Member::answering(reply).await, fine().await);
        client(&[&first, &second]).register(&register()).await.unwrap();
        assert_eq!((first.count(), second.count()), (1, 1), "{what}");

        let (first, second) =
            (Member::answering(doubtful_of(what)).await, Member::answering(ok(&json!([]))).await);
        let answer = client(&[&first, &second]).nodes(&NodeQuery::default()).await.unwrap();
        assert_eq!(answer.endpoint.to_string(), second.url());
        assert_eq!((first.count(), second.count()), (1, 1), "{what}");
    }
}

fn doubtful_of(what: &str) -> Reply {
    doubtful().into_iter().find(|(name, _)| *name == what).unwrap().1
}

#[tokio::test]
async fn a_conditional_registration_is_not_idempotent() {
    let (first, second) = (Member::answering(Reply::Reset).await, fine().await);
    let conditional = NodeRegister { if_revision: Some(Revision(0)), ..register() };
    let error = client(&[&first, &second]).register(&conditional).await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error}");
    assert_eq!(second.count(), 0);
}

#[tokio::test]
async fn an_idempotent_call_that_nobody_confirms_is_unknown_but_repeatable() {
    let (first, second) = (Member::answering(Reply::Reset).await, Member::answering(Reply::Reset).await);
    let error = client(&[&first, &second]).heartbeat(&address()).await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { repeatable: true, .. }), "{error}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn deregistering_twice_is_fine_if_the_first_time_may_have_worked() {
    let gone = error(ErrorCode::NodeNotFound, "there is no such node");
    let (first, second) = (Member::answering(Reply::Reset).await, Member::answering(gone.clone()).await);
    client(&[&first, &second]).deregister(&deregister()).await.unwrap();
    assert_eq!((first.count(), second.count()), (1, 1));

    let only = Member::answering(gone).await;
    let error = client(&[&only]).deregister(&deregister()).await.unwrap_err();
    assert!(error.is_not_found(), "nobody may have removed it: {error}");
}

#[tokio::test]
async fn a_refusal_is_final_and_tells_the_code_and_the_field() {
    let invalid = json_reply(
        400,
        &serde_json::to_value(kenger_types::ApiError::invalid("weight", "too much")).unwrap(),
    );
    let (first, second) = (Member::answering(invalid).await, fine().await);
    let client = client(&[&first, &second]);
    let Err(Error::Refused { error, .. }) = client.register(&register()).await else { panic!("not refused") };
    assert_eq!((error.error, error.field.as_deref()), (ErrorCode::InvalidArgument, Some("weight")));
    assert_eq!(second.count(), 0);
}

#[tokio::test]
async fn when_nobody_answers_the_error_names_everybody_and_may_be_retried() {
    let busy = Member::answering(error(ErrorCode::NoLeader, "no leader: the election is under way")).await;
    let dead = nobody().await;
    let client = builder().endpoints([dead.clone(), busy.url()]).build().unwrap();
    let error = client.set_weight(&weight()).await.unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), (Some(ErrorCode::NoLeader), true));
    let text = error.to_string();
    assert!(
        text.contains(&dead) && text.contains("refused") && text.contains("the election is under way"),
        "{text}"
    );
}

#[tokio::test]
async fn a_call_is_bounded_by_its_timeout_however_many_endpoints_hang() {
    let members = [Member::answering(Reply::Hang).await, Member::answering(Reply::Hang).await];
    let endpoints = members.iter().map(Member::url);
    let client = builder().timeout(Duration::from_millis(900)).endpoints(endpoints).build().unwrap();
    let before = tokio::time::Instant::now();
    let error = client.namespaces(Consistency::Linearizable).await.unwrap_err();
    let took = before.elapsed();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!((Duration::from_millis(890)..Duration::from_secs(4)).contains(&took), "{took:?}");
    assert_eq!((members[0].count(), members[1].count()), (1, 1));
}

#[tokio::test]
async fn an_endpoint_that_took_all_the_time_of_a_call_is_not_the_first_to_be_asked_by_the_next() {
    let (silent, fine) = (Member::answering(Reply::Hang).await, fine().await);
    let endpoints = [silent.url(), fine.url()];
    let call_limit = Duration::from_millis(300);
    let client = builder().timeout(call_limit).attempt_timeout(call_limit * 10).endpoints(endpoints);
    let client = client.build().unwrap();
    client.heartbeat(&address()).await.unwrap_err();
    assert_eq!((silent.count(), fine.count()), (1, 0));
    client.set_weight(&weight()).await.unwrap();
    assert_eq!((silent.count(), fine.count()), (1, 1));
}

#[tokio::test]
async fn what_is_no_answer_of_a_registry_is_told_as_such() {
    for (what, reply) in [
        ("HTML", raw_reply(200, "content-type: text/html\r\n", b"<html>hello</html>")),
        ("no envelope", json_reply(200, &json!({"nodes": []}))),
        ("wrong data", ok(&json!("a string"))),
        ("empty", raw_reply(200, "", b"")),
        ("redirect", raw_reply(307, "location: http://127.0.0.1:9/\r\n", b"")),
        ("foreign 404", raw_reply(404, "", b"not here")),
    ] {
        let member = Member::answering(reply).await;
        let error = client(&[&member]).namespaces(Consistency::Linearizable).await.unwrap_err();
        assert!(matches!(error, Error::Unexpected { .. }), "{what}: {error}");
        assert!(error.to_string().contains(&member.url()), "{error}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_so_that_the_token_goes_nowhere_else() {
    let elsewhere = fine().await;
    let location = format!("location: {}/api/upstream/node/weight\r\n", elsewhere.url());
    let member = Member::answering(raw_reply(307, &location, b"")).await;
    client(&[&member]).set_weight(&weight()).await.unwrap_err();
    assert_eq!(elsewhere.count(), 0);
}

#[tokio::test]
async fn the_token_the_query_and_the_freshness_reach_the_member() {
    let headers = "content-type: application/json\r\nx-kenger-revision: 42\r\nx-kenger-leader-lag-ms: 17\r\n";
    let member = Member::answering(raw_reply(200, headers, br#"{"code":0,"message":"ok","data":[]}"#)).await;
    let query = NodeQuery {
        ns: Some("demo".parse().unwrap()),
        status: Some(NodeStatus::Online),
        version: Some("v 1&2".to_owned()),
        consistency: Consistency::Stale,
    };
    let answer = client(&[&member]).nodes(&query).await.unwrap();
    assert_eq!(answer.revision, Some(Revision(42)));
    assert_eq!(answer.leader_lag, Some(Duration::from_millis(17)));
    let request = &member.seen()[0];
    assert_eq!(request.method, "GET");
    let target = "/api/upstream/node/list?ns=demo&status=online&version=v+1%262&consistency=stale";
    assert_eq!(request.target, target);
    assert_eq!(request.header("authorization"), Some("Bearer secret"));
}

#[tokio::test]
async fn bodies_are_sent_as_the_contract_writes_them() {
    let member = fine().await;
    let client: Client = client(&[&member]);
    client.register(&register()).await.unwrap();
    let cleared = NodeWeight { weight: None, ..weight() };
    client.set_weight(&cleared).await.unwrap();
    let seen = member.seen();
    assert_eq!(seen[0].json(), json!({"ns": "demo", "host": "127.0.0.1", "port": 8080, "weight": 100}));
    assert_eq!(seen[1].json()["weight"], Value::Null);
    assert_eq!(seen[1].header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn sync_waits_on_purpose_and_knows_what_has_not_changed() {
    let body = json!({"code": 0, "message": "ok", "version": 9, "data": {"demo": {"health_path": "/", "nodes": []}}});
    let nodes = raw_reply(200, "etag: \"9\"\r\n", body.to_string().as_bytes());
    let member = Member::playing(vec![nodes, raw_reply(304, "", b"")]).await;
    let client = client(&[&member]);
    let query =
        SyncQuery { since: Some(Revision(8)), wait: Some(Duration::from_secs(30)), ..SyncQuery::default() };
    let SyncAnswer::Nodes { nodes, etag } = client.sync(&query).await.unwrap() else {
        panic!("not modified")
    };
    assert_eq!((nodes.version, etag.as_deref()), (Revision(9), Some("\"9\"")));
    let query = SyncQuery { if_none_match: etag, ..SyncQuery::default() };
    assert_eq!(client.sync(&query).await.unwrap(), SyncAnswer::NotModified);
    let seen = member.seen();
    assert_eq!(seen[0].target, "/api/upstream/sync?since=8&wait=30000ms");
    assert_eq!(seen[1].header("if-none-match"), Some("\"9\""));
}

#[tokio::test]
async fn probes_and_metrics_ask_the_member_that_is_named() {
    let first = Member::answering(error(ErrorCode::NotReady, "catching up")).await;
    let second = Member::answering(raw_reply(200, "content-type: text/plain\r\n", b"up 1\n")).await;
    let client = client(&[&first, &second]);
    let (one, two) = (&client.endpoints()[0], &client.endpoints()[1]);
    assert_eq!(client.readyz(one).await.unwrap_err().code(), Some(ErrorCode::NotReady));
    client.healthz(two).await.unwrap();
    assert_eq!(client.metrics(two).await.unwrap(), "up 1\n");
    assert_eq!((first.count(), second.count()), (1, 2));
}
