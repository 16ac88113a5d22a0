//! What is tried again, and what never is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Response;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::service::full;
use crate::support::{Raw, Rig, Service, dead_address, node, run};

/// A service that reads a request and closes the connection; counts them.
async fn closing() -> (Service, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let service = Service::raw(move |mut stream| {
        let counted = Arc::clone(&counted);
        async move {
            let mut buffer = [0; 4096];
            if matches!(stream.read(&mut buffer).await, Ok(read) if read > 0) {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    (service, count)
}

#[test]
fn a_node_that_cannot_be_connected_to_costs_no_request() {
    run(async {
        let service = Service::answering(|request| async move {
            Response::new(full(request.into_body().collect().await.unwrap().to_bytes()))
        })
        .await;
        let rig = Rig::start(vec![node(dead_address(), 100), node(service.address, 100)]).await;
        let mut client = Raw::connect(rig.address).await;
        // Also with a body: nothing of it was sent.
        for _ in 0..40 {
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody").await;
            assert_eq!(client.answer().await.text(), "body");
        }
        let retries = rig.metric("retries_total", "reason=\"connect\"").await;
        assert!((5.0..=35.0).contains(&retries), "{retries} of 40");
        assert_eq!(service.requests(), 40);
    });
}

#[test]
fn a_post_that_was_sent_is_not_repeated() {
    run(async {
        let (closing, count) = closing().await;
        let good = Service::named("good").await;
        let rig = Rig::start(vec![node(closing.address, 10_000), node(good.address, 1)]).await;
        for body in ["", "body"] {
            let before = (count.load(Ordering::SeqCst), good.requests());
            let mut client = Raw::connect(rig.address).await;
            client
                .send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
                .await;
            let answer = client.answer().await;
            let sent = (count.load(Ordering::SeqCst) - before.0, good.requests() - before.1);
            assert_eq!(sent.0 + sent.1, 1, "it was sent once, whichever node was picked");
            // In one of ten thousand runs the good node is picked.
            if sent.0 == 1 {
                assert_eq!((answer.status, answer.error_code()), (502, Some("upstream_disconnected")));
                assert!(answer.text().contains("may have been carried out"), "{}", answer.text());
            }
        }
    });
}

#[test]
fn a_get_that_was_sent_is_repeated_on_another_node() {
    run(async {
        let (closing, count) = closing().await;
        let good = Service::named("good").await;
        let rig = Rig::start(vec![node(closing.address, 10_000), node(good.address, 1)]).await;
        for _ in 0..10 {
            assert_eq!(rig.get("/").await.text(), "good");
        }
        assert!(count.load(Ordering::SeqCst) >= 9);
        assert_eq!(
            rig.metric("retries_total", "reason=\"disconnected\"").await,
            count.load(Ordering::SeqCst) as f64
        );
    });
}

#[test]
fn a_response_that_has_begun_is_not_repeated() {
    run(async {
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let service = Service::raw(move |mut stream| {
            let counted = Arc::clone(&counted);
            async move {
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
            }
        })
        .await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let mut client = Raw::connect(rig.address).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.head().await.unwrap().status, 200);
        assert_eq!(client.take(10).await, b"half");
        assert_eq!(count.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_kept_connection_that_was_closed_costs_no_request() {
    run(async {
        // Answers once, says nothing about it, and closes.
        let service = Service::raw(|mut stream| async move {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        })
        .await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let mut client = Raw::connect(rig.address).await;
        for _ in 0..20 {
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
            assert_eq!(client.answer().await.text(), "ok");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(service.connections(), 20);
    });
}

#[test]
fn a_request_is_tried_on_as_many_nodes_as_configured() {
    run(async {
        let mut services = Vec::new();
        let mut counts = Vec::new();
        for _ in 0..5 {
            let (service, count) = closing().await;
            services.push(service);
            counts.push(count);
        }
        let nodes = services.iter().map(|service| node(service.address, 100)).collect();
        let rig = Rig::with(nodes, |settings| settings.attempts_max = Some("3".to_owned())).await;
        assert_eq!(rig.get("/").await.status, 502);
        let tried: Vec<_> = counts.iter().map(|count| count.load(Ordering::SeqCst)).collect();
        assert_eq!(tried.iter().sum::<u64>(), 3, "{tried:?}");
        assert!(tried.iter().all(|count| *count <= 1), "each on a node of its own: {tried:?}");
    });
}

#[test]
fn retries_end_with_their_budget() {
    run(async {
        let nodes = (0..2).map(|_| node(dead_address(), 100)).collect();
        let rig = Rig::with(nodes, |settings| settings.workers = Some("1".to_owned())).await;
        let mut client = Raw::connect(rig.address).await;
        for _ in 0..400 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(client.answer().await.status, 502);
        }
        let (made, refused) =
            (rig.metric("retries_total", "").await, rig.metric("retries_over_budget_total", "").await);
        assert_eq!(made + refused, 400.0);
        // 100 saved up, 80 earned by 400 requests, and ten for each second that this took.
        assert!((180.0..=330.0).contains(&made), "{made} retries");
    });
}

#[test]
fn a_kept_connection_that_closes_as_it_is_used_costs_no_get_and_repeats_no_post() {
    run(async {
        let requests = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&requests);
        // Answers the first request of each connection and closes it at the second.
        let service = Service::raw(move |mut stream| {
            let counted = Arc::clone(&counted);
            async move {
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                if matches!(stream.read(&mut buffer).await, Ok(count) if count > 0) {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            }
        })
        .await;
        let rig = Rig::start(vec![node(service.address, 1)]).await;
        let mut client = Raw::connect(rig.address).await;
        for _ in 0..10 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(client.answer().await.text(), "ok");
        }
        assert_eq!(rig.metric("retries_total", "reason=\"stale_connection\"").await, 9.0);
        let before = requests.load(Ordering::SeqCst);
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(client.answer().await.error_code(), Some("upstream_disconnected"));
        assert_eq!(requests.load(Ordering::SeqCst), before + 1);
    });
}

#[test]
fn a_timeout_is_not_tried_on_another_node() {
    run(async {
        let silent = || {
            Service::raw(|mut stream| async move {
                let mut buffer = [0; 4096];
                while matches!(stream.read(&mut buffer).await, Ok(count) if count > 0) {}
            })
        };
        let (one, two) = (silent().await, silent().await);
        let rig = Rig::with(vec![node(one.address, 1), node(two.address, 1)], |settings| {
            settings.response_timeout = Some("200ms".to_owned());
        })
        .await;
        let answer = rig.get("/").await;
        assert_eq!((answer.status, answer.error_code()), (504, Some("response_timeout")));
        assert_eq!(one.connections() + two.connections(), 1, "what is slow is not made slower by more of it");
    });
}
