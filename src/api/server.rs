//! Connections: taken up to a bound, each with time limits, and closed in good order.
//!
//! What is no HTTP at all never comes to a handler: hyper answers it by itself, with 400, with 414 (a
//! target of more than 64 KiB) or with 431 (a head that is too long, or of more than 100 headers), and
//! closes. Such an answer has no body and so no envelope, and hyper lets nobody change it; to put the
//! envelope in would mean to parse heads a second time before it, or to rewrite what it has written.
//! Clients take an error without an envelope for one of the connection.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tower::util::MapRequest;

use super::{Api, routes};

/// Open connections at a time; more wait in the listener's queue.
const CONNECTIONS_MAX: usize = 65_536;
/// A connection on which no whole request head comes for this long is closed, idle ones as well:
/// longer than clients take between two heartbeats.
const HEAD_READ_MAX: Duration = Duration::from_secs(75);
/// A request's head, and what hyper holds back for a slow reader, in bytes.
const BUFFER_MAX_BYTES: usize = 64 << 10;
/// A peer that takes nothing of what is sent for this long is gone, or stuck.
const SEND_STALL_MAX: Duration = Duration::from_secs(30);
/// A silent peer is asked after this long whether it is still there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// What is in flight when the member stops may take this long to end.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// After an accept that failed for want of resources, wait for some to come free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where connections come from: TCP, or the network of a simulation.
pub trait Listener: Send {
    /// One connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Takes the next connection.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<TcpStream> {
        loop {
            let (stream, _) = TcpListener::accept(self).await?;
            match set_options(&stream) {
                Ok(()) => return Ok(stream),
                Err(e) => tracing::debug!(error = %e, "a connection ended before it was served"),
            }
        }
    }
}

/// Serves the API on `listener` until it is stopping; then lets what is in flight end, for a bounded
/// time. Returns when all connections are closed.
pub async fn serve(mut listener: impl Listener, api: Api) {
    let stopping = api.stopping().clone();
    let router = routes::router(api.clone());
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    let aborting = CancellationToken::new();
    while let Some((stream, place)) = stopping.run_until_cancelled(accept(&mut listener, &places)).await {
        let connection = connection(stream, router.clone(), stopping.clone());
        let (api, aborting) = (api.clone(), aborting.clone());
        connections.spawn(async move {
            api.metrics().connections().inc();
            aborting.run_until_cancelled(connection).await;
            api.metrics().connections().dec();
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(DRAIN_MAX, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "closing connections with requests in flight");
        aborting.cancel();
        connections.wait().await;
    }
}

async fn accept<L: Listener>(
    listener: &mut L,
    places: &Arc<Semaphore>,
) -> (L::Stream, Option<tokio::sync::OwnedSemaphorePermit>) {
    // The semaphore is never closed.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok(stream) => return (stream, place),
            Err(e) if is_of_connection(&e) => {}
            Err(e) => {
                tracing::error!(error = %e, "cannot take connections; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Errors of the connection that was about to be taken, not of the listener.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

fn set_options(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_AFTER / 4),
    )?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(SEND_STALL_MAX))?;
    Ok(())
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    stopping: CancellationToken,
) {
    let service = TowerToHyperService::new(with_axum_body(router));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_READ_MAX)
        .max_buf_size(BUFFER_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = ended {
        tracing::debug!(error = %e, "a connection ended");
    }
}

type HyperRequest = hyper::Request<hyper::body::Incoming>;

fn with_axum_body(router: Router) -> MapRequest<Router, fn(HyperRequest) -> hyper::Request<Body>> {
    router.map_request(|request: HyperRequest| request.map(Body::new))
}
