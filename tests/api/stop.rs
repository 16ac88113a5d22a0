//! The end of a member, in good order.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::events::Events;
use crate::support::{ADMIN, Options, SOON, answer, one};

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_with_a_leader_event_and_waiting_requests_are_answered() {
    let server = one(Options::default()).await;
    server.post("/api/upstream/node/register", json!({"ns": "a", "host": "h", "port": 1})).await.data();
    let mut events = Events::open(server.request(Method::GET, "/api/upstream/watch")).await;
    let snapshot = events.snapshot().await;
    let path = format!("/api/upstream/sync?since={}&wait=60s", snapshot.data["revision"]);
    let waiting = tokio::spawn(answer(server.request(Method::GET, &path)));
    tokio::time::sleep(Duration::from_millis(100)).await;

    let (address, started) = (server.address, Instant::now());
    server.stop().await;
    assert!(started.elapsed() < Duration::from_secs(5), "nothing had to be waited for");
    let leader = events.expect("leader").await;
    assert!(leader.data["reason"].as_str().unwrap().contains("stopping"), "{leader:?}");
    assert_eq!(leader.id, None);
    assert_eq!(events.next().await, None);
    assert_eq!(waiting.await.unwrap().data()["a"]["nodes"].as_array().unwrap().len(), 1);
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_being_sent_is_finished_and_an_idle_connection_closed() {
    let server = one(Options::default()).await;
    let body = r#"{"ns":"a","host":"h","port":1}"#;
    let mut sending = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /api/upstream/node/register HTTP/1.1\r\nHost: x\r\nX-API-Token: {ADMIN}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    sending.write_all(head.as_bytes()).await.unwrap();
    sending.write_all(&body.as_bytes()[..10]).await.unwrap();
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut begin = [0; 12];
    idle.read_exact(&mut begin).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;

    let stopping = tokio::spawn(server.stop());
    let mut rest = Vec::new();
    tokio::time::timeout(SOON, idle.read_to_end(&mut rest))
        .await
        .expect("idle connections are closed")
        .unwrap();
    assert!(!stopping.is_finished());
    sending.write_all(&body.as_bytes()[10..]).await.unwrap();
    let mut answered = String::new();
    tokio::time::timeout(SOON, sending.read_to_string(&mut answered)).await.unwrap().unwrap();
    assert!(answered.starts_with("HTTP/1.1 200 "), "{answered}");
    stopping.await.unwrap();
}
