//! Puts the parts together: binds everything first, then starts, and stops in the reverse order.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use kenger_sdk::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin};
use crate::config::{Config, RegistryConfig};
use crate::discovery::{self, FeedStatus, cache};
use crate::health::{self, HealthCounters};
use crate::metrics::{ListenerLabels, Sources, WorkerCounters};
use crate::proxy::{WorkerHandle, WorkerSetup, bind};
use crate::routing::{NoNode, Router, Table};

/// Why a gateway does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An address is taken or cannot be had.
    #[error("{address}: {source} (listener of {purpose})")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What would have listened there.
        purpose: String,
        /// Why not.
        source: io::Error,
    },
    /// The registry's endpoints or the token cannot be used.
    #[error("registry: {0}")]
    Registry(#[from] kenger_sdk::Error),
    /// A thread or a runtime cannot be made.
    #[error("a worker cannot be started: {0}")]
    Worker(#[source] io::Error),
    /// A part that must not end has ended.
    #[error("{0} has ended unexpectedly")]
    Ended(&'static str),
}

/// A gateway that runs.
#[derive(Debug)]
pub struct Gateway {
    listeners: Vec<SocketAddr>,
    admin: SocketAddr,
    /// Cancelled: take no new connections.
    stop: CancellationToken,
    workers: JoinSet<()>,
    /// Discovery, health checks, cache and admin API; each tells its name if it ends.
    tasks: JoinSet<&'static str>,
    cache_file: Option<PathBuf>,
    router: Arc<Router>,
    feed: Arc<FeedStatus>,
}

/// Runs a gateway until `shutdown`, then lets it finish what is in flight.
///
/// # Errors
/// It cannot be started, or one of its parts has failed.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
    let mut gateway = Gateway::start(config).await?;
    let failed = tokio::select! {
        () = shutdown => None,
        failed = gateway.failed() => Some(failed),
    };
    gateway.shutdown().await;
    failed.map_or(Ok(()), Err)
}

impl Gateway {
    /// Binds all addresses, loads the cache and begins to serve. Must be called within a runtime,
    /// which discovery, health checks and the admin API run on.
    ///
    /// # Errors
    /// An address is taken, the registry's settings cannot be used, or a thread cannot be made.
    pub async fn start(config: Config) -> Result<Self, RunError> {
        let client = client(&config.registry)?;
        let sockets = bind_all(&config)?;
        let (admin_listener, admin_address) = bind_admin(config.admin).await?;

        let namespaces = config.listeners.iter().map(|listener| listener.namespace.clone());
        let router = Arc::new(Router::new(namespaces, config.workers));
        let feed = Arc::new(FeedStatus::default());
        if let Some(path) = &config.cache_file {
            discovery::load_cache(path, &router, &feed);
        }

        let stop = CancellationToken::new();
        let addresses: Vec<SocketAddr> =
            sockets.iter().filter_map(|per_worker| address(per_worker)).collect();
        let counters: Arc<[_]> =
            (0..config.workers).map(|_| Arc::new(WorkerCounters::new(config.listeners.len()))).collect();
        let mut workers = JoinSet::new();
        for setup in setups(&config, sockets, &router, &counters, &stop) {
            let worker: WorkerHandle = setup.start().map_err(RunError::Worker)?;
            workers.spawn(worker.stopped());
        }

        let labels = addresses.iter().zip(&config.listeners).map(|(address, listener)| ListenerLabels {
            address: address.to_string(),
            namespace: listener.namespace.clone(),
        });
        let sources = Sources {
            listeners: labels.collect(),
            workers: counters,
            router: Arc::clone(&router),
            feed: Arc::clone(&feed),
            health: Arc::new(HealthCounters::default()),
        };
        let cache_file = config.cache_file.clone();
        let tasks = spawn_tasks(config, client, sources, admin_listener, &stop);
        Ok(Self {
            listeners: addresses,
            admin: admin_address,
            stop,
            workers,
            tasks,
            cache_file,
            router,
            feed,
        })
    }

    /// Where the listeners listen, in the order of the configuration.
    pub fn listeners(&self) -> &[SocketAddr] {
        &self.listeners
    }

    /// Where the admin API listens.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Waits until a part has ended that must not. Cancel-safe.
    pub async fn failed(&mut self) -> RunError {
        tokio::select! {
            Some(_) = self.workers.join_next() => RunError::Ended("a worker"),
            Some(ended) = self.tasks.join_next() => RunError::Ended(ended.unwrap_or("a task that panicked")),
            else => RunError::Ended("everything"),
        }
    }

    /// Takes no more connections, lets what is in flight finish within the configured time, cuts
    /// what is left, and writes the cache.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        while self.workers.join_next().await.is_some() {}
        if let Some(path) = &self.cache_file {
            cache::write(path, &self.router, &self.feed).await;
        }
        self.tasks.shutdown().await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // The workers' threads would go on without it.
        self.stop.cancel();
    }
}

fn client(registry: &RegistryConfig) -> Result<Client, RunError> {
    let mut builder = Client::builder().endpoints(registry.endpoints.iter().cloned());
    if let Some(token) = &registry.token {
        builder = builder.token(token.clone());
    }
    Ok(builder.build()?)
}

/// For each listener, one socket for each worker.
fn bind_all(config: &Config) -> Result<Vec<Vec<std::net::TcpListener>>, RunError> {
    let one = |listener: &crate::config::ListenerConfig| {
        bind(listener.address, config.workers).map_err(|source| RunError::Bind {
            address: listener.address,
            purpose: format!("the namespace {}", listener.namespace),
            source,
        })
    };
    config.listeners.iter().map(one).collect()
}

async fn bind_admin(address: SocketAddr) -> Result<(tokio::net::TcpListener, SocketAddr), RunError> {
    let wrong = |source| RunError::Bind { address, purpose: "the admin API".to_owned(), source };
    let listener = tokio::net::TcpListener::bind(address).await.map_err(wrong)?;
    let bound = listener.local_addr().map_err(wrong)?;
    Ok((listener, bound))
}

fn address(sockets: &[std::net::TcpListener]) -> Option<SocketAddr> {
    sockets.first()?.local_addr().ok()
}

fn setups(
    config: &Config,
    sockets: Vec<Vec<std::net::TcpListener>>,
    router: &Router,
    counters: &[Arc<WorkerCounters>],
    stop: &CancellationToken,
) -> Vec<WorkerSetup> {
    let proxy = Arc::new(config.proxy.clone());
    let mut by_worker: Vec<Vec<_>> = counters.iter().map(|_| Vec::new()).collect();
    for (listener, sockets) in config.listeners.iter().zip(sockets) {
        let nobody = || {
            Arc::new(arc_swap::ArcSwap::from_pointee(Table::nobody(Default::default(), NoNode::NothingKnown)))
        };
        let table = router.table(&listener.namespace).cloned().unwrap_or_else(nobody);
        for (of_worker, socket) in by_worker.iter_mut().zip(sockets) {
            of_worker.push((socket, Arc::clone(&table)));
        }
    }
    by_worker
        .into_iter()
        .zip(counters)
        .enumerate()
        .map(|(index, (sockets, counters))| WorkerSetup {
            index,
            config: Arc::clone(&proxy),
            sockets,
            endpoints_left: router.endpoints_left(),
            counters: Arc::clone(counters),
            stop: stop.clone(),
        })
        .collect()
}

fn spawn_tasks(
    config: Config,
    client: Client,
    sources: Sources,
    admin_listener: tokio::net::TcpListener,
    stop: &CancellationToken,
) -> JoinSet<&'static str> {
    let mut tasks = JoinSet::new();
    let (router, feed) = (Arc::clone(&sources.router), Arc::clone(&sources.feed));
    if let Some(path) = config.cache_file.clone() {
        let (router, feed) = (Arc::clone(&router), Arc::clone(&feed));
        tasks.spawn(async move {
            cache::keep(path, router, feed).await;
            "the cache"
        });
    }
    if config.health.is_on {
        let health = config.health.clone();
        let (router, counters) = (Arc::clone(&router), Arc::clone(&sources.health));
        tasks.spawn(async move {
            health::run(health, router, counters).await;
            "the health checks"
        });
    }
    tasks.spawn(async move {
        if let Err(error) = discovery::follow(client, router, feed).await {
            tracing::error!(%error, "the registry cannot be followed");
        }
        "discovery"
    });
    let admin = Arc::new(Admin { config, sources, stop: stop.clone() });
    tasks.spawn(async move {
        admin::serve(admin, admin_listener, std::future::pending()).await;
        "the admin API"
    });
    tasks
}
