//! What the tests are made of.

pub(crate) mod client;
pub(crate) mod registry;
pub(crate) mod service;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use kenger_gateway::config::RawListener;
use kenger_gateway::{Gateway, GatewayArgs};
use kenger_types::{Node, NodeId, NodeStatus, Revision, Timestamp};

pub(crate) use client::{Answer, Raw, get};
pub(crate) use registry::Registry;
pub(crate) use service::Service;

/// The longest that a test may take.
const TEST_TIMEOUT: Duration = Duration::from_secs(40);
/// The longest that something may take to come true.
const EVENTUALLY: Duration = Duration::from_secs(10);

/// Runs a test with a bound.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime
        .block_on(async { tokio::time::timeout(TEST_TIMEOUT, test).await.expect("the test took too long") });
    runtime.shutdown_background();
}

/// Waits until something holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let check = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(EVENTUALLY, check)
        .await
        .unwrap_or_else(|_| panic!("it never came true that {what}"));
}

/// A gateway, what it follows, and where it is.
pub(crate) struct Rig {
    pub(crate) registry: Registry,
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// Settings of a gateway for the namespace `demo` with two workers and no health checks.
pub(crate) fn settings(registry: SocketAddr) -> GatewayArgs {
    GatewayArgs {
        registry: vec![format!("http://{registry}")],
        listeners: vec![RawListener { address: "127.0.0.1:0".to_owned(), namespace: "demo".to_owned() }],
        admin: Some("127.0.0.1:0".to_owned()),
        cache_file: Some("off".to_owned()),
        workers: Some("2".to_owned()),
        health_checks: Some("off".to_owned()),
        shutdown_grace: Some("3s".to_owned()),
        ..GatewayArgs::default()
    }
}

impl Rig {
    /// A gateway in front of these nodes.
    pub(crate) async fn start(nodes: Vec<Node>) -> Self {
        Self::with(nodes, |_| ()).await
    }

    /// The same with other settings.
    pub(crate) async fn with(nodes: Vec<Node>, change: impl FnOnce(&mut GatewayArgs)) -> Self {
        let registry = Registry::start(nodes).await;
        let mut settings = settings(registry.address());
        change(&mut settings);
        let gateway = Gateway::start(settings.load().unwrap()).await.unwrap();
        let (address, admin) = (gateway.listeners()[0], gateway.admin());
        let rig = Self { registry, gateway, address, admin };
        rig.ready().await;
        rig
    }

    /// Waits until the gateway has a table.
    pub(crate) async fn ready(&self) {
        eventually("the gateway is ready", async || get(self.admin, "/readyz").await.status == 200).await;
    }

    /// Waits until the gateway routes by the registry's revision.
    pub(crate) async fn caught_up(&self) {
        let revision = self.registry.revision().0;
        eventually("the gateway has caught up", async || {
            self.admin_json("/config").await["revision"] == revision
        })
        .await;
    }

    /// An answer of the admin API.
    pub(crate) async fn admin_json(&self, path: &str) -> serde_json::Value {
        let answer = get(self.admin, path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// The number of a metric: all of its series whose line contains `part`, added up.
    pub(crate) async fn metric(&self, name: &str, part: &str) -> f64 {
        let text = get(self.admin, "/metrics").await.text();
        let prefix = format!("kenger_gateway_{name}");
        text.lines()
            .filter(|line| {
                line.strip_prefix(&prefix).is_some_and(|rest| rest.starts_with(['{', ' ']))
                    && line.contains(part)
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Sends a request over a connection of its own.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        get(self.address, path).await
    }
}

/// An online node at this address.
pub(crate) fn node(address: SocketAddr, weight: u16) -> Node {
    let weight = i64::from(weight).try_into().unwrap();
    Node {
        id: NodeId(address.port().into()),
        ns: "demo".parse().unwrap(),
        host: address.ip().to_string().parse().unwrap(),
        port: i64::from(address.port()).try_into().unwrap(),
        weight,
        registered_weight: weight,
        health_path: None,
        status: NodeStatus::Online,
        metadata: Default::default(),
        ttl_seconds: None,
        last_heartbeat: None,
        created_at: Timestamp::from_unix_ms(1_700_000_000_123),
        updated_at: Timestamp::from_unix_ms(1_700_000_001_456),
        mod_revision: Revision(1),
    }
}

/// A directory with a cache file in it.
pub(crate) fn cache_file() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.cache");
    (directory, path)
}

/// An address that nobody listens at.
pub(crate) fn dead_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
