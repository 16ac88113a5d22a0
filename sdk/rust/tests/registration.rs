//! A kept registration over real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code: a panic is a failed test")]

mod common;

use std::time::Duration;

use common::{Member, Reply, builder, client, error, nobody, node_json, ok};
use kenger_sdk::KeepOptions;
use kenger_types::ErrorCode;
use kenger_types::api::{NodeRegister, path};
use serde_json::json;

fn node() -> NodeRegister {
    serde_json::from_value(json!({"ns": "demo", "host": "127.0.0.1", "port": 8080, "ttl_seconds": 1}))
        .unwrap()
}

/// A registry that forgets the node once, at the second heartbeat.
async fn forgetful() -> Member {
    let heartbeats = std::sync::atomic::AtomicUsize::new(0);
    Member::start(move |_, request| match request.target.as_str() {
        path::NODE_REGISTER | path::NODE_DEREGISTER => ok(&node_json(8080)),
        path::HEARTBEAT if heartbeats.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 1 => {
            error(ErrorCode::NodeNotFound, "there is no such node")
        }
        _ => ok(&json!({"status": "online", "ttl_seconds": 1})),
    })
    .await
}

#[tokio::test]
async fn a_node_is_registered_kept_registered_again_and_deregistered() {
    let member = forgetful().await;
    let dead = nobody().await;
    let client = builder().endpoints([dead, member.url()]).build().unwrap();
    let registration = client.register_and_keep(node(), KeepOptions::default());
    registration.registered().await.unwrap();
    let mut status = registration.status();
    let again = status.wait_for(|status| status.registrations == 2);
    tokio::time::timeout(Duration::from_secs(20), again).await.expect("registered again").unwrap();
    registration.stop().await.unwrap();
    let paths: Vec<String> = member.seen().into_iter().map(|request| request.target).collect();
    let expected =
        [path::NODE_REGISTER, path::HEARTBEAT, path::HEARTBEAT, path::NODE_REGISTER, path::NODE_DEREGISTER];
    assert_eq!(paths, expected);
}

#[tokio::test]
async fn a_member_that_hangs_does_not_cost_the_node_its_time_to_live() {
    let hanging = Member::answering(Reply::Hang).await;
    let healthy = Member::answering(ok(&node_json(8080))).await;
    let registration = client(&[&hanging, &healthy]).register_and_keep(node(), KeepOptions::default());
    let before = tokio::time::Instant::now();
    registration.registered().await.unwrap();
    // A third of the time to live of one second, halved: with room for a slow machine.
    assert!(before.elapsed() < Duration::from_millis(450), "{:?}", before.elapsed());
    assert_eq!((hanging.count(), healthy.count()), (1, 1));
}

#[tokio::test]
async fn the_only_member_that_hangs_once_does_not_cost_the_node_its_time_to_live() {
    let member = Member::start(|number, request| match request.target.as_str() {
        path::HEARTBEAT if number == 1 => Reply::Hang,
        path::HEARTBEAT => ok(&json!({"status": "online", "ttl_seconds": 1})),
        _ => ok(&node_json(8080)),
    })
    .await;
    let registration = client(&[&member]).register_and_keep(node(), KeepOptions::default());
    registration.registered().await.unwrap();
    let mut status = registration.status();
    let first = status.borrow().confirmed_at.expect("registered");
    let again = status.wait_for(|status| status.confirmed_at > Some(first));
    tokio::time::timeout(Duration::from_secs(5), again).await.expect("confirmed again").unwrap();
    let silent = registration.status().borrow().confirmed_at.unwrap() - first;
    assert!(
        silent < Duration::from_secs(1),
        "its time to live is a second, and it was silent for {silent:?}"
    );
}
