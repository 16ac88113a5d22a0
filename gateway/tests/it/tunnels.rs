//! WebSockets and other changes of protocol.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Raw, Rig, Service, eventually, node, run};

const ASK: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// Agrees to everything and then sends back what it gets, with a greeting first.
async fn echo() -> Service {
    Service::raw(|mut stream| async move {
        let mut head = Vec::new();
        while !head.windows(4).any(|window| window == b"\r\n\r\n") {
            if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        if !head.contains("\r\nupgrade: websocket\r\n") || !head.contains("\r\nconnection: upgrade\r\n") {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
            return;
        }
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nhello";
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        let (mut reader, mut writer) = stream.split();
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
        let _ = writer.write_all(b"bye").await;
        let _ = writer.shutdown().await;
    })
    .await
}

async fn opened(rig: &Rig) -> Raw {
    let mut client = Raw::connect(rig.address).await;
    client.send(ASK).await;
    let answer = client.head().await.unwrap();
    assert_eq!((answer.status, answer.header("upgrade")), (101, Some("websocket")));
    assert_eq!(answer.header("sec-websocket-accept"), Some("x"));
    assert_eq!(client.take(5).await, b"hello", "what came with the answer is not lost");
    client
}

async fn assert_echo(client: &mut Raw, bytes: &[u8]) {
    client.send(bytes).await;
    assert_eq!(client.take(bytes.len()).await, bytes);
}

#[test]
fn a_websocket_carries_bytes_both_ways_until_both_sides_end() {
    run(async {
        let service = echo().await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let mut client = opened(&rig).await;
        assert_echo(&mut client, b"ping").await;
        // Bytes that look like HTTP are nobody's business.
        assert_echo(&mut client, b"GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\nX\r\n\r\nY").await;
        assert_eq!(rig.metric("active_tunnels", "").await, 1.0);
        client.stream.shutdown().await.unwrap();
        assert_eq!(client.take(3).await, b"bye", "the other side may go on after ours has ended");
        assert!(client.is_closed().await);
        eventually("the tunnel has ended", async || rig.metric("active_tunnels", "").await == 0.0).await;
    });
}

#[test]
fn a_websocket_survives_changes_of_the_table() {
    run(async {
        let (service, other) = (echo().await, Service::named("other").await);
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let mut client = opened(&rig).await;
        rig.registry.put(node(other.address, 100));
        rig.registry.put(node(service.address, 0));
        rig.caught_up().await;
        assert_echo(&mut client, b"weight 0").await;
        rig.registry.delete(&node(service.address, 0));
        rig.caught_up().await;
        assert_echo(&mut client, b"deleted").await;
        rig.registry.cut();
        assert_echo(&mut client, b"feed cut").await;
        assert_eq!(rig.get("/").await.text(), "other");
    });
}

#[test]
fn bytes_sent_before_the_answer_reach_the_node() {
    run(async {
        let service = echo().await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let mut client = Raw::connect(rig.address).await;
        client.send(format!("{ASK}early\r\n\r\nbytes")).await;
        assert_eq!(client.head().await.unwrap().status, 101);
        assert_eq!(client.take(19).await, b"helloearly\r\n\r\nbytes");
    });
}

#[test]
fn without_the_nodes_agreement_it_is_an_ordinary_request() {
    run(async {
        let service = Service::named("no").await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let mut client = Raw::connect(rig.address).await;
        for _ in 0..3 {
            client.send(ASK).await;
            let answer = client.answer().await;
            assert_eq!((answer.status, answer.text().as_str()), (200, "no"));
        }
        assert_eq!(service.connections(), 1, "and the connections are kept");
    });
}

#[test]
fn a_change_of_protocol_that_nobody_asked_for_is_a_bad_response() {
    run(async {
        let service = Service::raw(|mut stream| async move {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
            let _ = stream.write_all(answer).await;
            let _ = stream.read(&mut buffer).await;
        })
        .await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let answer = rig.get("/").await;
        assert_eq!((answer.status, answer.error_code()), (502, Some("bad_response")));
    });
}

#[test]
fn a_tunnel_in_which_nothing_moves_is_cut() {
    run(async {
        let service = echo().await;
        let rig = Rig::with(vec![node(service.address, 1)], |settings| {
            settings.tunnel_idle_timeout = Some("200ms".to_owned());
        })
        .await;
        let mut client = opened(&rig).await;
        for _ in 0..4 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            assert_echo(&mut client, b"still here").await;
        }
        let began = tokio::time::Instant::now();
        assert!(client.is_closed().await);
        assert!((100..5_000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    });
}
