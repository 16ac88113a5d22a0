//! Where time, randomness, the network, the disk and threads enter.
//!
//! A whole cluster can run in a seeded simulation because nothing in this crate reads a clock,
//! draws a number, opens a socket or a file, or starts a thread except through an [`Env`]. Monotonic
//! time and timers are tokio's, which a simulation drives; the wall clock is only ever shown to people.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::Rng;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinError;
use tokio::time::Instant;

mod disk;

pub(crate) use disk::NativeDisk;
pub use disk::{Disk, DiskFile, DiskLock};

/// A byte stream between two members.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A stream of whichever network the environment has.
pub type BoxStream = Box<dyn Stream>;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Opens connections to other members.
pub trait Network: Send + Sync {
    /// Connects to `host:port`.
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<BoxStream>>;
}

/// Takes connections of other members.
pub trait Listener: Send {
    /// Waits for the next connection. An error is of that connection only; the listener goes on.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>>;
}

/// The wall clock. It may jump; nothing but what is shown to people comes from it.
pub trait WallClock: Send + Sync {
    /// Milliseconds since 1970.
    fn unix_ms(&self) -> u64;
}

/// Random numbers.
pub trait Entropy: Send + Sync {
    /// 64 random bits.
    fn next_u64(&self) -> u64;
}

/// Where work is done that takes long or waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// On threads of their own, so that nothing else is held up.
    Threads,
    /// Within the task that asks for it: a simulation does everything on one thread and in one order.
    Inline,
}

impl Workers {
    /// Does `work`.
    ///
    /// # Errors
    /// It panicked, or the runtime is going down.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        match self {
            Workers::Threads => tokio::task::spawn_blocking(work).await,
            Workers::Inline => Ok(work()),
        }
    }
}

/// A disk, and where the work with it is done. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub(crate) struct Storage {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) workers: Workers,
}

impl Storage {
    /// The machine's own.
    pub(crate) fn native() -> Self {
        Self { disk: Arc::new(NativeDisk), workers: Workers::Threads }
    }

    /// Does `work` with the disk where it may wait.
    ///
    /// # Errors
    /// Those of the work.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Disk) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let disk = Arc::clone(&self.disk);
        self.workers.run(move || work(&*disk)).await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

/// Time, randomness, network, disk and threads, passed to everything that needs them.
#[derive(Clone)]
pub struct Env {
    network: Arc<dyn Network>,
    wall_clock: Arc<dyn WallClock>,
    entropy: Arc<dyn Entropy>,
    storage: Storage,
}

/// How far [`Env::wall_instant`] goes back at most.
const WALL_BACK_MAX: Duration = Duration::from_secs(30 * 86_400);

impl Env {
    /// The machine's own clock, randomness, TCP, disk and threads.
    pub fn system() -> Self {
        Self::new(Arc::new(Tcp), Arc::new(SystemClock), Arc::new(SystemEntropy))
    }

    /// Any other, for simulations and tests; with the machine's own disk and threads.
    pub fn new(network: Arc<dyn Network>, wall_clock: Arc<dyn WallClock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { network, wall_clock, entropy, storage: Storage::native() }
    }

    /// The same with another disk, and with the work done where `workers` says.
    #[must_use]
    pub fn with_disk(self, disk: Arc<dyn Disk>, workers: Workers) -> Self {
        Self { storage: Storage { disk, workers }, ..self }
    }

    /// The disk, and where the work with it is done.
    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Where work is done that takes long.
    pub(crate) fn workers(&self) -> Workers {
        self.storage.workers
    }

    /// Monotonic time: tokio's, so that it can be paused and simulated.
    pub fn now(&self) -> Instant {
        Instant::now()
    }

    /// The wall clock in milliseconds since 1970, for people.
    pub fn unix_ms(&self) -> u64 {
        self.wall_clock.unix_ms()
    }

    /// The wall clock in the shape of a monotonic time: what leases never go by, except in a mutant.
    pub(crate) fn wall_instant(&self) -> Instant {
        static BEGAN: OnceLock<(Instant, u64)> = OnceLock::new();
        let (instant, then_ms) = *BEGAN.get_or_init(|| (self.now() + WALL_BACK_MAX, self.unix_ms()));
        let now_ms = self.unix_ms();
        let (on, back) = (now_ms.saturating_sub(then_ms), then_ms.saturating_sub(now_ms));
        instant + Duration::from_millis(on) - Duration::from_millis(back).min(WALL_BACK_MAX)
    }

    /// 64 random bits.
    pub fn random_u64(&self) -> u64 {
        self.entropy.next_u64()
    }

    /// 128 random bits.
    pub fn random_u128(&self) -> u128 {
        (u128::from(self.random_u64()) << 64) | u128::from(self.random_u64())
    }

    /// Connects to another member at `host:port`.
    ///
    /// # Errors
    /// Whatever the network says.
    pub async fn connect(&self, address: &str) -> io::Result<BoxStream> {
        self.network.connect(address).await
    }
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Env")
    }
}

struct Tcp;

impl Network for Tcp {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<BoxStream>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            tune(&stream)?;
            Ok(Box::new(stream) as BoxStream)
        })
    }
}

impl Listener for TcpListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>> {
        Box::pin(async move {
            let (stream, address) = TcpListener::accept(self).await?;
            tune(&stream)?;
            Ok((Box::new(stream) as BoxStream, address))
        })
    }
}

/// Silence after which the system asks whether the other machine is still there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(10);

/// How often it asks again.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// How long what was sent may stay unacknowledged by the other machine.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(20);

/// Small messages go out at once, and a machine that is gone without a word is noticed.
fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    Ok(())
}

struct SystemClock;

impl WallClock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    fn unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    fn next_u64(&self) -> u64 {
        rand::rng().next_u64()
    }
}
