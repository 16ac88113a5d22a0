//! The watch over real sockets: resumption, the leader, foreign and broken streams.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code: a panic is a failed test")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Member, Reply, Request, client, error, nobody, raw_reply};
use kenger_sdk::{DisconnectReason, Watch, WatchEvent, WatchOptions};
use kenger_types::{ClusterId, ErrorCode, Revision};
use serde_json::{Value, json};
use tokio::time::Instant;

const OURS: &str = "00000000000000000000000000000001";
const FOREIGN: &str = "00000000000000000000000000000002";
/// Far more than any step of these tests takes.
const PATIENCE: Duration = Duration::from_secs(20);

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

fn event(name: &str, body: &Value) -> String {
    format!("event: {name}\nid: {}\ndata: {body}\n\n", body["revision"])
}

fn bookmark_of(cluster: &str, revision: u64, leader: Option<(u64, &str)>) -> String {
    let leader = leader.map(|(id, api)| json!({"id": id, "api": api}));
    event("bookmark", &json!({"cluster_id": cluster, "revision": revision, "member_id": 1, "leader": leader}))
}

fn bookmark(revision: u64) -> String {
    bookmark_of(OURS, revision, None)
}

fn snapshot(revision: u64) -> String {
    event("snapshot", &json!({"cluster_id": OURS, "revision": revision, "namespaces": [], "nodes": []}))
}

fn change(revision: u64) -> String {
    let gone = json!({"type": "namespace_deleted", "id": revision, "name": "demo"});
    event("change", &json!({"revision": revision, "changes": [gone]}))
}

fn leader_lost(leader: Option<&str>) -> String {
    let leader = leader.map(|api| json!({"id": 2, "api": api}));
    event("leader", &json!({"cluster_id": OURS, "reason": "it handed over", "leader": leader}))
}

/// A stream that is cut after these events.
fn cut(events: &[String]) -> Reply {
    Reply::BytesAndClose((HEAD.to_owned() + &events.concat()).into_bytes())
}

/// A stream that stays open after these events.
fn open(events: &[String]) -> Reply {
    Reply::Bytes((HEAD.to_owned() + &events.concat()).into_bytes())
}

fn watch(members: &[&Member], options: WatchOptions) -> Watch {
    client(members).watch(WatchOptions { seed: Some(1), ..options }).unwrap()
}

/// A short name for each event.
fn short(event: &WatchEvent) -> String {
    match event {
        WatchEvent::Connected(_) => "connected".to_owned(),
        WatchEvent::Snapshot(event) => format!("snapshot {}", event.revision),
        WatchEvent::Change(event) => format!("change {}", event.revision),
        WatchEvent::Bookmark(event) => format!("bookmark {}", event.revision),
        WatchEvent::Disconnected(event) => {
            let reason = format!("{:?}", event.reason);
            let name = reason.split(['(', ' ', '{']).next().unwrap();
            format!("disconnected {name}")
        }
    }
}

async fn next(watch: &mut Watch) -> WatchEvent {
    tokio::time::timeout(PATIENCE, watch.next()).await.expect("an event in time")
}

async fn events(watch: &mut Watch, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < count {
        all.push(short(&next(watch).await));
    }
    all
}

fn cursors(member: &Member) -> Vec<Option<String>> {
    member.seen().iter().map(|request| request.header("last-event-id").map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_watch_without_a_cursor_begins_with_a_snapshot() {
    let member = Member::answering(open(&[bookmark(5), snapshot(5), change(6), change(7)])).await;
    let mut watch = watch(&[&member], WatchOptions::default());
    assert_eq!(events(&mut watch, 4).await, ["connected", "snapshot 5", "change 6", "change 7"]);
    assert_eq!(watch.revision(), Some(Revision(7)));
    assert_eq!(watch.cluster_id(), Some(ClusterId(1)));
    let request = &member.seen()[0];
    assert_eq!(request.target, "/api/upstream/watch");
    assert_eq!(request.header("authorization"), Some("Bearer secret"));
    assert_eq!(request.header("last-event-id"), None);
}

#[tokio::test]
async fn a_stream_that_begins_with_a_snapshot_tells_who_speaks_as_far_as_it_is_known() {
    let member = Member::answering(open(&[snapshot(5), change(6)])).await;
    let mut watch = watch(&[&member], WatchOptions::default());
    let WatchEvent::Connected(first) = next(&mut watch).await else { panic!("not connected") };
    assert_eq!((first.endpoint.to_string(), first.cluster_id), (member.url(), ClusterId(1)));
    assert_eq!(events(&mut watch, 2).await, ["snapshot 5", "change 6"]);
}

#[tokio::test]
async fn a_cut_stream_is_resumed_after_the_last_whole_event() {
    let half = change(8);
    let half = half[..half.len() - 1].to_owned();
    let first = cut(&[bookmark(5), snapshot(5), change(6), change(7), half]);
    let member = Member::playing(vec![first, open(&[bookmark(7), change(7), change(8)])]).await;
    let mut watch = watch(&[&member], WatchOptions::default());
    let expected =
        ["connected", "snapshot 5", "change 6", "change 7", "disconnected Ended", "connected", "change 8"];
    assert_eq!(events(&mut watch, 7).await, expected);
    assert_eq!(cursors(&member), [None, Some("7".to_owned())]);
}

#[tokio::test]
async fn another_member_goes_on_where_the_first_one_died() {
    let first = Member::playing(vec![cut(&[bookmark(5), snapshot(5), change(6)]), Reply::Reset]).await;
    let second = Member::answering(open(&[bookmark(6), change(7)])).await;
    let mut watch = watch(&[&first, &second], WatchOptions::default());
    let all = events(&mut watch, 7).await;
    let expected = ["disconnected Ended", "disconnected Connection", "connected", "change 7"];
    assert_eq!(all[3..], expected);
    assert_eq!(cursors(&second), [Some("6".to_owned())]);
}

#[tokio::test]
async fn the_caller_can_go_on_where_it_was_before_a_restart() {
    let member = Member::answering(open(&[bookmark(40), change(41)])).await;
    let options = WatchOptions {
        last_revision: Some(Revision(40)),
        expected_cluster: Some(ClusterId(1)),
        ..WatchOptions::default()
    };
    let mut watch = watch(&[&member], options);
    assert_eq!(events(&mut watch, 2).await, ["connected", "change 41"]);
    assert_eq!(cursors(&member), [Some("40".to_owned())]);
}

#[tokio::test]
async fn a_redirect_to_the_leader_is_followed_with_the_token() {
    let leader = Member::answering(open(&[bookmark(5), snapshot(5)])).await;
    let location = format!("location: {}/api/upstream/watch?ns=demo\r\n", leader.url());
    let follower = Member::answering(raw_reply(307, &location, b"")).await;
    let options = WatchOptions {
        from_leader: true,
        namespaces: vec!["demo".parse().unwrap()],
        ..WatchOptions::default()
    };
    let mut watch = watch(&[&follower], options);
    assert_eq!(events(&mut watch, 2).await, ["connected", "snapshot 5"]);
    let request = &leader.seen()[0];
    assert_eq!(request.target, "/api/upstream/watch?ns=demo&from=leader");
    assert_eq!(request.header("authorization"), Some("Bearer secret"));
    assert_eq!(follower.count(), 1);
}

#[tokio::test]
async fn when_the_lead_changes_the_watch_goes_to_the_new_leader_at_once() {
    let next_leader = Member::answering(open(&[bookmark(6), change(7)])).await;
    let address = next_leader.address.to_string();
    let leader = Member::playing(vec![
        cut(&[bookmark(5), snapshot(5), change(6), leader_lost(Some(&address))]),
        Reply::Reset,
    ])
    .await;
    let mut watch = watch(&[&leader], WatchOptions { from_leader: true, ..WatchOptions::default() });
    assert_eq!(events(&mut watch, 4).await[3], "disconnected LeaderLost");
    assert_eq!(events(&mut watch, 2).await, ["connected", "change 7"]);
    assert_eq!(leader.count(), 1, "nobody else was asked in between");
}

#[tokio::test]
async fn the_leader_that_a_bookmark_named_is_asked_first_after_a_break() {
    let leader = Member::answering(open(&[bookmark(5), change(6)])).await;
    let address = leader.address.to_string();
    let hint = bookmark_of(OURS, 5, Some((2, &address)));
    let member = Member::playing(vec![cut(&[hint, snapshot(5)]), Reply::Reset]).await;
    let mut watch = watch(&[&member], WatchOptions { from_leader: true, ..WatchOptions::default() });
    assert_eq!(
        events(&mut watch, 5).await,
        ["connected", "snapshot 5", "disconnected Ended", "connected", "change 6"]
    );
    assert_eq!((member.count(), leader.count()), (1, 1));
}

#[tokio::test]
async fn another_member_will_do_while_the_leader_cannot_be_connected_to() {
    let location = format!("location: {}/api/upstream/watch\r\n", nobody().await);
    let follower = Member::start(move |_, request: &Request| {
        if request.target.contains("from=leader") {
            raw_reply(307, &location, b"")
        } else {
            open(&[bookmark(5), snapshot(5)])
        }
    })
    .await;
    let mut watch = watch(&[&follower], WatchOptions { from_leader: true, ..WatchOptions::default() });
    assert_eq!(events(&mut watch, 3).await, ["disconnected Connection", "connected", "snapshot 5"]);
}

/// A follower that names `leader` to those who ask for it, and tells its own feed to the others.
async fn follower_of(leader: &Arc<Mutex<String>>, told: Vec<String>) -> Member {
    let leader = Arc::clone(leader);
    Member::start(move |_, request: &Request| {
        if request.target.contains("from=leader") {
            let location = format!("location: {}/api/upstream/watch\r\n", leader.lock().unwrap());
            raw_reply(307, &location, b"")
        } else {
            open(&told)
        }
    })
    .await
}

#[tokio::test]
async fn the_leader_is_listened_to_as_soon_as_it_can_be_reached_without_a_break() {
    let named = Arc::new(Mutex::new(nobody().await));
    // As a member does that is cut off from the others: it lives, and nothing new comes from it.
    let follower = follower_of(&named, vec![bookmark(5), snapshot(5), change(6)]).await;
    let mut watch = watch(&[&follower], WatchOptions { from_leader: true, ..WatchOptions::default() });
    let beginning = events(&mut watch, 4).await;
    assert_eq!(beginning, ["disconnected Connection", "connected", "snapshot 5", "change 6"]);
    let leader = Member::answering(open(&[bookmark(6), change(6), change(7)])).await;
    *named.lock().unwrap() = leader.url();
    assert_eq!(events(&mut watch, 2).await, ["connected", "change 7"], "no break, and nothing twice");
    assert_eq!(cursors(&leader), [Some("6".to_owned())]);
}

#[tokio::test]
async fn a_leader_that_stands_still_is_left_for_the_next_one_before_its_stream_is_given_up() {
    // Tells where it is and stops, as a member does that is suspended: its connections stay.
    let old = Member::start(|number, _| match number {
        0 => open(&[snapshot(5), bookmark_of(OURS, 5, Some((1, "127.0.0.1:1")))]),
        _ => Reply::Hang,
    })
    .await;
    let new = Member::answering(open(&[bookmark(5), change(6)])).await;
    let follower = follower_of(&Arc::new(Mutex::new(new.url())), Vec::new()).await;
    let options = WatchOptions { from_leader: true, ..WatchOptions::default() };
    let mut watch = watch(&[&old, &follower], options);
    assert_eq!(events(&mut watch, 3).await, ["connected", "snapshot 5", "bookmark 5"]);
    let silent_since = Instant::now();
    assert_eq!(events(&mut watch, 2).await, ["connected", "change 6"]);
    assert!(silent_since.elapsed() < Duration::from_secs(12), "{:?}", silent_since.elapsed());
    assert_eq!(old.count(), 1, "the one that stands still is not asked again");
}

#[tokio::test]
async fn a_foreign_leader_does_not_end_the_stream_of_a_member_that_is_ours() {
    let foreign = Member::answering(open(&[bookmark_of(FOREIGN, 9, Some((1, "127.0.0.1:1")))])).await;
    let named = Arc::new(Mutex::new(nobody().await));
    let follower = follower_of(&named, vec![bookmark(5), snapshot(5)]).await;
    let mut watch = watch(&[&follower], WatchOptions { from_leader: true, ..WatchOptions::default() });
    assert_eq!(events(&mut watch, 3).await, ["disconnected Connection", "connected", "snapshot 5"]);
    *named.lock().unwrap() = foreign.url();
    let told = tokio::time::timeout(Duration::from_secs(6), watch.next()).await;
    assert!(told.is_err(), "{told:?}");
    assert!(foreign.count() >= 2, "it was looked for again and again");
}

#[tokio::test]
async fn members_that_name_each_other_as_leader_are_not_followed_for_ever() {
    let member = Member::start(|_, request: &Request| {
        let host = request.header("host").unwrap();
        raw_reply(307, &format!("location: http://{host}/api/upstream/watch\r\n"), b"")
    })
    .await;
    let mut watch = watch(&[&member], WatchOptions { from_leader: true, ..WatchOptions::default() });
    assert_eq!(events(&mut watch, 1).await, ["disconnected Unavailable"]);
    assert_eq!(member.count(), 5, "the first request and four redirects");
}

#[tokio::test]
async fn a_foreign_cluster_is_reported_and_the_next_endpoint_is_asked() {
    let foreign_snapshot =
        event("snapshot", &json!({"cluster_id": FOREIGN, "revision": 99, "namespaces": [], "nodes": []}));
    let foreign = Member::answering(open(&[bookmark_of(FOREIGN, 99, None), foreign_snapshot])).await;
    let ours = Member::answering(open(&[bookmark(5), snapshot(5)])).await;
    let options = WatchOptions { expected_cluster: Some(ClusterId(1)), ..WatchOptions::default() };
    let mut watch = watch(&[&foreign, &ours], options);
    let WatchEvent::Disconnected(first) = next(&mut watch).await else { panic!("not refused") };
    let expected = DisconnectReason::ForeignCluster { expected: ClusterId(1), found: ClusterId(2) };
    assert_eq!((first.reason, first.endpoint.to_string()), (expected, foreign.url()));
    assert_eq!(events(&mut watch, 2).await, ["connected", "snapshot 5"]);
}

#[tokio::test]
async fn a_gap_is_healed_by_a_snapshot() {
    let member = Member::playing(vec![
        open(&[bookmark(5), snapshot(5), change(7)]),
        open(&[bookmark(8), snapshot(8), change(9)]),
    ])
    .await;
    let mut watch = watch(&[&member], WatchOptions::default());
    let all = events(&mut watch, 6).await;
    assert_eq!(all[2..], ["disconnected Gap", "connected", "snapshot 8", "change 9"]);
    assert_eq!(cursors(&member), [None, None]);
}

#[tokio::test]
async fn with_a_filter_revisions_may_be_skipped_and_bookmarks_move_the_cursor() {
    let first = cut(&[bookmark(5), snapshot(5), change(9), bookmark(20)]);
    let member = Member::playing(vec![first, open(&[bookmark(20)])]).await;
    let namespaces = vec!["demo".parse().unwrap(), "shop".parse().unwrap()];
    let mut watch = watch(&[&member], WatchOptions { namespaces, ..WatchOptions::default() });
    let all = events(&mut watch, 6).await;
    assert_eq!(
        all,
        ["connected", "snapshot 5", "change 9", "bookmark 20", "disconnected Ended", "connected"]
    );
    assert_eq!(member.seen()[0].target, "/api/upstream/watch?ns=demo%2Cshop");
    assert_eq!(cursors(&member), [None, Some("20".to_owned())]);
}

#[tokio::test]
async fn what_cannot_be_read_is_never_told_and_healed_by_a_snapshot() {
    let strange = event("change", &json!({"revision": 6, "changes": [{"type": "of_a_later_version"}]}));
    let garbage = "event: change\ndata: {\"revision\":6,\"changes\":[\n\n".to_owned();
    let invalid_utf8 = {
        let mut bytes = (HEAD.to_owned() + &bookmark(5) + &snapshot(5)).into_bytes();
        bytes.extend_from_slice(
            b"event: change\ndata: {\"revision\":6,\"changes\":[{\"type\":\"\xff\"}]}\n\n",
        );
        Reply::Bytes(bytes)
    };
    for reply in
        [open(&[bookmark(5), snapshot(5), strange]), open(&[bookmark(5), snapshot(5), garbage]), invalid_utf8]
    {
        let member = Member::playing(vec![reply, open(&[bookmark(7), snapshot(7)])]).await;
        let mut watch = watch(&[&member], WatchOptions::default());
        let all = events(&mut watch, 5).await;
        assert_eq!(all[2..], ["disconnected Unreadable", "connected", "snapshot 7"]);
        assert_eq!(cursors(&member), [None, None]);
    }
}

#[tokio::test]
async fn events_of_a_later_version_and_comments_are_passed_over() {
    let later = event("advice", &json!({"revision": 6}));
    let all = [bookmark(5), ": hello\n\n".to_owned(), snapshot(5), later, change(6)];
    let member = Member::answering(open(&all)).await;
    let mut watch = watch(&[&member], WatchOptions::default());
    assert_eq!(events(&mut watch, 3).await, ["connected", "snapshot 5", "change 6"]);
}

#[tokio::test]
async fn answers_that_are_no_feed_are_told_and_tried_again() {
    let member = Member::playing(vec![
        error(ErrorCode::NoLeader, "no leader"),
        error(ErrorCode::Unauthenticated, "no such token"),
        raw_reply(200, "content-type: text/html\r\n", b"<html>"),
        raw_reply(404, "", b"nothing here"),
        raw_reply(307, "location: /elsewhere\r\n", b""),
        Reply::Reset,
        open(&[bookmark(5), snapshot(5)]),
    ])
    .await;
    let mut watch = watch(&[&member], WatchOptions::default());
    let expected = [
        "disconnected Unavailable",
        "disconnected Refused",
        "disconnected Unexpected",
        "disconnected Unexpected",
        "disconnected Unexpected",
        "disconnected Connection",
        "connected",
        "snapshot 5",
    ];
    assert_eq!(events(&mut watch, 8).await, expected);
}

#[tokio::test]
async fn a_lagging_member_does_not_turn_the_clock_back() {
    let first =
        Member::playing(vec![cut(&[bookmark(5), snapshot(5), change(6)]), open(&[bookmark(5), snapshot(5)])])
            .await;
    let second = Member::answering(open(&[bookmark(6), change(7)])).await;
    let options = WatchOptions { stale: true, ..WatchOptions::default() };
    let mut watch = watch(&[&first, &second], options);
    let all = events(&mut watch, 8).await;
    assert_eq!(all[3..], ["disconnected Ended", "connected", "disconnected Behind", "connected", "change 7"]);
}

#[tokio::test]
async fn a_stream_without_events_is_given_up_after_fifteen_seconds() {
    let comments = ": still here\n\n".to_owned();
    let member = Member::answering(open(&[bookmark(5), snapshot(5), comments])).await;
    let mut watch = watch(&[&member], WatchOptions::default());
    assert_eq!(events(&mut watch, 2).await, ["connected", "snapshot 5"]);
    // Nothing more arrives, so that simulated time passes at once.
    tokio::time::pause();
    let before = tokio::time::Instant::now();
    let WatchEvent::Disconnected(idle) = watch.next().await else { panic!("not disconnected") };
    assert_eq!(idle.reason, DisconnectReason::Idle(Duration::from_secs(15)));
    let waited = before.elapsed();
    assert!((Duration::from_secs(14)..=Duration::from_secs(16)).contains(&waited), "{waited:?}");
}

#[tokio::test]
async fn next_can_be_cancelled_at_any_moment_without_losing_an_event() {
    let all = [bookmark(5), snapshot(5), change(6), change(7), change(8)].concat();
    let bytes = (HEAD.to_owned() + &all).into_bytes();
    let member = Member::answering(Reply::Dribble(bytes, Duration::from_micros(300))).await;
    let mut watch = watch(&[&member], WatchOptions::default());
    let (mut told, mut cancelled) = (Vec::new(), 0);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while told.len() < 5 && tokio::time::Instant::now() < deadline {
        match tokio::time::timeout(Duration::from_millis(1), watch.next()).await {
            Ok(event) => told.push(short(&event)),
            Err(_) => cancelled += 1,
        }
    }
    assert_eq!(told, ["connected", "snapshot 5", "change 6", "change 7", "change 8"]);
    assert!(cancelled > 10, "the test cancelled {cancelled} times only");
    assert_eq!(member.count(), 1);
}

#[tokio::test]
async fn too_many_namespaces_are_refused_before_anything_is_sent() {
    let member = Member::answering(Reply::Hang).await;
    let namespaces = (0..257).map(|n| format!("ns-{n}").parse().unwrap()).collect();
    client(&[&member]).watch(WatchOptions { namespaces, ..WatchOptions::default() }).unwrap_err();
    assert_eq!(member.count(), 0);
}

#[tokio::test]
async fn a_cursor_ahead_of_the_history_gets_a_snapshot_from_a_member_that_has_caught_up() {
    let member = Member::answering(open(&[bookmark(5), snapshot(5), change(6)])).await;
    let options = WatchOptions { last_revision: Some(Revision(99)), ..WatchOptions::default() };
    let mut watch = watch(&[&member], options);
    assert_eq!(events(&mut watch, 3).await, ["connected", "snapshot 5", "change 6"]);
}
