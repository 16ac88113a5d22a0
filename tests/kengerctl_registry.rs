//! `kengerctl` and the SDK against real members: `kenger serve` in processes of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code: a panic is a failed test")]

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use kenger_sdk::{Client, Consistency, KeepOptions, WatchEvent, WatchOptions};
use kenger_types::api::NodeRegister;
use kenger_types::feed::{Change, NodeCause};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Far more than a start or a command takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often other ports are tried.
const PORT_ATTEMPTS: u32 = 5;
const TOKEN: &str = "token-of-the-test";

/// A running cluster; its members are killed with the value.
struct Cluster {
    members: Vec<Member>,
    data: TempDir,
}

struct Member {
    id: u64,
    api: String,
    process: Child,
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn client(endpoints: &[String]) -> Client {
    Client::builder().endpoints(endpoints.iter().map(String::as_str)).token(TOKEN).build().unwrap()
}

impl Cluster {
    async fn start(size: usize) -> Self {
        for _ in 0..PORT_ATTEMPTS {
            if let Some(cluster) = Self::try_start(size).await {
                return cluster;
            }
        }
        panic!("no cluster could be started");
    }

    /// `None` if a process ended: somebody else may have taken a port in between.
    async fn try_start(size: usize) -> Option<Self> {
        let data = TempDir::new().unwrap();
        let addresses: Vec<(u64, String, String)> =
            (1_u64..).take(size).map(|id| (id, free_address(), free_address())).collect();
        let list: Vec<String> =
            addresses.iter().map(|(id, api, peer)| format!("{id}={peer}@{api}")).collect();
        let mut members = Vec::new();
        for (id, api, peer) in &addresses {
            let process = Command::new(env!("CARGO_BIN_EXE_kenger"))
                .args(["serve", "--listen-api", api, "--listen-peer", peer, "--member-id", &id.to_string()])
                .args(["--members", &list.join(","), "--peer-secret", "0123456789abcdef0123", "--data-dir"])
                .arg(data.path().join(id.to_string()))
                .env("KENGER_TOKEN", TOKEN)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            members.push(Member { id: *id, api: api.clone(), process });
        }
        for member in &mut members {
            let client = client(std::slice::from_ref(&member.api));
            let ready = async {
                while client.namespaces(Consistency::Linearizable).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            tokio::select! {
                ready = tokio::time::timeout(PATIENCE, ready) => ready.expect("the member serves in time"),
                _ = member.process.wait() => return None,
            }
        }
        Some(Self { members, data })
    }

    fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|member| member.api.clone()).collect()
    }

    /// A gateway for one namespace, and where it listens.
    async fn gateway(&self, ns: &str, name: &str) -> (Child, String) {
        let (listen, admin) = (free_address(), free_address());
        let process = Command::new(env!("CARGO_BIN_EXE_kenger"))
            .args(["gateway", "--registry", &self.endpoints().join(","), "--workers", "1"])
            .args(["--listen", &format!("{listen}={ns}"), "--admin", &admin, "--cache-file"])
            .arg(self.data.path().join(name))
            .env("KENGER_GATEWAY_TOKEN", TOKEN)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let listening = async {
            while tokio::net::TcpStream::connect(&listen).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, listening).await.expect("the gateway listens in time");
        (process, format!("http://{listen}"))
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kengerctl"));
        command.args(line.split_whitespace()).env("KENGER_ENDPOINTS", self.endpoints().join(","));
        command.env("KENGER_TOKEN", TOKEN);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Kills the leader, without a word to anybody.
    async fn kill_the_leader(&mut self) {
        let leader = self.json("cluster status").await["leader_id"].as_u64().unwrap();
        let member = self.members.iter_mut().find(|member| member.id == leader).unwrap();
        member.process.kill().await.unwrap();
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
    let cluster = Cluster::start(1).await;
    let status = cluster.json("cluster status").await;
    assert_eq!(status["leader_id"], status["member_id"]);

    // From the beginning, whenever it comes to listen.
    let watching = tokio::spawn(cluster.command("watch --since 0 --count 9 -q").output());

    let node = cluster.json("node register web [fd00::7]:8080 --weight 40 -m version=v1 --ttl 600").await;
    assert_eq!((&node["weight"], &node["status"]), (&40.into(), &"online".into()));
    let (code, _, err) = cluster.run("node weight web [fd00::7]:8080 10 --if-revision 999").await;
    assert_eq!(code, 73, "{err}");
    let weighed = cluster
        .json(&format!("node weight web [fd00::7]:8080 10 --if-revision {}", node["mod_revision"]))
        .await;
    assert_eq!((&weighed["weight"], &weighed["registered_weight"]), (&10.into(), &40.into()));

    cluster.json("node register web [fd00::7]:8080 --weight 50 -m version=v1 --ttl 600").await;
    let listed = cluster.json("node list web --version v1 --status online").await;
    assert_eq!(listed[0]["weight"], 10, "the operator's weight survives a registration");
    let given_back = cluster.json("node weight web [fd00::7]:8080 default").await;
    assert_eq!(given_back["weight"], 50);

    let updated =
        cluster.json("node update web [fd00::7]:8080 -m zone=a --health-path /ready --ttl default").await;
    assert_eq!((&updated["metadata"]["zone"], &updated["health_path"]), (&"a".into(), &"/ready".into()));
    assert_eq!(updated.get("ttl_seconds").filter(|ttl| !ttl.is_null()), None);
    assert_eq!(cluster.json("node list web --version v1").await, json!([]));

    assert_eq!(cluster.run("ns add shop").await.0, 0);
    assert_eq!(cluster.run("ns add shop").await.0, 73);
    assert_eq!(cluster.json("ns update shop --rename store").await["name"], "store");
    assert_eq!(cluster.run("ns delete web").await.0, 64, "it has a node");
    assert_eq!(cluster.run("node delete web [fd00::7]:8080").await.0, 64, "it is online");
    assert_eq!(cluster.run("node delete web [fd00::7]:8080 --yes").await.0, 0);
    assert_eq!(cluster.run("node deregister web [fd00::7]:8080").await.0, 66);
    assert_eq!(cluster.run("ns delete web").await.0, 0, "it has no node any more");
    let (code, out, _) = cluster.run("ns list").await;
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
    let cluster = Cluster::start(1).await;
    let (code, _, err) = cluster.run("node list --token wrong").await;
    assert_eq!(code, 77, "{err}");
    assert!(err.contains("KENGER_TOKEN"), "{err}");
}

#[tokio::test]
async fn benchmarks_measure_and_leave_nothing_behind() {
    let cluster = Cluster::start(1).await;
    let register = cluster.json("bench register --clients 4 --duration 500ms").await;
    assert!(register["operations"].as_u64().unwrap() > 0 && register["failed"] == json!({}), "{register}");
    let latency = &register["latency_ms"];
    assert!(
        latency["p50"].as_f64() > Some(0.0) && latency["p50"].as_f64() <= latency["max"].as_f64(),
        "{latency}"
    );

    let heartbeat =
        cluster.json("bench heartbeat --connections 4 --nodes 40 --batch 10 --duration 500ms").await;
    assert_eq!(heartbeat["operations"].as_u64().unwrap() % 10, 0);
    assert!(heartbeat["operations"].as_u64().unwrap() > 0, "{heartbeat}");

    let watch = cluster.json("bench watch --watchers 3 --changes 20").await;
    assert_eq!(watch["also"]["events"], 60.0, "every watcher hears of every change: {watch}");
    assert_eq!(cluster.json("ns list").await, json!([]));

    cluster.json("bench load --nodes 50 --clients 4").await;
    assert_eq!(cluster.json("ns list").await[0]["node_count"], 50);
    assert_eq!(cluster.run("bench load --cleanup").await.0, 0);
    assert_eq!(cluster.json("ns list").await, json!([]));
}

#[tokio::test]
async fn the_route_benchmark_sees_gateways_follow_and_spares_a_namespace_in_use() {
    let cluster = Cluster::start(1).await;
    let gateways = [cluster.gateway("edge", "gateway-1").await, cluster.gateway("edge", "gateway-2").await];
    let line = format!(
        "bench route --ns edge --nodes 20 --changes 3 --gateways {}",
        gateways.each_ref().map(|(_, url)| url.as_str()).join(",")
    );
    let route = cluster.json(&line).await;
    assert_eq!((&route["operations"], &route["failed"]), (&3.into(), &json!({})), "{route}");
    assert!(route["also"]["requests"].as_f64() >= Some(2.0 * 3.0 * 20.0), "{route}");
    assert_eq!(cluster.json("ns list").await, json!([]));

    cluster.json("node register edge 127.0.0.1:1 --ttl 600").await;
    let (code, _, err) = cluster.run(&line).await;
    assert_eq!(code, 64, "{err}");
    assert_eq!(cluster.json("ns list").await[0]["node_count"], 1);
}

#[tokio::test]
async fn a_gateway_of_another_namespace_is_told_by_the_route_benchmark() {
    let cluster = Cluster::start(1).await;
    let (_process, url) = cluster.gateway("other", "gateway").await;
    let (code, _, err) =
        cluster.run(&format!("bench route --ns edge --nodes 1 --changes 1 --gateways {url}")).await;
    assert_eq!(code, 69, "{err}");
    assert!(err.contains(&url), "{err}");
    assert_eq!(cluster.json("ns list").await, json!([]), "it leaves nothing behind");
}

#[tokio::test]
async fn any_server_can_be_measured_by_the_same_load() {
    let cluster = Cluster::start(1).await;
    let target = &cluster.endpoints()[0];
    let line = format!("bench http --targets http://{target} --path /healthz --clients 4 --duration 300ms");
    let report = cluster.json(&line).await;
    assert!(report["operations"].as_u64() > Some(0) && report["failed"] == json!({}), "{report}");
    let (code, out, _) = cluster.run(&line.replace("/healthz", "/nowhere")).await;
    assert_eq!((code, out.contains("FAILED")), (1, true), "answers that are errors do not count: {out}");
}

#[tokio::test]
async fn when_the_leader_is_killed_the_clients_go_on_with_the_others() {
    let mut cluster = Cluster::start(3).await;
    let client = client(&cluster.endpoints());
    let mut node: NodeRegister =
        serde_json::from_value(json!({"ns": "web", "host": "127.0.0.1", "port": 8080, "ttl_seconds": 3}))
            .unwrap();
    let registration = client.register_and_keep(node.clone(), KeepOptions::default());
    registration.registered().await.unwrap();
    let mut watch = client.watch(WatchOptions { from_leader: true, ..WatchOptions::default() }).unwrap();
    let mut told = Vec::new();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<u64>();
    let watching = tokio::spawn(async move {
        let (mut last, mut goal) = (0, u64::MAX);
        while last < goal {
            tokio::select! {
                event = watch.next() => match event {
                    WatchEvent::Snapshot(event) => last = event.revision.0,
                    WatchEvent::Change(event) => {
                        assert_eq!(event.revision.0, last + 1, "no revision is skipped or told twice");
                        last = event.revision.0;
                        told.extend(event.changes);
                    }
                    _ => {}
                },
                revision = &mut stopped, if goal == u64::MAX => goal = revision.unwrap(),
            }
        }
        told
    });

    node.port = 9090.try_into().unwrap();
    client.register(&node).await.unwrap();
    cluster.kill_the_leader().await;
    let weighed = tokio::time::timeout(PATIENCE, async {
        loop {
            let (code, out, err) = cluster.run("node weight web 127.0.0.1:8080 7 -o json").await;
            match code {
                0 => return serde_json::from_str::<Value>(&out).unwrap(),
                // Nobody leads yet, or the dying leader took it along.
                69 | 75 => {}
                _ => panic!("{code}: {err}"),
            }
        }
    });
    let weighed = weighed.await.expect("a new leader in time");
    stop.send(weighed["mod_revision"].as_u64().unwrap()).unwrap();
    let told = tokio::time::timeout(PATIENCE, watching).await.expect("told in time").unwrap();
    let is_weight = |change: &Change| matches!(change, Change::NodePut { cause: NodeCause::Weight, .. });
    assert!(told.iter().any(is_weight), "{told:?}");

    // Two times to live later: the node has been heard of all the time, by whatever member.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let listed = cluster.json("node list web").await;
    let kept =
        listed.as_array().unwrap().iter().find(|node| node["port"] == 8080).expect("the node is there");
    assert_eq!((&kept["status"], &kept["weight"]), (&"online".into(), &7.into()));
    assert_eq!(registration.status().borrow().registrations, 1);
    registration.stop().await.unwrap();
    let left = cluster.json("node list web --status online").await;
    assert_eq!(left, json!([]), "one deregistered, the other was silent");
}
