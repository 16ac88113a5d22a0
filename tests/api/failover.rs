//! Three members: every one answers, and what happens to reads and streams without a leader.

use reqwest::Method;
use serde_json::json;

use crate::support::events::Events;
use crate::support::{ADMIN, Options, Server, answer, cluster, never_started, until};

/// The leader, and the others.
fn split(mut servers: Vec<Server>) -> (Server, Vec<Server>) {
    let leader = servers.iter().position(|server| server.member.leadership().is_leader).unwrap();
    let leader = servers.remove(leader);
    (leader, servers)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_member_takes_every_request_and_reads_see_what_was_written_anywhere() {
    let servers = cluster(3, Options::default()).await;
    for (port, writer) in (1..).zip(&servers) {
        let node = json!({"ns": "a", "host": "h", "port": port});
        writer.post("/api/upstream/node/register", node.clone()).await.data();
        for reader in &servers {
            let listed = reader.get("/api/upstream/node/list").await;
            assert_eq!(listed.data().as_array().unwrap().len(), port);
            assert!(listed.data()[0]["last_heartbeat"].is_string());
            assert_eq!(reader.post("/api/upstream/heartbeat", node.clone()).await.data()["status"], "online");
        }
    }
    let tags: Vec<_> = {
        let mut tags = Vec::new();
        for server in &servers {
            tags.push(server.get("/api/upstream/sync").await.header("etag").unwrap().to_owned());
        }
        tags
    };
    assert!(tags.iter().all(|tag| *tag == tags[0]), "a tag is good on each member: {tags:?}");
    for server in servers {
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_a_follower_for_the_leaders_feed_is_sent_to_the_leader() {
    let (leader, followers) = split(cluster(3, Options::default()).await);
    let path = "/api/upstream/watch?ns=a,b&from=leader";
    let redirect = followers[0].get(path).await;
    assert_eq!(redirect.status, 307);
    assert_eq!(redirect.header("location"), Some(&*format!("http://{}{path}", leader.address)));
    // Plain curl works anywhere.
    let mut events = Events::open(followers[0].request(Method::GET, "/api/upstream/watch")).await;
    events.snapshot().await;
    let node = json!({"ns": "a", "host": "h", "port": 1});
    leader.post("/api/upstream/node/register", node).await.data();
    events.expect("change").await;
    for server in followers.into_iter().chain([leader]) {
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_leader_stops_its_streams_end_and_the_feed_goes_on_elsewhere_without_a_gap() {
    let (leader, followers) = split(cluster(3, Options::default()).await);
    let register = async |server: &Server, port: u16| {
        let node = json!({"ns": "a", "host": "h", "port": port});
        let registered = server.post("/api/upstream/node/register", node).await;
        registered.data();
        registered.header("x-kenger-revision").unwrap().parse::<u64>().unwrap()
    };
    register(&leader, 1).await;
    let mut events = Events::open(leader.request(Method::GET, "/api/upstream/watch?from=leader")).await;
    let told = events.snapshot().await.id.unwrap();
    leader.stop().await;
    events.expect("leader").await;
    assert_eq!(events.next().await, None);

    until("another member leads", || async { followers.iter().any(|f| f.member.leadership().is_leader) })
        .await;
    let revision = register(&followers[0], 2).await;
    assert_eq!(revision, told + 1);
    for follower in &followers {
        let request = follower.request(Method::GET, "/api/upstream/watch").header("last-event-id", told);
        let mut events = Events::open(request).await;
        assert_eq!(events.expect("bookmark").await.id, Some(told));
        assert_eq!(events.expect("change").await.id, Some(revision));
    }
    for server in followers {
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_reads_fail_streams_end_and_stale_reads_say_how_stale_they_are() {
    let (leader, mut followers) = split(cluster(3, Options::default()).await);
    let node = json!({"ns": "a", "host": "h", "port": 1});
    leader.post("/api/upstream/node/register", node.clone()).await.data();
    let left = followers.remove(0);
    left.get("/api/upstream/sync").await.data();
    let mut plain = Events::open(left.request(Method::GET, "/api/upstream/watch")).await;
    plain.snapshot().await;
    leader.stop().await;
    followers.remove(0).stop().await;

    until("the last member is not ready", || async { left.get("/readyz").await.status == 503 }).await;
    assert_eq!(left.get("/healthz").await.status, 200);
    let end = loop {
        let event = plain.next().await.expect("the reason of the end");
        if event.name != "bookmark" {
            break event;
        }
    };
    assert_eq!(end.name, "leader");

    for path in [
        "/api/upstream/sync",
        "/api/upstream/node/list",
        "/api/upstream/namespace/list",
        "/api/upstream/watch",
    ] {
        let refused = left.get(path).await;
        assert_eq!((refused.status, refused.error()), (503, "no_leader"), "{path}");
        assert_eq!(refused.header("retry-after"), Some("1"));
        if path != "/api/upstream/watch" {
            let stale = left.get(&format!("{path}?consistency=stale")).await;
            stale.data();
            assert!(stale.header("x-kenger-leader-lag-ms").unwrap().parse::<u64>().unwrap() > 0, "{path}");
            assert!(stale.header("x-kenger-revision").is_some());
        }
    }
    let leaders = answer(left.bare(Method::GET, "/api/upstream/watch?from=leader").bearer_auth(ADMIN)).await;
    assert_eq!((leaders.status, leaders.error()), (503, "no_leader"));
    let write = left.post("/api/upstream/node/register", node.clone()).await;
    assert_eq!((write.status, write.error()), (503, "no_leader"));
    let heartbeat = left.post("/api/upstream/heartbeat", node).await;
    assert_eq!((heartbeat.status, heartbeat.error()), (503, "no_leader"));
    let stale = left.request(Method::GET, "/api/upstream/watch?consistency=stale");
    Events::open(stale).await.snapshot().await;
    left.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_cluster_was_never_started_tells_nobody_that_there_is_nothing() {
    let server = never_started(Options::default()).await;
    assert_eq!(server.get("/healthz").await.status, 200);
    for path in [
        "/api/upstream/sync",
        "/api/upstream/node/list",
        "/api/upstream/namespace/list",
        "/api/upstream/watch",
    ] {
        let stale = server.get(&format!("{path}?consistency=stale")).await;
        assert_eq!((stale.status, stale.error()), (503, "not_ready"), "{path}: {}", stale.text);
        let refused = server.get(path).await;
        assert_eq!((refused.status, refused.error()), (503, "no_leader"), "{path}: {}", refused.text);
    }
    server.stop().await;
}
