//! Requests and responses on their way through: headers, versions, connections.

use bytes::Bytes;
use http::Response;
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::service::{channel, full};
use crate::support::{Raw, Rig, Service, node, run};

#[test]
fn a_node_learns_who_asks_and_what_for() {
    run(async {
        let service = Service::named("v1").await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let mut client = Raw::connect(rig.address).await;
        client
            .send("GET /a?b=c HTTP/1.1\r\nHost: shop.example:81\r\nX-Forwarded-For: 192.0.2.9\r\nConnection: close, x-foo\r\nX-Foo: secret\r\nTE: gzip\r\nKeep-Alive: 5\r\nProxy-Authorization: z\r\nX-Kept: 1\r\n\r\n")
            .await;
        assert_eq!(client.answer().await.text(), "v1");
        let port = format!("x-forwarded-port: {}", rig.address.port());
        let expected = [
            "GET /a?b=c",
            "host: shop.example:81",
            "x-forwarded-for: 192.0.2.9, 127.0.0.1",
            "x-forwarded-host: shop.example:81",
            &port,
            "x-forwarded-proto: http",
            "x-kept: 1",
            "x-real-ip: 127.0.0.1",
        ];
        assert_eq!(service.last_head(), expected);
    });
}

#[test]
fn connections_are_kept_on_both_sides() {
    run(async {
        let service = Service::named("v1").await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let mut client = Raw::connect(rig.address).await;
        for _ in 0..50 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(client.answer().await.text(), "v1");
        }
        assert_eq!((service.requests(), service.connections()), (50, 1));
        assert_eq!(rig.metric("upstream_reuses_total", "").await, 49.0);
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    run(async {
        let service = Service::answering(|request| async move {
            let path = request.uri().path().to_owned();
            // A service that leaves a body unread has to close its connection.
            let _ = request.into_body().collect().await;
            Response::new(full(path))
        })
        .await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let mut client = Raw::connect(rig.address).await;
        let mut all = String::new();
        for number in 0..20 {
            all += &format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
            all += &format!(
                "POST /{number}c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            );
            all += &format!("GET /{number}g HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        client.send(all).await;
        for number in 0..20 {
            for suffix in ["", "c", "g"] {
                assert_eq!(client.answer().await.text(), format!("/{number}{suffix}"));
            }
        }
    });
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it() {
    run(async {
        let service = Service::answering(|request| async move {
            Response::new(full(request.into_body().collect().await.unwrap().to_bytes()))
        })
        .await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let mut client = Raw::connect(rig.address).await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n").await;
        assert_eq!(client.head().await.unwrap().status, 100);
        client.send("body").await;
        assert_eq!(client.answer().await.text(), "body");
        assert!(!service.last_head().iter().any(|line| line.starts_with("expect")));
    });
}

#[test]
fn interim_responses_of_a_node_are_passed_over() {
    run(async {
        let service = Service::raw(|mut stream| async move {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            let _ = stream.write_all(early).await;
            let _ = stream.read(&mut buffer).await;
        })
        .await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        assert_eq!(rig.get("/").await.text(), "ok");
    });
}

#[test]
fn an_http_1_0_client_gets_http_1_0() {
    run(async {
        let service = Service::answering(|_| async {
            let (sender, body) = channel(2);
            sender.send(Ok(Frame::data(Bytes::from_static(b"of unknown length")))).await.unwrap();
            Response::new(body)
        })
        .await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let mut client = Raw::connect(rig.address).await;
        client.send("GET /old HTTP/1.0\r\n\r\n").await;
        let mut all = Vec::new();
        client.stream.read_to_end(&mut all).await.unwrap();
        let text = String::from_utf8(all).unwrap();
        assert!(text.starts_with("HTTP/1.0 200 OK\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\nof unknown length") && !text.contains("chunked"), "{text}");
        assert!(
            service.last_head().contains(&format!("host: {}", service.address)),
            "{:?}",
            service.last_head()
        );
    });
}

#[test]
fn a_node_that_speaks_http_1_0_serves_clients_that_do_not() {
    run(async {
        let service = Service::raw(|mut stream| async move {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nuntil the end").await;
        })
        .await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let mut client = Raw::connect(rig.address).await;
        for _ in 0..3 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(client.answer().await.text(), "until the end");
        }
    });
}

#[test]
fn answers_without_a_body_keep_their_headers_and_the_connection() {
    run(async {
        let service = Service::raw(|mut stream| async move {
            let mut buffer = [0; 4096];
            while let Ok(count) = stream.read(&mut buffer).await {
                let request = String::from_utf8_lossy(&buffer[..count]).into_owned();
                let answer: &[u8] = match request.split(' ').nth(1) {
                    Some("/304") => b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
                    Some("/204") => b"HTTP/1.1 204 No Content\r\n\r\n",
                    Some("/head") => b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
                    _ => return,
                };
                if stream.write_all(answer).await.is_err() {
                    return;
                }
            }
        })
        .await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let mut client = Raw::connect(rig.address).await;
        client.send("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.head().await.unwrap().header("content-length"), Some("1234"));
        client.send("GET /304 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.head().await.unwrap();
        assert_eq!((answer.status, answer.header("etag")), (304, Some("\"x\"")));
        client.send("GET /204 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.head().await.unwrap();
        assert_eq!((answer.status, answer.header("content-length")), (204, None));
        client.send("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.head().await.unwrap().status, 200);
        assert_eq!(service.connections(), 1);
    });
}

#[test]
fn headers_beyond_the_limit_are_refused() {
    run(async {
        let service = Service::named("v1").await;
        let rig = Rig::with(vec![node(service.address, 1)], |settings| {
            settings.header_bytes_max = Some("8192".to_owned());
        })
        .await;
        let mut client = Raw::connect(rig.address).await;
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "x".repeat(9_000))).await;
        assert_eq!(client.answer().await.status, 431);
        assert_eq!(service.requests(), 0);
    });
}
