//! `kenger serve` as a process: configuration, exit codes, signals.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Whatever is waited for comes within this time, or the test has failed.
const SOON: Duration = Duration::from_secs(20);

const USAGE: i32 = 64;
const UNAVAILABLE: i32 = 69;
const IO: i32 = 74;

/// The program, without what the environment of the test happens to say.
fn kenger() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kenger"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KENGER_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Arguments that are right as they are.
const RIGHT: [&str; 6] = ["serve", "--check", "--data-dir", "/nonexistent/kenger", "--token", "geheim-token"];

fn check(change: impl FnOnce(&mut Command)) -> Output {
    let mut command = kenger();
    command.args(RIGHT);
    change(&mut command);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_right_configuration_passes_the_check_and_shows_where_each_value_comes_from() {
    let output = check(|command| {
        command.args(["--heartbeat-interval", "50ms"]).env("KENGER_NODE_TTL", "10s");
    });
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    for line in [
        "heartbeat_interval = 50ms (flag --heartbeat-interval)",
        "node_ttl = 10s (environment variable KENGER_NODE_TTL)",
        "election_timeout_min = 500ms (default)",
        "listen_api = 127.0.0.1:5000 (default)",
        "peer_secret is not set",
    ] {
        assert!(shown.lines().any(|found| found == line), "{line} is not in\n{shown}");
    }
    assert!(!Path::new("/nonexistent").exists(), "a check touches nothing");
}

#[test]
fn a_flag_wins_over_the_environment_and_the_environment_over_the_file() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("kenger.toml");
    std::fs::write(&file, "node_ttl = \"10s\"\nfeed_ring = 100\nlog_level = \"warn\"\n").unwrap();
    let output = check(|command| {
        command.arg("--config").arg(&file);
        command.args(["--node-ttl", "12s"]).env("KENGER_NODE_TTL", "11s").env("KENGER_FEED_RING", "200");
    });
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    for line in [
        "node_ttl = 12s (flag --node-ttl)".to_owned(),
        "feed_ring = 200 (environment variable KENGER_FEED_RING)".to_owned(),
        format!("log_level = warn ({}, line 3)", file.display()),
    ] {
        assert!(shown.lines().any(|found| found == line), "{line} is not in\n{shown}");
    }
    // The file's own name can come from the environment; an empty variable is as good as none.
    let output = check(|command| {
        command.env("KENGER_CONFIG", &file).env("KENGER_FEED_RING", "");
    });
    let shown = text(&output.stdout);
    assert!(shown.contains("feed_ring = 100"), "{shown}{}", text(&output.stderr));
}

#[test]
fn each_wrong_flag_ends_with_64_and_is_named() {
    for (flag, value, says) in [
        ("member-id", "0", "1 or more"),
        ("member-id", "one", "1 or more"),
        ("members", "1=a:1@a:2,2=b:1@b:2", "1, 3 or 5"),
        ("members", "1=a:1", "ID=PEERHOST:PORT@APIHOST:PORT"),
        ("listen-api", "5000", "host:port"),
        ("listen-api", "127.0.0.1:70000", "a port"),
        ("listen-peer", "127.0.0.1:5000", "is listen_api too"),
        ("data-dir", "", "must not be empty"),
        ("store", "mysql", "is not one of sled, redb"),
        ("peer-secret", "short", "16 to 4096 bytes"),
        ("peer-secret-file", "/nonexistent/secret", "/nonexistent/secret"),
        ("heartbeat-interval", "100", "is not a time"),
        ("heartbeat-interval", "1ms", "is not a time from 10ms"),
        ("heartbeat-interval", "-1s", "is not a time"),
        ("election-timeout-min", "299ms", "less than 3 heartbeats"),
        ("election-timeout-max", "500ms", "not longer than election_timeout_min"),
        ("node-ttl", "0s", "is not a time"),
        ("node-ttl", "120s", "not longer than node_ttl"),
        ("node-delete-after", "30s", "not longer than node_ttl"),
        ("lease-tick", "30s", "not shorter than node_ttl"),
        ("snapshot-after-entries", "0", "whole number from 1"),
        ("snapshot-keep-entries", "1e3", "whole number from 0"),
        ("feed-ring", "0", "whole number from 1"),
        ("log-format", "xml", "is not one of text, json"),
        ("log-level", "loud", "MODULE=LEVEL"),
        ("auto-create-namespace", "yes", "neither true nor false"),
        ("token", "with space", "printable ASCII"),
    ] {
        let mut command = kenger();
        command.args(["serve", &format!("--{flag}={value}")]);
        if flag != "data-dir" {
            command.args(["--data-dir", "/nonexistent/kenger"]);
        }
        if flag != "token" {
            command.args(["--token", "geheim-token"]);
        }
        let output = command.output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(USAGE), "--{flag}={value}: {error}");
        let wrong = match (flag, says) {
            ("node-ttl", "not longer than node_ttl") => "node_delete_after".to_owned(),
            _ => flag.replace('-', "_"),
        };
        let line = error.lines().find(|line| line.trim_start().starts_with(&format!("{wrong}: ")));
        let line = line.unwrap_or_else(|| panic!("{wrong} is not named:\n{error}"));
        assert!(line.contains(says), "--{flag}={value}: {error}");
        if wrong == flag.replace('-', "_") {
            assert!(line.ends_with(&format!("(flag --{flag})")), "{line}");
        }
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_where_it_was_written() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("kenger.toml");
    let contents = "store = \"mysql\"\n\n[[tokens]]\nname = \"ci\"\nrole = \"root\"\nsha256 = \"abc\"\n";
    std::fs::write(&file, contents).unwrap();
    let mut command = kenger();
    command.args(["serve", "--node-ttl", "soon", "--config"]).arg(&file).env("KENGER_FEED_RING", "-1");
    let output = command.output().unwrap();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(USAGE), "{error}");
    for says in [
        "node_ttl: \"soon\" is not a time from 100ms to 7days, like 500ms, 30s or 2m (flag --node-ttl)"
            .to_owned(),
        "feed_ring: \"-1\" is not a whole number from 1 to 1000000 (environment variable KENGER_FEED_RING)"
            .to_owned(),
        format!("store: \"mysql\" is not one of sled, redb ({}, line 1)", file.display()),
        format!("tokens[0].role: \"root\" is not one of read, register, admin ({})", file.display()),
        format!("tokens[0].sha256: a SHA-256 has 64 hexadecimal digits ({})", file.display()),
        "data_dir: say where".to_owned(),
    ] {
        assert!(error.contains(&says), "{says:?} is not in\n{error}");
    }
}

#[test]
fn a_file_with_unknown_keys_or_broken_toml_is_refused_with_the_line() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("kenger.toml");
    for (contents, says) in [
        ("node_ttl = \"10s\"\nnode_tll = \"10s\"\n", "node_tll"),
        ("node_ttl = \n", "line 1"),
        ("node_ttl = [1]\n", "a string, a number or a boolean"),
        ("[[tokens]]\nname = \"x\"\nrole = \"read\"\ntokne = \"y\"\n", "tokne"),
        ("[[members]]\nid = 1\npeer = \"a:1\"\n", "api"),
    ] {
        std::fs::write(&file, contents).unwrap();
        let output = check(|command| {
            command.arg("--config").arg(&file);
        });
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(USAGE), "{contents}: {error}");
        assert!(error.contains(says) && error.contains(&*file.to_string_lossy()), "{contents}: {error}");
    }
    let missing = check(|command| {
        command.args(["--config", "/nonexistent/kenger.toml"]);
    });
    assert_eq!(missing.status.code(), Some(USAGE));
    assert!(text(&missing.stderr).contains("/nonexistent/kenger.toml"), "{}", text(&missing.stderr));
}

#[test]
fn the_file_takes_members_and_tokens_as_tables() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("kenger.toml");
    let members: String = (1..=3)
        .map(|id| format!("[[members]]\nid = {id}\npeer = \"m{id}:5001\"\napi = \"m{id}:5000\"\n"))
        .collect();
    let contents = format!(
        "member_id = 2\ndata_dir = \"/nonexistent/kenger\"\nauto_create_namespace = false\npeer_secret = \"{}\"\n{members}\
         [[tokens]]\nname = \"ci\"\nrole = \"register\"\nnamespaces = [\"shop\"]\ntoken = \"geheim\"\n",
        "s".repeat(16)
    );
    std::fs::write(&file, contents).unwrap();
    let output = kenger().args(["serve", "--check", "--config"]).arg(&file).output().unwrap();
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(shown.contains("members = 1=m1:5001@m1:5000,2=m2:5001@m2:5000,3=m3:5001@m3:5000"), "{shown}");
    assert!(shown.contains("token \"ci\": role register"), "{shown}");
    assert!(!shown.contains("geheim") && !shown.contains("ssss"), "{shown}");
}

#[test]
fn who_may_come_in_has_to_be_said() {
    let serve = |args: &[&str]| {
        let output = kenger()
            .args(["serve", "--check", "--data-dir", "/nonexistent/kenger"])
            .args(args)
            .output()
            .unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let three = ["--member-id", "1", "--members", "1=a:1@a:2,2=b:1@b:2,3=c:1@c:2"];
    let with = |more: &[&'static str]| [&three[..], more].concat();
    for (args, field) in [
        (vec![], "token"),
        (with(&["--token", "geheim-token"]), "peer_secret"),
        (vec!["--insecure-no-auth", "--token", "geheim-token"], "insecure_no_auth"),
        (vec!["--token", "geheim-token", "--members", three[3]], "member_id"),
        (vec!["--token", "geheim-token", "--member-id", "4", "--members", three[3]], "member_id"),
        (vec!["--token", "geheim-token", "--listen-api", "0.0.0.0:5000"], "members"),
    ] {
        let (code, error) = serve(&args);
        assert_eq!(code, Some(USAGE), "{args:?}: {error}");
        assert!(error.contains(&format!("\n  {field}: ")), "{args:?}: {error}");
        assert!(!error.contains("geheim"), "{error}");
    }
    for args in [
        vec!["--insecure-no-auth"],
        vec!["--insecure-no-auth=true"],
        with(&["--insecure-no-auth"]),
        with(&["--token", "geheim-token", "--peer-secret", "0123456789abcdef"]),
        vec!["--token", "a-token", "--token", "b-token", "--token", "a-token"],
    ] {
        let (code, error) = serve(&args);
        assert_eq!(code, Some(0), "{args:?}: {error}");
    }
}

#[test]
fn unknown_flags_and_missing_subcommands_end_with_64_and_help_with_0() {
    for (args, code) in [
        (&["serve", "--data-dri", "x"][..], USAGE),
        (&["sevre"], USAGE),
        (&[], USAGE),
        (&["--help"], 0),
        (&["serve", "--help"], 0),
        (&["--version"], 0),
    ] {
        let output = kenger().args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output.stderr));
    }
    let secret =
        kenger().args(["serve", "--help"]).env("KENGER_PEER_SECRET", "sehr-geheimes-wort").output().unwrap();
    assert!(!text(&secret.stdout).contains("sehr-geheim"));
}

/// A running member, ended with the test.
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
    api: String,
    _data_dir: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

fn lines_of(stderr: ChildStderr) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

impl Running {
    fn start() -> Self {
        let data_dir = TempDir::new().unwrap();
        let mut child = kenger()
            .args([
                "serve",
                "--listen-api",
                "127.0.0.1:0",
                "--listen-peer",
                "127.0.0.1:0",
                "--log-format",
                "json",
            ])
            .arg("--data-dir")
            .arg(data_dir.path())
            .env("KENGER_TOKENS", "geheim-a, geheim-b")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = lines_of(child.stderr.take().unwrap());
        let mut running = Self { child, lines, api: String::new(), _data_dir: data_dir };
        let serving = running.line("\"serving\"");
        let serving: serde_json::Value = serde_json::from_str(&serving).unwrap();
        running.api = serving["api"].as_str().unwrap().to_owned();
        running
    }

    /// The next line of the log that has this in it.
    fn line(&self, with: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(SOON).unwrap_or_else(|_| panic!("no line with {with}"));
            assert!(!line.contains("geheim"), "a secret in the log: {line}");
            if line.contains(with) {
                return line;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    fn exit_code(&mut self) -> Option<i32> {
        let deadline = SOON.as_millis() / 20;
        for _ in 0..deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            let (_, never) = mpsc::channel::<()>();
            let _timeout = never.recv_timeout(Duration::from_millis(20));
            thread::park_timeout(Duration::from_millis(20));
        }
        panic!("the process does not end");
    }

    fn get(&self, path: &str, token: &str) -> u16 {
        let client = reqwest::Client::builder().no_proxy().timeout(SOON).build().unwrap();
        let request = client.get(format!("http://{}{path}", self.api)).bearer_auth(token);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { request.send().await.unwrap().status().as_u16() })
    }
}

#[test]
fn a_member_serves_until_it_is_told_to_stop() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut running = Running::start();
        for token in ["geheim-a", "geheim-b"] {
            assert_eq!(running.get("/api/upstream/sync", token), 200);
        }
        assert_eq!(running.get("/api/upstream/sync", "falsch"), 401);
        running.signal(signal);
        running.line("\"stopped\"");
        assert_eq!(running.exit_code(), Some(0), "{signal}");
    }
}

#[test]
fn a_second_signal_ends_a_stop_that_takes_its_time() {
    let mut running = Running::start();
    // A request that does not come to its end holds up the stop.
    let mut stream = std::net::TcpStream::connect(&running.api).unwrap();
    let head = "POST /api/upstream/heartbeat HTTP/1.1\r\nHost: x\r\nX-API-Token: geheim-a\r\nContent-Length: 9\r\n\r\n{";
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(stream.read(&mut [0; 1]).is_err(), "it waits for the rest");
    running.signal(Signal::SIGTERM);
    running.line("\"stopping\"");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.exit_code(), Some(130));
}

#[test]
fn a_taken_port_is_a_clear_error_before_the_data_directory_is_touched() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = TempDir::new().unwrap();
    let data_dir = directory.path().join("data");
    for (taken, free) in [("--listen-api", "--listen-peer"), ("--listen-peer", "--listen-api")] {
        let output = kenger()
            .args(["serve", "--token", "geheim-token", taken, &address, free, "127.0.0.1:0", "--data-dir"])
            .arg(&data_dir)
            .output()
            .unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(UNAVAILABLE), "{error}");
        let setting = taken.trim_start_matches("--").replace('-', "_");
        assert!(error.contains(&format!("cannot listen on {address} ({setting})")), "{error}");
        assert!(!data_dir.exists());
    }
}

#[test]
fn a_data_directory_that_cannot_be_used_ends_with_74() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    let output = kenger()
        .args([
            "serve",
            "--token",
            "geheim-token",
            "--listen-api",
            "127.0.0.1:0",
            "--listen-peer",
            "127.0.0.1:0",
        ])
        .arg("--data-dir")
        .arg(&file)
        .output()
        .unwrap();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(IO), "{error}");
    assert!(error.contains(&*file.to_string_lossy()), "{error}");
}
