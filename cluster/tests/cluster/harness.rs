//! Starts members that find each other by name, whatever port they get, and that can be cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kenger_cluster::config::{Compaction, LeaseTimes, StaticMember, Timing};
use kenger_cluster::env::{BoxStream, Entropy, Network, WallClock};
use kenger_cluster::{
    Committed, Env, Member, MemberConfig, ProposeError, StartError, StoreKind, state::Command,
};
use kenger_types::api::NodeAddress;
use kenger_types::{MemberId, Metadata, Weight};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// Long enough for anything that ever happens, on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

const SECRET: &[u8] = b"the members of this test know it";

/// Where members listen at the moment, and who cannot reach whom.
#[derive(Default)]
pub(crate) struct Wires {
    ports: Mutex<BTreeMap<String, u16>>,
    /// Ends connections when it changes.
    cuts: watch::Sender<BTreeSet<(u64, String)>>,
}

impl Wires {
    fn is_cut(cuts: &BTreeSet<(u64, String)>, from: u64, to: &str) -> bool {
        cuts.contains(&(from, to.to_owned()))
    }
}

/// One member's view of the wires: a TCP connection through a task that can end it.
struct Wire {
    from: u64,
    wires: Arc<Wires>,
}

impl Network for Wire {
    fn connect<'a>(
        &'a self,
        address: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<BoxStream>> + Send + 'a>> {
        Box::pin(async move {
            let port = self.wires.ports.lock().unwrap().get(address).copied();
            let port = port.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionRefused))?;
            let mut cuts = self.wires.cuts.subscribe();
            let (from, to) = (self.from, address.to_owned());
            if Wires::is_cut(&cuts.borrow_and_update(), from, &to) {
                return Err(io::Error::from(io::ErrorKind::HostUnreachable));
            }
            let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
            socket.set_nodelay(true)?;
            let (near, mut far) = tokio::io::duplex(256 << 10);
            tokio::spawn(async move {
                let cut = async {
                    let _ = cuts.wait_for(|cuts| Wires::is_cut(cuts, from, &to)).await;
                };
                tokio::select! {
                    () = cut => {}
                    _ = tokio::io::copy_bidirectional(&mut far, &mut socket) => {}
                }
            });
            Ok(Box::new(near) as BoxStream)
        })
    }
}

struct Clock;

impl WallClock for Clock {
    #[expect(clippy::disallowed_methods, reason = "the members need some wall clock")]
    fn unix_ms(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::try_from(since.as_millis()).unwrap()
    }
}

struct Dice;

impl Entropy for Dice {
    #[expect(clippy::disallowed_methods, reason = "the members need some randomness")]
    fn next_u64(&self) -> u64 {
        rand::random()
    }
}

/// Members that were started from one list.
pub(crate) struct Cluster {
    pub(crate) wires: Arc<Wires>,
    configs: Vec<MemberConfig>,
    members: BTreeMap<u64, Member>,
    _directory: TempDir,
}

impl Cluster {
    /// Configures members 1 to `size`, and starts none.
    pub(crate) fn configured(size: u64, store: StoreKind) -> Self {
        // What the members say, for whoever wants to see it: RUST_LOG=info.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let directory = tempfile::tempdir().unwrap();
        let members: Vec<_> = (1..=size)
            .map(|id| StaticMember { id: MemberId(id), peer: name(id), api: format!("192.0.2.{id}:5000") })
            .collect();
        let configs = (1..=size).map(|id| MemberConfig {
            id: MemberId(id),
            members: members.clone(),
            data_dir: directory.path().join(id.to_string()),
            store,
            peer_secret: SECRET.to_vec(),
            timing: Timing::default(),
            compaction: Compaction::default(),
            lease: LeaseTimes::default(),
            feed_ring_revisions: 1_024,
        });
        let configs = configs.collect();
        Self { wires: Arc::default(), configs, members: BTreeMap::new(), _directory: directory }
    }

    /// Starts members 1 to `size` and waits until all follow one leader.
    pub(crate) async fn started(size: u64, store: StoreKind) -> Self {
        Self::started_with(size, store, |_| {}).await
    }

    /// As [`Cluster::started`], with another configuration of each.
    pub(crate) async fn started_with(
        size: u64,
        store: StoreKind,
        change: impl Fn(&mut MemberConfig),
    ) -> Self {
        let mut cluster = Self::configured(size, store);
        cluster.configs.iter_mut().for_each(change);
        cluster.start_all().await;
        cluster.agreed().await;
        cluster
    }

    pub(crate) fn config(&mut self, id: u64) -> &mut MemberConfig {
        self.configs.iter_mut().find(|config| config.id.0 == id).unwrap()
    }

    pub(crate) async fn start_all(&mut self) {
        for id in self.configs.iter().map(|config| config.id.0).collect::<Vec<_>>() {
            self.start(id).await.unwrap();
        }
    }

    pub(crate) async fn start(&mut self, id: u64) -> Result<Member, StartError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.wires.ports.lock().unwrap().insert(name(id), listener.local_addr().unwrap().port());
        let network = Arc::new(Wire { from: id, wires: Arc::clone(&self.wires) });
        let env = Env::new(network, Arc::new(Clock), Arc::new(Dice));
        let member = Member::start(self.config(id).clone(), env, Box::new(listener)).await?;
        self.members.insert(id, member.clone());
        Ok(member)
    }

    pub(crate) fn member(&self, id: u64) -> &Member {
        &self.members[&id]
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// Stops a member as SIGTERM does.
    pub(crate) async fn stop(&mut self, id: u64) {
        let member = self.members.remove(&id).unwrap();
        timeout(PATIENCE, member.shutdown()).await.expect("the member stops");
        self.wires.ports.lock().unwrap().remove(&name(id));
    }

    pub(crate) async fn stop_all(&mut self) {
        let members = std::mem::take(&mut self.members);
        let stops = members.values().map(|member| {
            let member = member.clone();
            tokio::spawn(async move { member.shutdown().await })
        });
        for stop in stops.collect::<Vec<_>>() {
            timeout(PATIENCE, stop).await.expect("the members stop").unwrap();
        }
        self.wires.ports.lock().unwrap().clear();
    }

    /// Nobody reaches `id`, and it reaches nobody.
    pub(crate) fn cut_off(&self, id: u64) {
        let all: Vec<_> = self.configs.iter().map(|config| config.id.0).collect();
        self.wires.cuts.send_modify(|cuts| {
            for other in all.into_iter().filter(|other| *other != id) {
                cuts.insert((id, name(other)));
                cuts.insert((other, name(id)));
            }
        });
    }

    pub(crate) fn mend(&self) {
        self.wires.cuts.send_modify(BTreeSet::clear);
    }

    /// Waits until all running members name the same leader, and returns it.
    pub(crate) async fn agreed(&self) -> u64 {
        let ids: Vec<_> = self.members.keys().copied().collect();
        self.agreed_among(&ids).await
    }

    pub(crate) async fn agreed_among(&self, ids: &[u64]) -> u64 {
        let mut found = 0;
        eventually("the members agree on a leader", || {
            let leaders: BTreeSet<_> =
                ids.iter().map(|id| self.members[id].leadership().leader.map(|leader| leader.id.0)).collect();
            let leader = leaders.first().copied().flatten();
            found = leader.unwrap_or_default();
            leaders.len() == 1
                && leader.is_some_and(|leader| {
                    ids.contains(&leader) && self.members[&leader].leadership().is_leader
                })
        })
        .await;
        found
    }
}

fn name(id: u64) -> String {
    format!("member-{id}:1")
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn address(port: i64) -> NodeAddress {
    NodeAddress {
        ns: "shop".parse().unwrap(),
        host: "192.0.2.9".parse().unwrap(),
        port: port.try_into().unwrap(),
    }
}

/// A service at this port registers.
pub(crate) fn register(port: i64) -> Command {
    register_with(port, Metadata::default())
}

pub(crate) fn register_with(port: i64, metadata: Metadata) -> Command {
    Command::Register {
        key: address(port),
        weight: Weight::default(),
        health_path: None,
        metadata,
        ttl_seconds: None,
        create_namespace: true,
        if_revision: None,
    }
}

/// Registers, again and again while nothing was done.
pub(crate) async fn surely_register(member: &Member, port: i64) -> Committed {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match member.propose(register(port)).await {
            Ok(committed) => return committed,
            Err(error) if error.is_retryable() && Instant::now() < deadline => {}
            // Registering twice is registering once.
            Err(ProposeError::Unknown(_)) if Instant::now() < deadline => {}
            Err(error) => panic!("registering failed: {error}"),
        }
    }
}

/// The ports that are registered, as a member has applied them.
pub(crate) fn ports(member: &Member) -> BTreeSet<u16> {
    member.state().nodes().map(|node| node.port.get()).collect()
}

pub(crate) async fn barrier(member: &Member) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = member.read_barrier().await {
        assert!(Instant::now() < deadline, "no linearizable read: {error}");
    }
}
