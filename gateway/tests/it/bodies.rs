//! Bodies on their way through: whole, in time, and torn where they were torn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::service::{channel, full};
use crate::support::{Raw, Rig, Service, eventually, node, run};

#[test]
fn large_bodies_pass_both_ways() {
    run(async {
        let service = Service::answering(|request| async move {
            let is_chunked = request.headers().contains_key("transfer-encoding");
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let mut response = Response::new(full(body));
            response.headers_mut().insert("x-was-chunked", HeaderValue::from(u16::from(is_chunked)));
            response
        })
        .await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let body: Vec<u8> = (0..5_000_000_u32).map(|number| (number % 251) as u8).collect();
        for is_chunked in [false, true] {
            let (mut reader, mut writer) = Raw::connect(rig.address).await.stream.into_split();
            let sent = body.clone();
            let sending = tokio::spawn(async move {
                let framing = if is_chunked {
                    "Transfer-Encoding: chunked".to_owned()
                } else {
                    format!("Content-Length: {}", sent.len())
                };
                let head = format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{framing}\r\n\r\n");
                writer.write_all(head.as_bytes()).await.unwrap();
                if !is_chunked {
                    writer.write_all(&sent).await.unwrap();
                    // Dropping it would close this direction, and with it the request.
                    return writer;
                }
                for chunk in sent.chunks(70_001) {
                    writer.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await.unwrap();
                    writer.write_all(chunk).await.unwrap();
                    writer.write_all(b"\r\n").await.unwrap();
                }
                writer.write_all(b"0\r\n\r\n").await.unwrap();
                writer
            });
            let mut received = Vec::new();
            reader.read_to_end(&mut received).await.unwrap();
            drop(sending.await.unwrap());
            let end = received.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
            let head = String::from_utf8_lossy(&received[..end]).into_owned();
            assert!(head.contains(&format!("x-was-chunked: {}", u8::from(is_chunked))), "{head}");
            assert!(received[end + 4..] == body, "the body came back different");
        }
    });
}

#[test]
fn a_get_with_a_chunked_body_keeps_its_body() {
    run(async {
        let service = Service::answering(|request| async move {
            Response::new(full(request.into_body().collect().await.unwrap().to_bytes()))
        })
        .await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let mut client = Raw::connect(rig.address).await;
        client
            .send("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n")
            .await;
        assert_eq!(client.answer().await.text(), "body");
    });
}

#[test]
fn a_body_is_passed_on_while_it_comes() {
    run(async {
        let service = Service::answering(|request| async move {
            let (sender, body) = channel(1);
            tokio::spawn(async move {
                let mut incoming = request.into_body();
                while let Some(Ok(frame)) = incoming.frame().await {
                    if sender.send(Ok(frame)).await.is_err() {
                        return;
                    }
                }
            });
            Response::new(body)
        })
        .await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let mut client = Raw::connect(rig.address).await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        client.send("4\r\nping\r\n").await;
        assert_eq!(client.head().await.unwrap().status, 200);
        assert_eq!(client.take(9).await, b"4\r\nping\r\n");
        client.send("4\r\npong\r\n0\r\n\r\n").await;
        assert_eq!(client.chunks().await.unwrap().0, b"pong");
    });
}

#[test]
fn a_slow_client_slows_its_node_down() {
    run(async {
        let sent = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&sent);
        let service = Service::answering(move |_| {
            let counter = Arc::clone(&counter);
            async move {
                let (sender, body) = channel(1);
                tokio::spawn(async move {
                    for _ in 0..2_000 {
                        if sender.send(Ok(Frame::data(Bytes::from(vec![7; 100_000])))).await.is_err() {
                            return;
                        }
                        counter.fetch_add(100_000, Ordering::SeqCst);
                    }
                });
                Response::new(body)
            }
        })
        .await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let mut client = Raw::connect(rig.address).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.head().await.unwrap();
        // What is under way lies in the sockets' buffers; wait until no more goes in.
        let mut before = u64::MAX;
        while before != sent.load(Ordering::SeqCst) {
            before = sent.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        assert!(before < 100_000_000, "{before} of 200,000,000 bytes were taken although nobody reads");
        assert_eq!(
            client.chunks().await.unwrap().0.len(),
            200_000_000,
            "and it goes on when the client reads"
        );
    });
}

#[test]
fn a_client_that_leaves_ends_its_request_at_the_node() {
    run(async {
        let gone = Arc::new(AtomicU64::new(0));
        let noted = Arc::clone(&gone);
        let service = Service::raw(move |mut stream| {
            let noted = Arc::clone(&noted);
            async move {
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                // No answer: wait for the end of the connection.
                let end = stream.read(&mut buffer).await;
                if matches!(end, Ok(0) | Err(_)) {
                    noted.fetch_add(1, Ordering::SeqCst);
                }
            }
        })
        .await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let mut client = Raw::connect(rig.address).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        eventually("the node has the request", async || service.connections() == 1).await;
        drop(client);
        eventually("the node's connection ends", async || gone.load(Ordering::SeqCst) == 1).await;
    });
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_response_ends_it_at_the_node() {
    run(async {
        let (gone_sender, gone) = tokio::sync::watch::channel(false);
        let service = Service::answering(move |_| {
            let gone = gone_sender.clone();
            async move {
                let (sender, body) = channel(1);
                tokio::spawn(async move {
                    while sender.send(Ok(Frame::data(Bytes::from_static(b"tick")))).await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    gone.send_replace(true);
                });
                Response::new(body)
            }
        })
        .await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let mut client = Raw::connect(rig.address).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.head().await.unwrap().status, 200);
        drop(client);
        eventually("the node's body is dropped", async || *gone.borrow()).await;
    });
}

#[test]
fn a_response_that_breaks_off_does_not_end_cleanly_for_the_client() {
    for head in ["Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "Content-Length: 100\r\n\r\nhello"] {
        run(async move {
            let service = Service::raw(move |mut stream| async move {
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}").as_bytes()).await;
            })
            .await;
            let rig = Rig::start(vec![node(service.address, 1)]).await;
            let mut client = Raw::connect(rig.address).await;
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let answer = client.head().await.unwrap();
            if answer.header("content-length").is_some() {
                assert_eq!(client.take(100).await, b"hello");
            } else {
                assert_eq!(client.chunks().await, None, "no last chunk may be made up");
            }
            assert!(client.is_closed().await);
        });
    }
}

#[test]
fn a_torn_answer_without_a_length_is_a_reset_for_a_client_that_reads_until_the_end() {
    run(async {
        let service = Service::raw(|mut stream| async move {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
                .await;
        })
        .await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let mut client = Raw::connect(rig.address).await;
        client.send("GET / HTTP/1.0\r\n\r\n").await;
        let mut all = Vec::new();
        let error = client.stream.read_to_end(&mut all).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn trailers_pass_if_the_client_takes_them() {
    run(async {
        let service = Service::answering(|request| async move {
            let collected = request.into_body().collect().await.unwrap();
            let sum = collected.trailers().and_then(|trailers| trailers.get("x-sum")).cloned();
            let (sender, body) = channel(2);
            let mut trailers = HeaderMap::new();
            trailers.insert("x-echoed", sum.unwrap_or(HeaderValue::from_static("none")));
            sender.send(Ok(Frame::data(collected.to_bytes()))).await.unwrap();
            sender.send(Ok(Frame::trailers(trailers))).await.unwrap();
            let mut response = Response::new(body);
            response.headers_mut().insert("trailer", HeaderValue::from_static("x-echoed"));
            response
        })
        .await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let mut client = Raw::connect(rig.address).await;
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\nTE: trailers\r\nConnection: te\r\n\r\n4\r\nbody\r\n0\r\nx-sum: 42\r\n\r\n")
            .await;
        let answer = client.answer().await;
        assert_eq!((answer.text(), answer.trailers), ("body".to_owned(), vec!["x-echoed: 42".to_owned()]));
    });
}

#[test]
fn an_answer_before_the_end_of_the_body_reaches_the_client() {
    run(async {
        let service = Service::raw(|mut stream| async move {
            let mut buffer = vec![0; 64 << 10];
            let _ = stream.read(&mut buffer).await;
            let _ = stream
                .write_all(b"HTTP/1.1 413 Too Much\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .await;
            // As a careful service does: read on, or the answer may be lost to a reset.
            while matches!(stream.read(&mut buffer).await, Ok(count) if count > 0) {}
        })
        .await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let (reader, mut writer) = Raw::connect(rig.address).await.stream.into_split();
        let sending = tokio::spawn(async move {
            writer.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n").await.unwrap();
            // May be cut off on the way.
            let _ = writer.write_all(&vec![0; 3_000_000]).await;
            writer
        });
        let mut reader = tokio::io::BufReader::new(reader);
        let mut line = String::new();
        tokio::io::AsyncBufReadExt::read_line(&mut reader, &mut line).await.unwrap();
        assert!(line.contains(" 413 "), "{line:?}");
        sending.abort();
    });
}
