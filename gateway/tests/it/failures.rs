//! Answers that the gateway gives itself: they say what happened, and where.

use std::time::Duration;

use kenger_types::NodeStatus;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Answer, Raw, Rig, Service, dead_address, node, run};

fn assert_failure(answer: &Answer, status: u16, code: &str, part: &str) {
    assert_eq!((answer.status, answer.error_code()), (status, Some(code)), "{}", answer.text());
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((body["code"].as_u64(), body["error"].as_str()), (Some(status.into()), Some(code)));
    assert!(body["message"].as_str().unwrap().contains(part), "{body}");
    assert!(!answer.text().contains("127.0.0.1"), "no address is told: {body}");
}

#[test]
fn a_503_says_why_no_node_can_serve() {
    run(async {
        let service = Service::named("v1").await;
        let rig = Rig::start(vec![node(service.address, 0)]).await;
        assert_failure(&rig.get("/").await, 503, "all_weights_zero", "weight of 0");
        let mut offline = node(service.address, 100);
        offline.status = NodeStatus::Offline;
        rig.registry.put(offline.clone());
        rig.caught_up().await;
        assert_failure(&rig.get("/").await, 503, "no_node_online", "online");
        rig.registry.delete(&offline);
        rig.caught_up().await;
        let answer = rig.get("/").await;
        assert_failure(&answer, 503, "no_nodes", "no nodes");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(rig.metric("errors_total", "all_weights_zero").await, 1.0);
    });
}

#[test]
fn a_namespace_that_the_registry_does_not_have_is_named_as_the_reason() {
    run(async {
        let rig =
            Rig::with(Vec::new(), |settings| settings.listeners[0].namespace = "other".to_owned()).await;
        assert_failure(&rig.get("/").await, 503, "no_such_namespace", "no such namespace");
    });
}

#[test]
fn a_502_tells_a_refused_connection_from_a_bad_answer() {
    run(async {
        let rig = Rig::start(vec![node(dead_address(), 1)]).await;
        assert_failure(&rig.get("/").await, 502, "connect_failed", "no connection");

        let garbage = Service::raw(|mut stream| async move {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n\r\n").await;
            let _ = stream.read(&mut buffer).await;
        })
        .await;
        let rig = Rig::start(vec![node(garbage.address, 1)]).await;
        assert_failure(&rig.get("/").await, 502, "bad_response", "not valid HTTP");
    });
}

#[test]
fn a_504_comes_when_the_node_stands_still() {
    run(async {
        let silent = Service::raw(|mut stream| async move {
            let mut buffer = [0; 4096];
            while matches!(stream.read(&mut buffer).await, Ok(count) if count > 0) {}
        })
        .await;
        let rig = Rig::with(vec![node(silent.address, 1)], |settings| {
            settings.response_timeout = Some("200ms".to_owned());
        })
        .await;
        let mut client = Raw::connect(rig.address).await;
        for _ in 0..2 {
            let began = tokio::time::Instant::now();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let answer = client.answer().await;
            assert_failure(&answer, 504, "response_timeout", "did not answer in time");
            assert!((150..3_000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
        }
        assert_eq!(
            silent.connections(),
            2,
            "a timeout is not tried again, and its connection not used again"
        );
    });
}

#[test]
fn a_node_that_stops_in_the_middle_of_its_answer_is_given_up() {
    run(async {
        let service = Service::raw(|mut stream| async move {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
            let _ = stream.read(&mut buffer).await;
        })
        .await;
        let rig = Rig::with(vec![node(service.address, 1)], |settings| {
            settings.response_timeout = Some("200ms".to_owned());
        })
        .await;
        let mut client = Raw::connect(rig.address).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.head().await.unwrap();
        assert_eq!(client.take(10).await, b"half", "and the connection ends");
    });
}

#[test]
fn a_long_upload_is_no_timeout_and_a_client_that_stops_is_a_408() {
    run(async {
        let service = Service::answering(|request| async move {
            let body = http_body_util::BodyExt::collect(request.into_body()).await;
            let length = body.map_or(0, |body| body.to_bytes().len());
            http::Response::new(crate::support::service::full(length.to_string()))
        })
        .await;
        let rig = Rig::with(vec![node(service.address, 1)], |settings| {
            settings.response_timeout = Some("400ms".to_owned());
        })
        .await;
        let mut client = Raw::connect(rig.address).await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n").await;
        for _ in 0..12 {
            client.send("x").await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(client.answer().await.text(), "12");
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\nx").await;
        assert_failure(&client.answer().await, 408, "client_body_timeout", "stopped coming");
        assert!(client.is_closed().await);
    });
}

#[test]
fn a_malformed_body_is_the_clients_fault() {
    run(async {
        let service = Service::answering(|request| async move {
            let _ = http_body_util::BodyExt::collect(request.into_body()).await;
            http::Response::new(crate::support::service::full("read"))
        })
        .await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let mut client = Raw::connect(rig.address).await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n").await;
        if let Some(answer) = client.try_answer().await {
            assert_failure(&answer, 400, "client_body_broken", "malformed");
        }
        assert!(client.is_closed().await);
        assert_eq!(rig.metric("retries_total", "").await, 0.0);
    });
}

#[test]
fn a_head_that_does_not_come_is_given_up() {
    run(async {
        let rig =
            Rig::with(Vec::new(), |settings| settings.client_header_timeout = Some("200ms".to_owned())).await;
        let mut client = Raw::connect(rig.address).await;
        client.send("GET / HTTP/1.1\r\nHo").await;
        let began = tokio::time::Instant::now();
        assert!(client.is_closed().await || began.elapsed() < Duration::from_secs(3));
        assert!(began.elapsed() < Duration::from_secs(3));
    });
}
