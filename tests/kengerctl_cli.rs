//! `kengerctl` as scripts see it: exit codes, streams and formats, against members that do what a
//! test tells them to do.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code: a panic is a failed test")]

// The same fake members as the SDK's own tests.
#[path = "../sdk/rust/tests/common/mod.rs"]
mod fake;

use std::process::Stdio;
use std::time::Duration;

use fake::{Member, Reply, error, json_reply, nobody, node_json, ok};
use kenger_types::ErrorCode;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// Far more than any command takes.
const PATIENCE: Duration = Duration::from_secs(30);

struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn kengerctl(endpoints: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kengerctl"));
    command.args(args).env_remove("KENGER_TOKEN").env("KENGER_ENDPOINTS", endpoints);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

async fn finish(mut command: Command) -> Ran {
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends in time").unwrap();
    Ran {
        code: output.status.code().expect("it ends by itself"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

async fn run(endpoints: &str, args: &[&str]) -> Ran {
    finish(kengerctl(endpoints, args)).await
}

const WEIGHT: [&str; 5] = ["node", "weight", "demo", "127.0.0.1:8080", "5"];

#[tokio::test]
async fn each_kind_of_failure_has_its_exit_code_and_a_message() {
    use ErrorCode::*;
    for (code, exit) in [
        (InvalidArgument, 65),
        (PayloadTooLarge, 65),
        (NamespaceNotFound, 66),
        (NodeNotFound, 66),
        (NoLeader, 69),
        (NotReady, 69),
        (TooManyRequests, 69),
        (NamespaceExists, 73),
        (RevisionMismatch, 73),
        (OutcomeUnknown, 75),
        (Internal, 75),
        (Unauthenticated, 77),
        (PermissionDenied, 77),
        (PathNotFound, 1),
    ] {
        let member = Member::answering(error(code, "because of the test")).await;
        let ran = run(&member.url(), &WEIGHT).await;
        assert_eq!(ran.code, exit, "{code:?}: {}", ran.err);
        assert!(ran.err.contains("because of the test"), "{}", ran.err);
        assert_eq!(ran.out, "", "{code:?}");
    }
    let ran = run(&nobody().await, &WEIGHT).await;
    assert_eq!(ran.code, 69);
    assert!(ran.err.contains("refused") && ran.err.contains("--endpoints"), "{}", ran.err);
    let garbage = Member::answering(json_reply(200, &json!("hello"))).await;
    assert_eq!(run(&garbage.url(), &WEIGHT).await.code, 1);
}

#[tokio::test]
async fn a_mutation_that_was_cut_off_is_unknown_and_not_sent_to_the_next_member() {
    let (first, second) =
        (Member::answering(Reply::Reset).await, Member::answering(ok(&node_json(8080))).await);
    let ran = run(&format!("{},{}", first.url(), second.url()), &WEIGHT).await;
    assert_eq!(ran.code, 75, "{}", ran.err);
    assert!(ran.err.contains("look before you try again"), "{}", ran.err);
    assert_eq!((first.count(), second.count()), (1, 0));
}

#[tokio::test]
async fn a_dead_first_endpoint_is_passed_over_in_silence() {
    let member = Member::answering(ok(&node_json(8080))).await;
    let ran = run(&format!("{},{}", nobody().await, member.url()), &WEIGHT).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(ran.out.starts_with("127.0.0.1:8080 in \"demo\" has weight 100"), "{}", ran.out);
    assert_eq!(member.seen()[0].json()["weight"], 5);
}

#[tokio::test]
async fn wrong_usage_is_code_64_and_sends_nothing() {
    let member = Member::answering(ok(&json!([]))).await;
    let wrong: [&[&str]; 14] = [
        &[],
        &["nodes"],
        &["node", "list", "a/b"],
        &["node", "weight", "demo", "127.0.0.1", "5"],
        &["node", "weight", "demo", "fd00::7:8080", "5"],
        &["node", "weight", "demo", "127.0.0.1:8080", "-1"],
        &["node", "weight", "demo", "127.0.0.1:8080", "10001"],
        &["node", "register", "demo", "127.0.0.1:8080", "-m", "version"],
        &["node", "register", "demo", "127.0.0.1:8080", "-m", "a=1", "-m", "a=2"],
        &["node", "update", "demo", "127.0.0.1:8080"],
        &["ns", "update", "demo"],
        &["-o", "yaml", "node", "list"],
        &["--timeout", "0s", "node", "list"],
        &["--token", "two words", "node", "list"],
    ];
    for args in wrong {
        let ran = run(&member.url(), args).await;
        assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{args:?}: {}", ran.err);
        assert!(!ran.err.is_empty());
    }
    let ran = run("https://127.0.0.1:5000", &["node", "list"]).await;
    assert_eq!(ran.code, 64);
    assert!(ran.err.contains("TLS"), "{}", ran.err);
    assert_eq!(member.count(), 0);
}

#[tokio::test]
async fn help_and_version_are_answers_and_never_show_the_token() {
    for args in
        [&["--help"][..], &["-h"], &["node", "weight", "--help"], &["bench", "watch", "-h"], &["--version"]]
    {
        let mut command = kengerctl("http://10.1.2.3:5000", args);
        command.env("KENGER_TOKEN", "hidden-token");
        let ran = finish(command).await;
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{args:?}");
        assert!(!ran.out.contains("hidden-token"), "{}", ran.out);
    }
    let help = run("", &["--help"]).await.out;
    for code in ["64", "65", "66", "69", "73", "75", "77", "KENGER_ENDPOINTS", "KENGER_TOKEN"] {
        assert!(help.contains(code), "{code} is missing in:\n{help}");
    }
}

#[tokio::test]
async fn the_token_comes_from_the_environment_or_the_option() {
    let member = Member::answering(ok(&json!([]))).await;
    let mut command = kengerctl(&member.url(), &["ns", "list"]);
    command.env("KENGER_TOKEN", "from-env");
    finish(command).await;
    let mut command = kengerctl(&member.url(), &["ns", "list", "--token", "from-option"]);
    command.env("KENGER_TOKEN", "from-env");
    finish(command).await;
    let mut command = kengerctl(&member.url(), &["ns", "list"]);
    command.env("KENGER_TOKEN", "");
    finish(command).await;
    let tokens: Vec<Option<String>> =
        member.seen().iter().map(|request| request.header("authorization").map(str::to_owned)).collect();
    assert_eq!(tokens, [Some("Bearer from-env".to_owned()), Some("Bearer from-option".to_owned()), None]);
}

#[tokio::test]
async fn nothing_is_said_to_be_nothing_on_standard_error_and_an_empty_list_to_programs() {
    let member = Member::answering(ok(&json!([]))).await;
    let ran = run(&member.url(), &["node", "list", "web", "--status", "offline"]).await;
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (0, "", "no offline nodes in namespace \"web\"\n")
    );
    let ran = run(&member.url(), &["node", "list", "web", "-q"]).await;
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""));
    let ran = run(&member.url(), &["node", "list", "web", "-o", "json"]).await;
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "[]\n", ""));
}

#[tokio::test]
async fn a_table_is_aligned_and_json_is_the_data() {
    let mut ipv6 = node_json(9090);
    ipv6["host"] = json!("fd00::7");
    ipv6["status"] = json!("offline");
    ipv6["weight"] = json!(5);
    ipv6["metadata"] = json!({"version": "v2"});
    let nodes = json!([node_json(8080), ipv6]);
    let member = Member::answering(ok(&nodes)).await;
    let ran = run(&member.url(), &["node", "list"]).await;
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ran.out);
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        words(lines[0]),
        ["NAMESPACE", "ADDRESS", "STATUS", "WEIGHT", "DECLARED", "VERSION", "HEARD", "AGE"]
    );
    assert_eq!(words(lines[1])[..6], ["demo", "127.0.0.1:8080", "online", "100", "100", "-"]);
    assert_eq!(words(lines[2])[..6], ["demo", "[fd00::7]:9090", "offline", "5", "100", "v2"]);
    assert_eq!(lines[0].find("STATUS"), lines[2].find("offline"));
    assert!(lines.iter().all(|line| line.trim_end() == *line), "{:?}", ran.out);
    let ran = run(&member.url(), &["node", "list", "-o", "json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap(), nodes);
}

fn namespaces() -> Reply {
    ok(&json!([{
        "id": 1, "name": "web", "description": "", "health_path": "/", "created_at": "2026-01-02T03:04:05.678Z",
        "updated_at": "2026-01-02T03:04:05.678Z", "mod_revision": 1, "node_count": 3, "online_count": 2
    }]))
}

#[tokio::test]
async fn a_namespace_with_nodes_is_deleted_only_if_somebody_says_so() {
    let member = Member::answering(namespaces()).await;
    let ran = run(&member.url(), &["ns", "delete", "web"]).await;
    assert_eq!(ran.code, 64);
    assert!(ran.err.contains("has 3 nodes, 2 online") && ran.err.contains("--yes"), "{}", ran.err);
    let ran = run(&member.url(), &["ns", "delete", "shop"]).await;
    assert_eq!(ran.code, 66, "{}", ran.err);
    assert!(member.seen().iter().all(|request| request.method == "GET"), "nothing was deleted");
    let ran = run(&member.url(), &["ns", "delete", "web", "--yes"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "namespace \"web\" deleted\n"));
    assert_eq!(member.seen().last().unwrap().json(), json!({"name": "web"}));
}

/// Runs a command on a terminal of its own, types `answer` when asked, and tells the exit code and
/// what was shown.
async fn on_a_terminal(mut command: Command, answer: &'static [u8]) -> (i32, String) {
    use std::io::{Read, Write};
    use std::os::fd::{FromRawFd, OwnedFd};
    let (mut master, mut slave) = (-1, -1);
    let null = std::ptr::null_mut();
    // SAFETY: both descriptors are valid places to write to; the name and the settings may be null.
    let opened = unsafe { libc::openpty(&mut master, &mut slave, null, null.cast(), null.cast()) };
    assert_eq!(opened, 0);
    // SAFETY: openpty succeeded, so that both descriptors are open, and nobody else owns them.
    let (master, slave) = unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    command.stdin(slave.try_clone().unwrap()).stderr(slave);
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut terminal = std::fs::File::from(master);
    let asked = tokio::task::spawn_blocking(move || {
        let mut shown = String::new();
        let mut piece = [0; 256];
        while !shown.contains("[y/N]") {
            // The terminal is closed when the command ends.
            match terminal.read(&mut piece) {
                Ok(count) if count > 0 => shown += &String::from_utf8_lossy(&piece[..count]),
                _ => return shown,
            }
        }
        terminal.write_all(answer).unwrap();
        while let Ok(count) = terminal.read(&mut piece)
            && count > 0
        {
            shown += &String::from_utf8_lossy(&piece[..count]);
        }
        shown
    });
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.expect("it ends in time").unwrap();
    (status.code().unwrap(), asked.await.unwrap())
}

#[tokio::test]
async fn a_person_is_asked_and_may_say_no() {
    let member = Member::answering(namespaces()).await;
    let (code, shown) = on_a_terminal(kengerctl(&member.url(), &["ns", "delete", "web"]), b"n\n").await;
    assert_eq!(code, 1, "{shown}");
    assert!(shown.contains("has 3 nodes, 2 online; delete it with all of them? [y/N]"), "{shown}");
    assert!(shown.contains("nothing was done"), "{shown}");
    assert!(member.seen().iter().all(|request| request.method == "GET"));
    let (code, shown) = on_a_terminal(kengerctl(&member.url(), &["ns", "delete", "web"]), b"y\n").await;
    assert_eq!(code, 0, "{shown}");
    assert_eq!(member.seen().last().unwrap().method, "POST");
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_error() {
    let many: Vec<Value> = (1..=20_000).map(node_json).collect();
    let member = Member::answering(ok(&json!(many))).await;
    for format in ["table", "json"] {
        let mut child = kengerctl(&member.url(), &["node", "list", "-o", format]).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        out.read_line(&mut first).await.unwrap();
        drop(out);
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(0), "{format}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{format}");
    }
}

#[tokio::test]
async fn completions_are_made_for_each_shell_without_a_registry() {
    for (shell, says) in
        [("bash", "complete -F"), ("zsh", "#compdef kengerctl"), ("fish", "complete -c kengerctl")]
    {
        let ran = run("", &["completions", shell]).await;
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.out.contains(says), "{shell}");
    }
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

fn feed() -> String {
    let cluster = "00000000000000000000000000000001";
    let event =
        |name: &str, body: Value| format!("event: {name}\nid: {}\ndata: {body}\n\n", body["revision"]);
    let put = |cause: &str, port: u16| json!({"type": "node_put", "cause": cause, "node": node_json(port)});
    let gone = json!({"type": "node_deleted", "cause": "expired", "id": 1, "ns": "demo", "host": "fd00::7", "port": 80});
    HEAD.to_owned()
        + &event("snapshot", json!({"cluster_id": cluster, "revision": 5, "namespaces": [], "nodes": []}))
        + &event("change", json!({"revision": 6, "changes": [put("registered", 8080), put("weight", 8081)]}))
        + &event("change", json!({"revision": 7, "changes": [gone]}))
}

#[tokio::test]
async fn watch_prints_a_line_for_each_change_and_goes_on_after_a_break() {
    let half = feed();
    let cut = half.split_once("event: change\nid: 7").unwrap().0.to_owned();
    let again = feed().replace("event: snapshot", "event: of_no_interest");
    let bookmark = json!({"cluster_id": "00000000000000000000000000000001", "revision": 6, "member_id": 1, "leader": null});
    let again =
        again.replacen("\r\n\r\n", &format!("\r\n\r\nevent: bookmark\nid: 6\ndata: {bookmark}\n\n"), 1);
    let replies = vec![Reply::BytesAndClose(cut.into_bytes()), Reply::Bytes(again.into_bytes())];
    let member = Member::playing(replies).await;
    let ran = run(&member.url(), &["watch", "--count", "2", "--ns", "demo,shop"]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ran.out);
    assert!(
        lines[0].contains("6 + demo") && lines[0].contains("127.0.0.1:8080 online, weight 100 (registered)"),
        "{}",
        ran.out
    );
    assert!(lines[2].contains("7 - demo") && lines[2].contains("[fd00::7]:80 (expired)"), "{}", ran.out);
    assert!(ran.err.contains("trying again"), "{}", ran.err);
    let seen = member.seen();
    assert!(seen[0].target.contains("ns=demo%2Cshop"), "{}", seen[0].target);
    assert_eq!(seen[1].header("last-event-id"), Some("6"));
}

#[tokio::test]
async fn watch_for_programs_prints_one_document_a_line() {
    let member = Member::answering(Reply::Bytes(feed().into_bytes())).await;
    let ran = run(&member.url(), &["watch", "--count", "2", "-o", "json", "-q"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let lines: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<(&str, u64)> = lines
        .iter()
        .map(|line| (line["event"].as_str().unwrap(), line["revision"].as_u64().unwrap()))
        .collect();
    assert_eq!(kinds, [("snapshot", 5), ("change", 6), ("change", 7)]);
    assert_eq!(lines[1]["changes"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn watch_ends_when_the_token_is_refused() {
    let member = Member::answering(error(ErrorCode::Unauthenticated, "no such token")).await;
    let ran = run(&member.url(), &["watch"]).await;
    assert_eq!(ran.code, 77);
    assert!(ran.err.contains("no such token"), "{}", ran.err);
}

#[tokio::test]
async fn a_cluster_without_a_leader_is_shown_and_is_a_failure() {
    let unreachable = json!({
        "id": 2, "role": "unreachable", "voter": true, "api": "10.0.0.2:5000", "peer": "10.0.0.2:5001",
        "term": null, "last_log_index": null, "applied_index": null, "lag": null, "revision": null,
        "disk_bytes": null, "uptime_seconds": null, "version": null
    });
    let status = |leader: Value| {
        json!({
            "cluster_id": "00000000000000000000000000000001", "member_id": 1, "leader_id": leader, "term": 3,
            "revision": 42, "members": [unreachable.clone()]
        })
    };
    let member = Member::playing(vec![ok(&status(Value::Null)), ok(&status(json!(2)))]).await;
    let ran = run(&member.url(), &["cluster", "status"]).await;
    assert_eq!(ran.code, 69);
    assert!(ran.out.contains("unreachable") && ran.out.contains("0 of 1 reachable"), "{}", ran.out);
    assert!(ran.err.contains("knows no leader"), "{}", ran.err);
    let ran = run(&member.url(), &["cluster", "status", "-o", "json"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap(), status(json!(2)));
}

#[tokio::test]
async fn a_benchmark_that_cannot_begin_says_why_and_reports_nothing() {
    let member = Member::answering(error(ErrorCode::Unauthenticated, "no such token")).await;
    let ran = run(&member.url(), &["bench", "register", "--duration", "1s"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (77, ""), "{}", ran.err);
    assert_eq!(member.count(), 1);
    for args in [&["bench", "register", "--duration", "2h"][..], &["bench", "watch", "--changes", "0"]] {
        assert_eq!(run(&member.url(), args).await.code, 64);
    }
}
