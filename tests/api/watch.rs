//! The feed as server-sent events.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::Instant;

use crate::support::events::{Event, Events};
use crate::support::{ADMIN, Options, SOON, Server, one, until};

const WATCH: &str = "/api/upstream/watch";

async fn open(server: &Server, query: &str) -> Events {
    Events::open(server.request(Method::GET, &format!("{WATCH}{query}"))).await
}

async fn resume(server: &Server, query: &str, after: u64) -> Events {
    let request = server.request(Method::GET, &format!("{WATCH}{query}"));
    Events::open(request.header("last-event-id", after)).await
}

/// Registers a node and tells the revision.
async fn register(server: &Server, ns: &str, port: u16) -> u64 {
    let body = json!({"ns": ns, "host": "h", "port": port});
    let registered = server.post("/api/upstream/node/register", body).await;
    registered.data();
    registered.header("x-kenger-revision").unwrap().parse().unwrap()
}

fn ports(event: &Event) -> Vec<u64> {
    let changes = event.data["changes"].as_array().unwrap().iter();
    changes.filter_map(|change| change["node"]["port"].as_u64()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_with_nothing_gets_a_snapshot_and_then_each_change() {
    let server = one(Options::default()).await;
    let revision = register(&server, "a", 1).await;
    let mut events = open(&server, "").await;
    let snapshot = events.snapshot().await;
    assert_eq!(snapshot.id, Some(revision));
    assert_eq!(snapshot.data["revision"], revision);
    assert_eq!(snapshot.data["cluster_id"], server.member.cluster_id().unwrap().to_string());
    assert_eq!(snapshot.data["namespaces"][0]["name"], "a");
    assert_eq!(snapshot.data["nodes"][0]["port"], 1);
    for port in 2..20 {
        let revision = register(&server, "a", port).await;
        let change = events.expect("change").await;
        assert_eq!((change.id, ports(&change)), (Some(revision), vec![u64::from(port)]));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_changes_of_a_revision_come_in_one_event() {
    let server = one(Options::default()).await;
    register(&server, "a", 1).await;
    let mut events = open(&server, "").await;
    events.snapshot().await;
    // Makes the namespace, too.
    register(&server, "b", 1).await;
    let change = events.expect("change").await;
    let types: Vec<_> =
        change.data["changes"].as_array().unwrap().iter().map(|change| &change["type"]).collect();
    assert_eq!(types, ["namespace_put", "node_put"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_resumes_gets_a_bookmark_and_what_was_missed_without_a_gap() {
    let server = one(Options::default()).await;
    let first = register(&server, "a", 1).await;
    let revisions = [register(&server, "a", 2).await, register(&server, "a", 3).await];
    let by_header = resume(&server, "", first).await;
    let by_since = open(&server, &format!("?since={first}")).await;
    let by_parameter = open(&server, &format!("?last_event_id={first}")).await;
    // The header is what a browser sends when it comes back to the same address.
    let both = resume(&server, "?since=0", first).await;
    for mut events in [by_header, by_since, by_parameter, both] {
        let bookmark = events.expect("bookmark").await;
        assert_eq!((bookmark.id, &bookmark.data["revision"]), (Some(first), &json!(first)));
        assert_eq!(bookmark.data["cluster_id"], server.member.cluster_id().unwrap().to_string());
        assert_eq!(bookmark.data["leader"]["api"], server.address.to_string());
        for (revision, port) in revisions.into_iter().zip(2..) {
            let change = events.expect("change").await;
            assert_eq!((change.id, ports(&change)), (Some(revision), vec![port]));
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_everything_gets_a_bookmark_at_once() {
    let server = one(Options::default()).await;
    let revision = register(&server, "a", 1).await;
    let started = Instant::now();
    let mut events = resume(&server, "", revision).await;
    assert_eq!(events.expect("bookmark").await.id, Some(revision));
    assert!(started.elapsed() < Duration::from_secs(4), "before the idle one is due");
    let next = register(&server, "a", 2).await;
    assert_eq!(events.expect("change").await.id, Some(next));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_is_too_old_or_of_another_history_gets_a_snapshot() {
    let server = one(Options { feed_ring_revisions: 4, ..Options::default() }).await;
    let mut last = 0;
    for port in 1..=10 {
        last = register(&server, "a", port).await;
    }
    for cursor in [1, last - 5, last + 1, u64::MAX] {
        let snapshot = resume(&server, "", cursor).await.snapshot().await;
        assert_eq!(snapshot.id, Some(last), "cursor {cursor}");
    }
    resume(&server, "", last - 3).await.expect("bookmark").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_gets_its_namespaces_alone_and_is_told_how_far_the_others_have_come() {
    let server = one(Options::default()).await;
    let first = register(&server, "a", 1).await;
    register(&server, "b", 1).await;
    let mut events = open(&server, "?ns=a,c").await;
    let snapshot = events.snapshot().await;
    assert_eq!(snapshot.data["namespaces"].as_array().unwrap().len(), 1);
    assert_eq!(snapshot.data["nodes"].as_array().unwrap().len(), 1);
    register(&server, "b", 2).await;
    let revision = register(&server, "c", 7).await;
    let change = events.expect("change").await;
    assert_eq!((change.id, ports(&change)), (Some(revision), vec![7]));
    // Nothing of `a` since the first, but the cursor moves on.
    let mut quiet = resume(&server, "?ns=a", first).await;
    assert_eq!(quiet.expect("bookmark").await.id, Some(revision));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_stream_tells_every_five_seconds_how_far_the_feed_has_come() {
    let server = one(Options::default()).await;
    register(&server, "a", 1).await;
    let mut events = open(&server, "?ns=a").await;
    events.snapshot().await;
    let started = Instant::now();
    let elsewhere = register(&server, "b", 1).await;
    let bookmark = events.expect("bookmark").await;
    let took = started.elapsed();
    assert!(Duration::from_secs(4) < took && took < Duration::from_secs(8), "{took:?}");
    assert_eq!(bookmark.id, Some(elsewhere));
    assert_eq!(bookmark.data["member_id"], 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_serves_who_asks_for_the_leader() {
    let server = one(Options::default()).await;
    register(&server, "a", 1).await;
    open(&server, "?from=leader").await.snapshot().await;
    open(&server, "?from=any").await.snapshot().await;
    open(&server, "?consistency=stale").await.snapshot().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_streams_are_counted() {
    let server = one(Options::default()).await;
    let count = async || {
        let metrics = server.get("/metrics").await.text;
        let line = metrics.lines().find_map(|line| line.strip_prefix("kenger_watch_streams "));
        line.unwrap_or_else(|| panic!("{metrics}")).parse::<u64>().unwrap()
    };
    assert_eq!(count().await, 0);
    let streams = [open(&server, "").await, open(&server, "?ns=a").await];
    assert_eq!(count().await, 2);
    drop(streams);
    until("closed streams are not counted", || async { count().await == 0 }).await;
    server.stop().await;
}

/// Opens a stream whose receiver takes little, so that the member notices soon that it does not read.
async fn open_narrow(address: SocketAddr) -> tokio::net::TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let request =
        format!("GET {WATCH} HTTP/1.1\r\nHost: x\r\nX-API-Token: {ADMIN}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_does_not_read_is_cut_off_and_resumes_with_a_snapshot() {
    let server = one(Options { feed_ring_revisions: 8, ..Options::default() }).await;
    let mut slow = open_narrow(server.address).await;
    let mut begin = [0; 12];
    slow.read_exact(&mut begin).await.unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200");
    let mut fast = open(&server, "").await;
    fast.snapshot().await;

    // 16 KiB an event: more than the sockets hold, and many times the ring.
    let metadata: serde_json::Map<_, _> =
        (0..32).map(|i| (format!("k{i}"), json!("x".repeat(500)))).collect();
    let mut last = 0;
    for port in 1..=600 {
        let body = json!({"ns": "a", "host": "h", "port": port, "metadata": metadata});
        let registered = server.post("/api/upstream/node/register", body).await;
        last = registered.header("x-kenger-revision").unwrap().parse::<u64>().unwrap();
        assert_eq!(fast.expect("change").await.id, Some(last), "a slow one does not hold up the others");
    }

    // What was sent before is whole and in order; then comes the end.
    let mut rest = Vec::new();
    tokio::time::timeout(SOON, slow.read_to_end(&mut rest)).await.unwrap().unwrap();
    let text = String::from_utf8(rest).unwrap();
    let ids: Vec<u64> =
        text.lines().filter_map(|line| line.strip_prefix("id: ")).map(|id| id.parse().unwrap()).collect();
    assert_eq!(ids[0], ids[1], "the snapshot, and who tells");
    assert!(ids[1..].windows(2).all(|two| two[0] + 1 == two[1]), "{ids:?}");
    let told = *ids.last().unwrap();
    assert!(told < last, "it was cut off");
    assert!(text.ends_with("\r\n0\r\n\r\n"), "the stream ends as it should");
    assert_eq!(resume(&server, "", told).await.snapshot().await.id, Some(last));
    server.stop().await;
}
