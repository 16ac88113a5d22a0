//! A worker: one thread with its own runtime, listening sockets, connections and counters. Workers
//! share the tables and nothing else.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use http::HeaderValue;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::LocalSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::budget::RetryBudget;
use super::client;
use super::pool::{Pool, SWEEP_INTERVAL};
use crate::config::ProxyConfig;
use crate::metrics::WorkerCounters;
use crate::routing::SharedTable;

/// How long accepting rests after an error such as too many open files.
const ACCEPT_REST: Duration = Duration::from_millis(20);

/// What is listened at and for whom.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Its place in the configuration and in the counters.
    pub(crate) index: usize,
    /// The port as it stands in a header.
    pub(crate) port: HeaderValue,
    pub(crate) table: SharedTable,
}

/// What one worker's tasks share.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) config: Arc<ProxyConfig>,
    pub(crate) pool: Rc<Pool>,
    pub(crate) budget: RefCell<RetryBudget>,
    pub(crate) random: RefCell<fastrand::Rng>,
    pub(crate) counters: Arc<WorkerCounters>,
    /// Set before the token that connections hold is cancelled.
    pub(crate) is_stopping: Cell<bool>,
}

/// What a worker is started with.
pub(crate) struct WorkerSetup {
    pub(crate) index: usize,
    pub(crate) config: Arc<ProxyConfig>,
    /// One socket for each listener, with its table.
    pub(crate) sockets: Vec<(std::net::TcpListener, SharedTable)>,
    /// Wakes when an endpoint has left its last table.
    pub(crate) endpoints_left: watch::Receiver<()>,
    pub(crate) counters: Arc<WorkerCounters>,
    /// Cancelled: accept no more, finish what is in flight.
    pub(crate) stop: CancellationToken,
}

/// A worker that runs.
#[derive(Debug)]
pub(crate) struct WorkerHandle {
    thread: JoinHandle<()>,
    done: oneshot::Receiver<()>,
}

impl WorkerHandle {
    /// Waits until the worker has stopped.
    pub(crate) async fn stopped(self) {
        // An error means that the thread has ended, too: by a panic, which it has reported.
        let _ = self.done.await;
        let _ = self.thread.join();
    }
}

impl WorkerSetup {
    /// Starts the worker's thread.
    ///
    /// # Errors
    /// The thread or its runtime cannot be made.
    pub(crate) fn start(self) -> io::Result<WorkerHandle> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (done_sender, done) = oneshot::channel();
        let thread = std::thread::Builder::new().name(format!("worker-{}", self.index)).spawn(move || {
            let tasks = LocalSet::new();
            tasks.block_on(&runtime, run(self));
            // What is left after the time for a graceful end is cut here.
            drop(tasks);
            runtime.shutdown_background();
            let _ = done_sender.send(());
        })?;
        Ok(WorkerHandle { thread, done })
    }
}

async fn run(setup: WorkerSetup) {
    let WorkerSetup { index, config, sockets, endpoints_left, counters, stop } = setup;
    let (stop_of_all, stop) = (stop, CancellationToken::new());
    let worker = Rc::new(Worker {
        index,
        pool: Rc::new(Pool::new(config.upstream.clone())),
        budget: RefCell::new(RetryBudget::new(Instant::now())),
        random: RefCell::new(fastrand::Rng::new()),
        counters,
        config,
        is_stopping: Cell::new(false),
    });
    let stopping = tokio::task::spawn_local(tell_stop(Rc::clone(&worker), stop_of_all, stop.clone()));
    let connections = TaskTracker::new();
    let places = Arc::new(Semaphore::new(worker.config.client.connections_per_worker_max));
    let mut accepting = Vec::new();
    for (index, (socket, table)) in sockets.into_iter().enumerate() {
        let port = socket.local_addr().map_or(0, |address| address.port());
        let listener = Rc::new(Listener { index, port: HeaderValue::from(port), table });
        let accept = accept(
            Rc::clone(&worker),
            listener,
            socket,
            Arc::clone(&places),
            connections.clone(),
            stop.clone(),
        );
        accepting.push(tokio::task::spawn_local(accept));
    }
    let upkeep = tokio::task::spawn_local(keep_pool(Rc::clone(&worker.pool), endpoints_left));
    for task in accepting {
        if let Err(error) = task.await {
            tracing::error!(%error, "a listener has failed");
        }
    }
    worker.pool.clear();
    connections.close();
    if tokio::time::timeout(worker.config.shutdown_grace, connections.wait()).await.is_err() {
        tracing::warn!(worker = index, open = connections.len(), "cutting connections that are still busy");
    }
    upkeep.abort();
    stopping.abort();
}

/// Passes the word to stop on within this worker: the flag first, then the token, which wakes everybody.
async fn tell_stop(worker: Rc<Worker>, of_all: CancellationToken, own: CancellationToken) {
    of_all.cancelled().await;
    worker.is_stopping.set(true);
    own.cancel();
}

/// Accepts connections until `stop`, then those that were made before it.
async fn accept(
    worker: Rc<Worker>,
    listener: Rc<Listener>,
    socket: std::net::TcpListener,
    places: Arc<Semaphore>,
    connections: TaskTracker,
    stop: CancellationToken,
) {
    let socket = match TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!(%error, "a socket cannot be listened at"),
    };
    let counters = Arc::clone(&worker.counters);
    let counters = &counters.listeners[listener.index];
    let spawn = |stream: TcpStream, peer: SocketAddr, place| {
        let serve = client::serve(Rc::clone(&worker), Rc::clone(&listener), stream, peer, stop.clone());
        connections.spawn_local(async move {
            serve.await;
            drop(place);
        });
    };
    loop {
        let next = async {
            // No place: the connections wait in the kernel's queue.
            let place = Arc::clone(&places).acquire_owned().await;
            (place, socket.accept().await)
        };
        let (place, accepted) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, peer)) => spawn(stream, peer, place.ok()),
            Err(error) => {
                counters.accept_errors.increment();
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
    // Closing the socket would reset those that the kernel has accepted already.
    let mut nobody = Context::from_waker(Waker::noop());
    while let Poll::Ready(Ok((stream, peer))) = socket.poll_accept(&mut nobody) {
        spawn(stream, peer, None);
    }
}

/// Closes idle connections: those to endpoints that left the tables at once, the others in time.
async fn keep_pool(pool: Rc<Pool>, mut endpoints_left: watch::Receiver<()>) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        tokio::select! {
            _ = ticks.tick() => pool.sweep(),
            left = endpoints_left.changed() => {
                if left.is_err() {
                    return;
                }
                pool.close_left();
            }
        }
    }
}
