//! What a member cannot tell any more is told as a snapshot, and who does not listen is cut off.

use std::collections::BTreeMap;
use std::time::Duration;

use jepsen_tests::harness::{Api, Cluster, Settings, Sse, SseEvent, SseParser};
use jepsen_tests::observe::{Replica, Watcher};
use kenger_types::Metadata;
use kenger_types::feed::{ChangeEvent, SnapshotEvent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::timeout;

use crate::agreement::{AGREE_LIMIT, agreed_nodes, place};

const RING: u64 = 16;

async fn cluster_with_a_small_ring() -> Cluster {
    Cluster::start(Settings { feed_ring: RING, ..Settings::default() }).await
}

/// The first event that is not a bookmark.
async fn first_news(feed: &mut Sse) -> SseEvent {
    loop {
        let event = feed.expect(AGREE_LIMIT).await;
        if event.name != "bookmark" {
            return event;
        }
    }
}

#[tokio::test]
async fn a_cursor_that_is_too_old_or_from_elsewhere_gets_a_snapshot_and_never_a_gap() {
    let cluster = cluster_with_a_small_ring().await;
    let api = cluster.api(cluster.wait_for_leader().await);
    let last = 3 * RING;
    for port in 1..=last {
        let node = place("ring", u16::try_from(port).unwrap());
        api.register(&node, Metadata::default()).await.acknowledged();
    }
    let nodes = agreed_nodes(&cluster).await;
    for id in cluster.ids() {
        let api = cluster.api(id);
        for too_old in [0, 1, last - RING - 1] {
            let mut feed = Sse::open(&api, Some(too_old)).await.unwrap();
            let event = first_news(&mut feed).await;
            assert_eq!((event.name.as_str(), event.id), ("snapshot", Some(last)), "from {too_old}");
            let mut replica = Replica::default();
            replica.replace(serde_json::from_str::<SnapshotEvent>(&event.data).unwrap());
            assert_eq!(replica.differences(&nodes), Vec::<String>::new());
        }
        let mut recent = Sse::open(&api, Some(last - RING / 2)).await.unwrap();
        let event = first_news(&mut recent).await;
        assert_eq!((event.name.as_str(), event.id), ("change", Some(last - RING / 2 + 1)));
        // Ahead of this cluster's history: of another cluster, or of one that was restored.
        let mut ahead = Sse::open(&api, Some(last + 1_000)).await.unwrap();
        let event = first_news(&mut ahead).await;
        assert_eq!((event.name.as_str(), event.id), ("snapshot", Some(last)));
    }
}

/// As much metadata as a node may have, so that few changes fill the buffers between two processes.
fn bulky(filling: &str) -> Metadata {
    let pairs = (0..32).map(|n| (format!("key-{n}"), filling.repeat(512)));
    pairs.collect::<BTreeMap<_, _>>().try_into().unwrap()
}

/// Reads a feed that was not read for long, until the member has cut it off.
async fn rest_of(mut stream: tokio::net::TcpStream) -> Vec<SseEvent> {
    let mut text = Vec::new();
    timeout(AGREE_LIMIT, stream.read_to_end(&mut text)).await.expect("the member cuts it off").ok();
    let body = text.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    assert!(text.starts_with(b"HTTP/1.0 200") || text.starts_with(b"HTTP/1.1 200"));
    let mut parser = SseParser::default();
    parser.feed(&text[body..]);
    parser.events.into()
}

/// Subscribes and does not read. HTTP/1.0, so that the body is not in chunks.
async fn deaf_subscriber(address: &str, api: &Api, token: &str) -> tokio::net::TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let mut stream = socket.connect(address.parse().unwrap()).await.unwrap();
    let path = kenger_types::api::path::WATCH;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\nX-API-Token: {token}\r\n\r\n", api.member);
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_is_cut_off_and_holds_up_nobody() {
    let cluster = cluster_with_a_small_ring().await;
    let leader = cluster.wait_for_leader().await;
    let api = cluster.api(leader);
    let deaf = deaf_subscriber(&cluster.api_address(leader), &api, &cluster.settings().token).await;
    let attentive = Watcher::start(cluster.apis(), 0);

    // Far more than the ring and the buffers between the processes hold.
    let node = place("bulky", 80);
    for round in 0..400 {
        let metadata = bulky(if round % 2 == 0 { "a" } else { "b" });
        let written = timeout(Duration::from_secs(5), api.register(&node, metadata)).await;
        written.expect("a deaf subscriber holds up no write").acknowledged();
    }
    let last = api.status().await.unwrap().revision.0;
    attentive.finish(last, AGREE_LIMIT).await;

    // What was sent before the end has no gap, and the end came early.
    let mut replica = Replica::default();
    for event in rest_of(deaf).await {
        match event.name.as_str() {
            "snapshot" => replica.replace(serde_json::from_str::<SnapshotEvent>(&event.data).unwrap()),
            "change" => replica.apply(serde_json::from_str::<ChangeEvent>(&event.data).unwrap()).unwrap(),
            _ => {}
        }
    }
    assert!(replica.revision + RING < last, "it was told everything up to {}", replica.revision);

    // It comes back where it was, and knows everything again.
    let mut feed = Sse::open(&api, Some(replica.revision)).await.unwrap();
    let event = first_news(&mut feed).await;
    assert_eq!(event.name, "snapshot");
    replica.replace(serde_json::from_str::<SnapshotEvent>(&event.data).unwrap());
    assert_eq!(replica.differences(&agreed_nodes(&cluster).await), Vec::<String>::new());
}
