//! One connection of a client: serves its requests one after another, then closes it with care.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use http::header::TRANSFER_ENCODING;
use http::{HeaderValue, Request, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::client_io::{ClientIo, SharedGate};
use super::exchange::handle;
use super::gate::Framing;
use super::head_timer::{HeadTimer, HeadWatch};
use super::headers::Forwarded;
use super::pool::RawConnection;
use super::progress::Progress;
use super::tunnel;
use super::worker::{Listener, Worker};
use crate::metrics::ListenerCounters;
use crate::routing::SharedTable;

/// How long a client may go on sending after the gateway has closed its side, so that the last
/// answer is not lost to a reset.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// How much it may send meanwhile.
const LINGER_BYTES_MAX: usize = 1 << 20;
/// Most bytes of a request that are read ahead of the node.
const READ_AHEAD_BYTES_MAX: usize = 128 << 10;

/// What the requests of one connection share.
pub(crate) struct ClientConnection {
    worker: Rc<Worker>,
    listener: Rc<Listener>,
    forwarded: Forwarded,
    progress: Rc<Progress>,
    gate: Rc<SharedGate>,
    tunnel: RefCell<Option<oneshot::Receiver<RawConnection>>>,
    /// The present request is HTTP/1.0: the end of the connection may be the end of its answer.
    reads_until_end: Cell<bool>,
}

impl ClientConnection {
    pub(crate) fn worker(&self) -> &Worker {
        &self.worker
    }

    pub(crate) fn counters(&self) -> &ListenerCounters {
        &self.worker.counters.listeners[self.listener.index]
    }

    pub(crate) fn table(&self) -> &SharedTable {
        &self.listener.table
    }

    pub(crate) fn forwarded(&self) -> &Forwarded {
        &self.forwarded
    }

    pub(crate) fn progress(&self) -> &Rc<Progress> {
        &self.progress
    }

    /// The node agreed to another protocol; the tunnel begins when the client has been told.
    pub(crate) fn open_tunnel(&self, raw: oneshot::Receiver<RawConnection>) {
        self.gate.set_framing(Framing::Tunnel);
        *self.tunnel.borrow_mut() = Some(raw);
    }
}

/// Serves a connection until it ends; when `stop` is cancelled, until its present request ends.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    listener: Rc<Listener>,
    stream: TcpStream,
    peer: SocketAddr,
    stop: CancellationToken,
) {
    // Without it an answer may wait for the client's acknowledgement of the one before.
    let Ok(()) = stream.set_nodelay(true) else { return };
    let Ok(peer) = HeaderValue::from_str(&peer.ip().to_canonical().to_string()) else { return };
    let limits = &worker.config.client;
    let gate = Rc::new(SharedGate::default());
    let io = ClientIo::new(stream, &gate, limits.io_timeout);
    let head_watch = HeadWatch::new(limits.header_timeout);
    let builder = builder(&worker, head_watch.timer());
    let client = Rc::new(ClientConnection {
        forwarded: Forwarded { trust: limits.forwarded, peer, port: listener.port.clone() },
        progress: Rc::new(Progress::new(worker.config.upstream.response_timeout)),
        tunnel: RefCell::default(),
        reads_until_end: Cell::default(),
        worker,
        listener,
        gate,
    });
    client.counters().connections_opened.increment();
    let context = Rc::clone(&client);
    let service = service_fn(move |request: Request<Incoming>| {
        let facts = context.gate.facts();
        context.gate.set_framing(framing(&request));
        context.reads_until_end.set(request.version() < Version::HTTP_11);
        let context = Rc::clone(&context);
        async move { Ok::<_, Infallible>(handle(context, request, facts).await) }
    });
    let mut http = builder.serve_connection(io, service);
    let mut stopping = pin!(stop.cancelled());
    let (mut is_first, mut is_stopping) = (true, false);
    let ended = poll_fn(|cx| {
        // The first time, so that it wakes this task; after that a look at the flag will do, which takes
        // no lock.
        if std::mem::take(&mut is_first) {
            let _ = stopping.as_mut().poll(cx);
        }
        if !is_stopping && client.worker.is_stopping.get() {
            is_stopping = true;
            Pin::new(&mut http).graceful_shutdown();
        }
        head_watch.poll(cx);
        Pin::new(&mut http).poll(cx)
    });
    let ended = ended.await;
    let parts = http.into_parts();
    let is_mid_request = parts.io.is_mid_request();
    let (stream, held) = parts.io.into_parts();
    let tunnel = client.tunnel.borrow_mut().take();
    match (ended, tunnel) {
        (Ok(()), Some(raw)) => {
            let client_end = tunnel::End { stream, read_before: vec![parts.read_buf, held] };
            run_tunnel(&client, client_end, raw).await;
        }
        (ended, _) => close(&client, stream, ended, is_mid_request).await,
    }
    client.counters().connections_closed.increment();
}

fn builder(worker: &Worker, head_timer: HeadTimer) -> http1::Builder {
    let limits = &worker.config.client;
    let mut builder = http1::Builder::new();
    builder
        // One copy into one buffer costs less than a vectored write of small pieces.
        .writev(false)
        .max_buf_size(READ_AHEAD_BYTES_MAX.max(limits.header_bytes_max))
        .max_header_size(limits.header_bytes_max)
        .timer(head_timer)
        .header_read_timeout(limits.header_timeout);
    builder
}

fn framing(request: &Request<Incoming>) -> Framing {
    if request.headers().contains_key(TRANSFER_ENCODING) {
        return Framing::Chunked;
    }
    Framing::Length(request.body().size_hint().exact().unwrap_or(0))
}

async fn run_tunnel(
    client: &ClientConnection,
    client_end: tunnel::End,
    raw: oneshot::Receiver<RawConnection>,
) {
    // Closed without a word if the node's connection broke meanwhile.
    let Ok((stream, read_before)) = raw.await else { return };
    let node_end = tunnel::End { stream, read_before: vec![read_before] };
    client.counters().tunnels_opened.increment();
    if let Err(error) =
        tunnel::run(client_end, node_end, client.worker.config.client.tunnel_idle_timeout).await
    {
        tracing::debug!(%error, "a tunnel ended");
    }
    client.counters().tunnels_closed.increment();
}

/// Closes a connection so that the client can tell a whole answer from a torn one and loses neither.
async fn close(
    client: &ClientConnection,
    mut stream: TcpStream,
    ended: Result<(), hyper::Error>,
    is_mid_request: bool,
) {
    if let Err(error) = ended {
        tracing::debug!(%error, "the connection to a client ended");
        if error.is_user() {
            // The answer is torn. A client that reads until the end would take an orderly end for its
            // end; a failure here means that the connection is gone already.
            if client.reads_until_end.get() {
                let _ = stream.set_zero_linger();
            }
            return;
        }
    }
    if is_mid_request && stream.shutdown().await.is_ok() {
        linger(stream).await;
    }
}

/// Reads on for a while after our side was closed: closing a socket with unread bytes resets the
/// connection, and the client may lose the answer that it has not read yet.
async fn linger(mut stream: TcpStream) {
    let drain = async {
        let mut buffer = vec![0; 4 << 10];
        let mut left = LINGER_BYTES_MAX;
        while left > 0 {
            match stream.read(&mut buffer).await {
                Ok(count) if count > 0 => left = left.saturating_sub(count),
                _ => break,
            }
        }
    };
    // What is still coming then is not waited for.
    let _ = tokio::time::timeout(LINGER_TIMEOUT, drain).await;
}
