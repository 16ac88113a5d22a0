//! The original client, unmodified, as a Python service uses it, against any member.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use jepsen_tests::harness::{
    Cluster, MemberId, Process, Settings, eventually, eventually_some, python_with_kengerkit, skip,
};
use kenger_types::{Node, NodeStatus};
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::time::sleep;

/// The client sends a heartbeat each second.
const TTL: Duration = Duration::from_secs(4);
const DELETE_AFTER: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(20);

/// The Python to run the client with; `None` if this machine has none, which is said aloud.
fn python(test: &str) -> Option<PathBuf> {
    python_with_kengerkit().inspect_err(|reason| skip(test, reason)).ok()
}

async fn start() -> Cluster {
    Cluster::start(Settings::default().with_node_times(TTL, DELETE_AFTER)).await
}

/// A service that registers at a member.
fn service(python: &Path, cluster: &Cluster, member: MemberId, host: &str, token: &str) -> Process {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/service.py");
    let mut command = Command::new(python);
    command.arg(script).args(["--url", &cluster.api(member).url, "--token", token]);
    command.args(["--namespace", "kit", "--host", host]).env("PYTHONUNBUFFERED", "1").env("NO_PROXY", "*");
    Process::start(host, &mut command, &cluster.folder().join(format!("{host}.log")), None)
}

/// What the registry knows of a service.
async fn registered(cluster: &Cluster, host: &str) -> Option<Node> {
    let leader = cluster.leader().await?;
    let nodes = cluster.api(leader).nodes().await?;
    nodes.into_iter().find(|node| node.host.as_str() == host)
}

async fn wait_registered(cluster: &Cluster, host: &str) -> Node {
    eventually_some(&format!("{host} is registered"), LIMIT, async || registered(cluster, host).await).await
}

#[tokio::test]
async fn a_kengerkit_service_registers_survives_the_leaders_death_and_deregisters() {
    let name = "a_kengerkit_service_registers_survives_the_leaders_death_and_deregisters";
    let Some(python) = python(name) else { return };
    let mut cluster = start().await;
    let token = cluster.settings().token.clone();
    let hosts: Vec<_> = cluster.ids().into_iter().map(|id| (id, format!("service-{id}"))).collect();
    let mut services: Vec<_> =
        hosts.iter().map(|(id, host)| service(&python, &cluster, *id, host, &token)).collect();
    let mut first = Vec::new();
    for (_, host) in &hosts {
        let node = wait_registered(&cluster, host).await;
        assert_eq!((node.status, node.weight.get(), node.ns.as_str()), (NodeStatus::Online, 70, "kit"));
        assert_eq!(node.health_path.as_ref().map(|path| path.as_str()), Some("/api/status"));
        first.push(node);
    }

    let leader = cluster.wait_for_leader().await;
    cluster.kill(leader);
    sleep(TTL * 2).await;
    for (before, (member, host)) in first.iter().zip(&hosts) {
        if *member != leader {
            let node = registered(&cluster, host).await.expect("it is still registered");
            assert_eq!(node.status, NodeStatus::Online, "{host}");
            assert_eq!(node.mod_revision, before.mod_revision, "{host} was offline in between");
        }
    }
    // The one whose member is down finds it again when it is back.
    cluster.start_member(leader);
    cluster.wait_until_ready(leader).await;
    let orphan = format!("service-{leader}");
    eventually("the service whose member was down is online again", LIMIT, async || {
        registered(&cluster, &orphan).await.is_some_and(|node| node.status == NodeStatus::Online)
    })
    .await;

    for service in &mut services {
        service.signal(Signal::SIGTERM);
    }
    for (service, (_, host)) in services.iter_mut().zip(&hosts) {
        assert!(service.wait(LIMIT).await.success(), "{host}");
        assert_eq!(registered(&cluster, host).await, None, "{host} has deregistered");
    }
}

#[tokio::test]
async fn a_kengerkit_service_with_a_wrong_token_is_refused_and_leaves_no_trace() {
    let name = "a_kengerkit_service_with_a_wrong_token_is_refused_and_leaves_no_trace";
    let Some(python) = python(name) else { return };
    let cluster = start().await;
    for id in cluster.ids() {
        let mut service = service(&python, &cluster, id, "intruder", "not-the-token");
        assert_eq!(service.wait(LIMIT).await.code(), Some(3), "the client raises AuthenticationError");
    }
    let leader = cluster.wait_for_leader().await;
    assert_eq!(cluster.api(leader).namespaces().await, Some(Vec::new()));
    assert_eq!(cluster.api(leader).nodes().await, Some(Vec::new()));
}

#[tokio::test]
async fn a_kengerkit_service_makes_its_namespace_and_registers_again_when_it_was_deleted() {
    let name = "a_kengerkit_service_makes_its_namespace_and_registers_again_when_it_was_deleted";
    let Some(python) = python(name) else { return };
    let cluster = start().await;
    let leader = cluster.wait_for_leader().await;
    let api = cluster.api(leader);
    assert_eq!(api.namespaces().await, Some(Vec::new()));
    let follower = leader % 3 + 1;
    let token = cluster.settings().token.clone();
    let _service = service(&python, &cluster, follower, "returner", &token);
    let first = wait_registered(&cluster, "returner").await;
    let names: Vec<_> = api.namespaces().await.unwrap().into_iter().map(|namespace| namespace.name).collect();
    assert_eq!(names, ["kit".parse().unwrap()]);

    let body = json!({"id": first.id});
    api.post::<serde_json::Value>(kenger_types::api::path::NODE_DELETE, &body).await.acknowledged();
    // Three heartbeats are answered with 404 before the client registers again.
    let second = wait_registered(&cluster, "returner").await;
    assert_ne!(second.id, first.id);
    assert_eq!((second.host, second.port, second.weight), (first.host, first.port, first.weight));
}
