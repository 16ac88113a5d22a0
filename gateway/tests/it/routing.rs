//! Which node gets a request, and how soon a change counts.

use std::collections::HashMap;
use std::time::Duration;

use kenger_types::{NodeStatus, Weight};

use crate::support::{Rig, Service, eventually, node, run};

async fn counts(rig: &Rig, requests: usize) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    let mut client = crate::support::Raw::connect(rig.address).await;
    for _ in 0..requests {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        *counts.entry(answer.text()).or_default() += 1;
    }
    counts
}

#[test]
fn traffic_follows_the_weights() {
    run(async {
        let (v1, v2) = (Service::named("v1").await, Service::named("v2").await);
        let rig = Rig::start(vec![node(v1.address, 90), node(v2.address, 10)]).await;
        let counts = counts(&rig, 2_000).await;
        let v2 = counts["v2"];
        // The expectation is 200, its standard deviation 13.4: six of them on each side.
        assert!((120..=280).contains(&v2), "{counts:?}");
    });
}

#[test]
fn weight_zero_gets_no_traffic_at_once() {
    run(async {
        let (v1, v2) = (Service::named("v1").await, Service::named("v2").await);
        let rig = Rig::start(vec![node(v1.address, 100), node(v2.address, 100)]).await;
        assert_eq!(counts(&rig, 100).await.len(), 2);
        rig.registry.put(node(v2.address, 0));
        rig.caught_up().await;
        let before = v2.requests();
        assert_eq!(counts(&rig, 200).await, HashMap::from([("v1".to_owned(), 200)]));
        assert_eq!(v2.requests(), before);
    });
}

#[test]
fn scaling_down_to_weight_zero_fails_no_request() {
    run(async {
        let (v1, v2) = (Service::named("v1").await, Service::named("v2").await);
        let rig = Rig::start(vec![node(v1.address, 100), node(v2.address, 100)]).await;
        let mut client = crate::support::Raw::connect(rig.address).await;
        for step in 0..60_u16 {
            rig.registry.put(node(v2.address, 100_u16.saturating_sub(step * 2)));
            for _ in 0..5 {
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
                assert_eq!(client.answer().await.status, 200);
            }
        }
        rig.registry.delete(&node(v2.address, 0));
        rig.caught_up().await;
        assert_eq!(counts(&rig, 50).await, HashMap::from([("v1".to_owned(), 50)]));
    });
}

#[test]
fn an_offline_node_gets_no_traffic() {
    run(async {
        let (v1, v2) = (Service::named("v1").await, Service::named("v2").await);
        let mut offline = node(v2.address, 100);
        offline.status = NodeStatus::Offline;
        let rig = Rig::start(vec![node(v1.address, 1), offline]).await;
        assert_eq!(counts(&rig, 100).await, HashMap::from([("v1".to_owned(), 100)]));
    });
}

#[test]
fn a_change_counts_within_50_ms() {
    run(async {
        let (v1, v2) = (Service::named("v1").await, Service::named("v2").await);
        let rig = Rig::start(vec![node(v1.address, 100), node(v2.address, 0)]).await;
        let mut slowest = Duration::ZERO;
        for round in 0..40 {
            let (to, from) = if round % 2 == 0 { (&v2, &v1) } else { (&v1, &v2) };
            rig.registry.put(node(to.address, 100));
            let began = tokio::time::Instant::now();
            rig.registry.put(node(from.address, 0));
            let target = to.requests();
            let mut client = crate::support::Raw::connect(rig.address).await;
            let mut streak = 0;
            while streak < 5 {
                let before = to.requests();
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
                client.answer().await;
                streak = if to.requests() > before { streak + 1 } else { 0 };
            }
            assert!(to.requests() > target);
            slowest = slowest.max(began.elapsed());
        }
        // Promised for one machine at rest; the tests may share theirs with a compiler.
        assert!(slowest < Duration::from_millis(500), "the slowest change took {slowest:?}");
    });
}

#[test]
fn idle_connections_to_a_node_that_left_the_table_are_closed() {
    run(async {
        let (v1, v2) = (
            Service::named("v1").await,
            Service::raw(|mut stream| async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut buffer = [0; 4096];
                while let Ok(count) = stream.read(&mut buffer).await {
                    if count == 0 {
                        CLOSED.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        return;
                    }
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nv2").await;
                }
            })
            .await,
        );
        let rig = Rig::start(vec![node(v1.address, 1), node(v2.address, 100)]).await;
        assert!(counts(&rig, 50).await.contains_key("v2"));
        assert_eq!(CLOSED.load(std::sync::atomic::Ordering::SeqCst), 0);
        rig.registry.put({
            let mut drained = node(v2.address, 0);
            drained.weight = Weight::ZERO;
            drained
        });
        let opened = v2.connections();
        eventually("all of its connections are closed", async || {
            CLOSED.load(std::sync::atomic::Ordering::SeqCst) == opened
        })
        .await;
    });
    static CLOSED: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
}
