//! `kengerctl` against a real member: a `kenger serve` process of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code: a panic is a failed test")]

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use kenger_sdk::{Client, Consistency};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Far more than a start or a command takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often other ports are tried.
const PORT_ATTEMPTS: u32 = 5;
const TOKEN: &str = "token-of-the-test";

/// A running member; it is killed with the value.
struct Server {
    api: String,
    _data: TempDir,
    _process: Child,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    async fn start() -> Self {
        for _ in 0..PORT_ATTEMPTS {
            if let Some(server) = Self::try_start().await {
                return server;
            }
        }
        panic!("no member could be started");
    }

    /// `None` if the process ended: somebody else may have taken a port in between.
    async fn try_start() -> Option<Self> {
        let data = TempDir::new().unwrap();
        let api = format!("127.0.0.1:{}", free_port());
        let mut process = Command::new(env!("CARGO_BIN_EXE_kenger"))
            .args(["serve", "--listen-api", &api, "--listen-peer", &format!("127.0.0.1:{}", free_port())])
            .args(["--peer-secret", "0123456789abcdef0123", "--data-dir"])
            .arg(data.path())
            .env("KENGER_TOKEN", TOKEN)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let client = Client::builder().endpoints([api.as_str()]).token(TOKEN).build().unwrap();
        let ready = async {
            while client.namespaces(Consistency::Linearizable).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            ready = tokio::time::timeout(PATIENCE, ready) => ready.expect("the member serves in time"),
            _ = process.wait() => return None,
        }
        Some(Self { api, _data: data, _process: process })
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kengerctl"));
        command.args(line.split_whitespace()).env("KENGER_ENDPOINTS", &self.api).env("KENGER_TOKEN", TOKEN);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Exit code, standard output and standard error of a command line.
    async fn run(&self, line: &str) -> (i32, String, String) {
        let output =
            tokio::time::timeout(PATIENCE, self.command(line).output()).await.expect("in time").unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// The same, of a command that has to succeed.
    async fn json(&self, line: &str) -> Value {
        let (code, out, err) = self.run(&format!("{line} -o json")).await;
        assert_eq!(code, 0, "{line}: {err}");
        serde_json::from_str(&out).unwrap()
    }
}

#[tokio::test]
async fn the_life_of_a_node_and_its_namespace() {
    let server = Server::start().await;
    let status = server.json("cluster status").await;
    assert_eq!(status["leader_id"], status["member_id"]);

    // From the beginning, whenever it comes to listen.
    let watching = tokio::spawn(server.command("watch --since 0 --count 9 -q").output());

    let node = server.json("node register web [fd00::7]:8080 --weight 40 -m version=v1 --ttl 600").await;
    assert_eq!((&node["weight"], &node["status"]), (&40.into(), &"online".into()));
    let (code, _, err) = server.run("node weight web [fd00::7]:8080 10 --if-revision 999").await;
    assert_eq!(code, 73, "{err}");
    let weighed = server
        .json(&format!("node weight web [fd00::7]:8080 10 --if-revision {}", node["mod_revision"]))
        .await;
    assert_eq!((&weighed["weight"], &weighed["registered_weight"]), (&10.into(), &40.into()));

    server.json("node register web [fd00::7]:8080 --weight 50 -m version=v1 --ttl 600").await;
    let listed = server.json("node list web --version v1 --status online").await;
    assert_eq!(listed[0]["weight"], 10, "the operator's weight survives a registration");
    let given_back = server.json("node weight web [fd00::7]:8080 default").await;
    assert_eq!(given_back["weight"], 50);

    let updated =
        server.json("node update web [fd00::7]:8080 -m zone=a --health-path /ready --ttl default").await;
    assert_eq!((&updated["metadata"]["zone"], &updated["health_path"]), (&"a".into(), &"/ready".into()));
    assert_eq!(updated.get("ttl_seconds").filter(|ttl| !ttl.is_null()), None);
    assert_eq!(server.json("node list web --version v1").await, serde_json::json!([]));

    assert_eq!(server.run("ns add shop").await.0, 0);
    assert_eq!(server.run("ns add shop").await.0, 73);
    assert_eq!(server.json("ns update shop --rename store").await["name"], "store");
    assert_eq!(server.run("ns delete web").await.0, 64, "it has a node");
    assert_eq!(server.run("node delete web [fd00::7]:8080").await.0, 64, "it is online");
    assert_eq!(server.run("node delete web [fd00::7]:8080 --yes").await.0, 0);
    assert_eq!(server.run("node deregister web [fd00::7]:8080").await.0, 66);
    assert_eq!(server.run("ns delete web").await.0, 0, "it has no node any more");
    let (code, out, _) = server.run("ns list").await;
    assert_eq!(code, 0);
    assert_eq!(out.lines().count(), 2, "{out}");
    assert!(out.lines().nth(1).unwrap().starts_with("store"), "{out}");

    let watched = tokio::time::timeout(PATIENCE, watching).await.expect("nine changes").unwrap().unwrap();
    let lines = String::from_utf8(watched.stdout).unwrap();
    for part in
        ["[fd00::7]:8080 online, weight 40, version v1 (registered)", "weight 10", "- web", "(deleted)"]
    {
        assert!(lines.contains(part), "{part} is missing in:\n{lines}");
    }
}

#[tokio::test]
async fn a_wrong_token_is_code_77() {
    let server = Server::start().await;
    let (code, _, err) = server.run("node list --token wrong").await;
    assert_eq!(code, 77, "{err}");
    assert!(err.contains("KENGER_TOKEN"), "{err}");
}

#[tokio::test]
async fn benchmarks_measure_and_leave_nothing_behind() {
    let server = Server::start().await;
    let register = server.json("bench register --clients 4 --duration 500ms").await;
    assert!(
        register["operations"].as_u64().unwrap() > 0 && register["failed"] == serde_json::json!({}),
        "{register}"
    );
    let latency = &register["latency_ms"];
    assert!(
        latency["p50"].as_f64() > Some(0.0) && latency["p50"].as_f64() <= latency["max"].as_f64(),
        "{latency}"
    );

    let heartbeat =
        server.json("bench heartbeat --connections 4 --nodes 40 --batch 10 --duration 500ms").await;
    assert_eq!(heartbeat["operations"].as_u64().unwrap() % 10, 0);
    assert!(heartbeat["operations"].as_u64().unwrap() > 0, "{heartbeat}");

    let watch = server.json("bench watch --watchers 3 --changes 20").await;
    assert_eq!(watch["also"]["events"], 60.0, "every watcher hears of every change: {watch}");
    assert_eq!(server.json("ns list").await, serde_json::json!([]));

    server.json("bench load --nodes 50 --clients 4").await;
    assert_eq!(server.json("ns list").await[0]["node_count"], 50);
    assert_eq!(server.run("bench load --cleanup").await.0, 0);
    assert_eq!(server.json("ns list").await, serde_json::json!([]));
}
