//! Faults between members without root: a TCP proxy for each ordered pair of members.
//!
//! The member list names, as the peer address of each member, a port of this process; the member itself
//! listens on another port of the same address. The list stays the same on all members, as the first
//! start of a cluster demands, and the product is not asked to know of the proxies. Who dials is found
//! in `/proc`: the process that holds the other end of the connection ([`dialler`]).
//!
//! A proxy sees bytes of connections, not packets. It can delay, hold and throttle them and break
//! connections, all of it one way; it cannot lose packets.

mod dialler;
mod link;
mod pipe;

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::cluster::{Cluster, Home, loopback_homes};
use super::links::{Faults, LinkId, PROBE_BYTES, PROBE_LIMIT, Probed, all_links};
use super::settings::{MemberId, Settings};
use dialler::Diallers;
use link::{Link, Rules};

/// Most connections at one time; more are turned away. A member opens one for each purpose and peer.
const CONNECTIONS_MAX: usize = 512;
/// How long connecting to a member may take: it is on this machine.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// The proxies of all pairs. They end with this.
#[derive(Debug)]
pub struct Proxies {
    shared: Arc<Shared>,
    faults: Faults,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    homes: BTreeMap<MemberId, Home>,
    links: BTreeMap<LinkId, Arc<Link>>,
    /// Tests of links that are under way, by the address that they come from.
    probes: Mutex<HashMap<SocketAddr, Probe>>,
    diallers: Diallers,
}

#[derive(Debug, Clone)]
struct Probe {
    from: MemberId,
    /// Where what arrives is counted.
    sink: SocketAddr,
}

impl Proxies {
    /// Listens in front of members that are not there yet, on loopback addresses that nobody else has.
    /// `seed` decides what chance decides.
    ///
    /// # Errors
    /// A port is taken.
    pub fn new(members: u64, seed: u64) -> Result<Self, String> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let homes: BTreeMap<MemberId, Home> =
            (1..).zip(loopback_homes(members)).map(|(id, home)| (id, home.behind_a_proxy())).collect();
        let ids: Vec<_> = homes.keys().copied().collect();
        let links = all_links(&ids).into_iter().map(|id| (id, Arc::new(Link::new(rng.fork())))).collect();
        let mut listeners = Vec::new();
        for (id, home) in &homes {
            let listener = std::net::TcpListener::bind(home.peer_front())
                .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                .map_err(|error| format!("no proxy at {}: {error}", home.peer_front()))?;
            listeners.push((*id, listener));
        }
        let shared =
            Arc::new(Shared { homes, links, probes: Mutex::default(), diallers: Diallers::default() });
        let stop = CancellationToken::new();
        // A thread of its own: a busy run must not look like a slow network.
        let thread = std::thread::Builder::new().name("proxies".to_owned()).spawn({
            let (shared, stop) = (Arc::clone(&shared), stop.clone());
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
                    for (member, listener) in listeners {
                        let listener = TcpListener::from_std(listener).unwrap();
                        tokio::spawn(accept(Arc::clone(&shared), member, listener, Arc::clone(&places)));
                    }
                    stop.cancelled().await;
                });
            }
        });
        Ok(Self { shared, faults: Faults::default(), stop, thread: Some(thread.unwrap()) })
    }

    /// Starts a cluster behind the proxies.
    pub async fn start(&self, settings: Settings) -> Cluster {
        assert_eq!(settings.members, self.shared.homes.len() as u64);
        Cluster::start_in(self.shared.homes.values().cloned().collect(), settings).await
    }

    /// Changes what is wrong with the links.
    pub(super) fn change<T>(&mut self, change: impl FnOnce(&mut Faults) -> T) -> T {
        let changed = change(&mut self.faults);
        let (cuts, impairments) = (self.faults.cuts(), self.faults.impairments());
        for (id, link) in &self.shared.links {
            let impairment = impairments.get(id).copied().unwrap_or_default();
            link.set(Rules { cut: cuts.get(id).copied(), impairment });
        }
        changed
    }

    /// How many bytes have passed a link since the beginning.
    pub fn carried(&self, from: MemberId, to: MemberId) -> u64 {
        self.shared.links[&(from, to)].carried()
    }

    /// Sends `packets` over a link, as if member `from` did, to a sink of its own behind the same proxy.
    pub async fn probe(&self, from: MemberId, to: MemberId, packets: u32) -> Probed {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let source = socket.local_addr().unwrap();
        let sink = listener.local_addr().unwrap();
        self.shared.probes.lock().unwrap().insert(source, Probe { from, sink });
        let front = self.shared.homes[&to].peer_front();
        let began = Instant::now();
        let sending = async {
            let mut stream = socket.connect(front.into()).await?;
            stream.set_nodelay(true)?;
            for _ in 0..packets {
                stream.write_all(&[7; PROBE_BYTES]).await?;
            }
            // Held open until it is known what arrived.
            std::future::pending::<std::io::Result<()>>().await
        };
        let (mut arrived, mut slowest) = (0, Duration::ZERO);
        let receiving = pipe::count(&listener, |bytes| {
            (arrived, slowest) = (u32::try_from(bytes / PROBE_BYTES).unwrap(), began.elapsed());
            arrived >= packets
        });
        let both = async {
            tokio::select! { _ = sending => {}, () = receiving => {} }
        };
        // Late is lost.
        let _ = timeout(PROBE_LIMIT, both).await;
        self.shared.probes.lock().unwrap().remove(&source);
        Probed { sent: packets, arrived, slowest }
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

async fn accept(shared: Arc<Shared>, member: MemberId, listener: TcpListener, places: Arc<Semaphore>) {
    loop {
        let Ok((stream, source)) = listener.accept().await else {
            // The system is out of something; it is not asked again at once.
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            let _ = stream.set_zero_linger();
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            if let Some((from, target)) = shared.ends(member, source, &stream).await {
                let up = Arc::clone(&shared.links[&(from, member)]);
                let down = Arc::clone(&shared.links[&(member, from)]);
                carry(stream, target, up, down).await;
            } else {
                let _ = stream.set_zero_linger();
            }
            drop(place);
        });
    }
}

impl Shared {
    /// Who dials, and where to; `None` if that is nobody who is known.
    async fn ends(
        &self,
        member: MemberId,
        source: SocketAddr,
        stream: &TcpStream,
    ) -> Option<(MemberId, SocketAddr)> {
        let probe = self.probes.lock().unwrap().get(&source).cloned();
        if let Some(probe) = probe {
            return Some((probe.from, probe.sink));
        }
        let pids = || self.homes.iter().map(|(id, home)| (*id, home.pid.load(Ordering::Relaxed))).collect();
        let from = self.diallers.find(source, stream.local_addr().ok()?, pids).await;
        let from = from.filter(|from| *from != member)?;
        Some((from, self.homes[&member].peer_address().into()))
    }
}

/// One connection, from its dialler to its target. If it ends other than by both sides' own will, both
/// see a reset.
async fn carry(mut near: TcpStream, target: SocketAddr, up: Arc<Link>, down: Arc<Link>) {
    let far = async {
        if up.is_reset() || down.is_reset() {
            return None;
        }
        timeout(CONNECT_LIMIT, TcpStream::connect(target)).await.ok()?.ok()
    };
    let Some(mut far) = far.await else {
        let _ = near.set_zero_linger();
        return;
    };
    let _ = (far.set_nodelay(true), near.set_nodelay(true));
    let is_orderly = {
        let (near_read, near_write) = near.split();
        let (far_read, far_write) = far.split();
        let both = async {
            tokio::try_join!(pipe::run(near_read, far_write, &up), pipe::run(far_read, near_write, &down))
        };
        tokio::select! {
            ended = both => ended.is_ok(),
            () = up.reset() => false,
            () = down.reset() => false,
        }
    };
    if !is_orderly {
        let _ = (near.set_zero_linger(), far.set_zero_linger());
    }
}
