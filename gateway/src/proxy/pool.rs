//! Connections of one worker to the nodes: made when needed, kept for a while, used again.
//!
//! The pool belongs to one thread. A connection comes back when the response was read to its end;
//! one that was dropped before that is closed, which is how a node learns that the client is gone.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::body::RequestBody;
use super::failure::Failure;
use crate::config::UpstreamConfig;
use crate::routing::{Endpoint, EndpointId};

/// Most bytes of a response that are read ahead of the client.
const READ_AHEAD_BYTES_MAX: usize = 128 << 10;

/// The raw connection after a change of protocol, with what was read beyond the response.
pub(crate) type RawConnection = (TcpStream, Bytes);

/// Where a connection is sent when its protocol was changed.
type RawSlot = Rc<RefCell<Option<oneshot::Sender<RawConnection>>>>;

/// An open connection.
pub(crate) struct Upstream {
    /// Where it leads. Held here, so that a request over a kept connection need not count another
    /// user of a value that all workers share.
    pub(crate) endpoint: Arc<Endpoint>,
    sender: SendRequest<RequestBody>,
    raw: RawSlot,
}

impl Upstream {
    /// Sends a request; an unsent one comes back with the error.
    pub(crate) fn send(
        &mut self,
        request: http::Request<RequestBody>,
    ) -> impl Future<
        Output = Result<
            http::Response<hyper::body::Incoming>,
            hyper::client::conn::TrySendError<http::Request<RequestBody>>,
        >,
    > + use<> {
        self.sender.try_send_request(request)
    }

    /// Asks for the raw connection once its protocol was changed.
    pub(crate) fn raw(&self) -> oneshot::Receiver<RawConnection> {
        let (sender, receiver) = oneshot::channel();
        *self.raw.borrow_mut() = Some(sender);
        receiver
    }
}

struct Idle {
    upstream: Upstream,
    since: Instant,
}

/// The idle connections of one worker.
pub(crate) struct Pool {
    config: UpstreamConfig,
    idle: RefCell<HashMap<EndpointId, VecDeque<Idle>>>,
}

/// A connection that is in use and goes back to its pool.
pub(crate) struct Lease {
    pub(crate) upstream: Upstream,
    pool: Rc<Pool>,
}

impl Lease {
    /// This connection goes back to this pool.
    pub(crate) fn new(upstream: Upstream, pool: &Rc<Pool>) -> Self {
        Self { upstream, pool: Rc::clone(pool) }
    }

    /// The response was read to its end: the connection may be used again.
    pub(crate) fn give_back(self) {
        self.pool.put(self.upstream);
    }
}

impl Pool {
    /// An empty pool.
    pub(crate) fn new(config: UpstreamConfig) -> Self {
        Self { config, idle: RefCell::default() }
    }

    /// The idle connection to this endpoint that was used last.
    pub(crate) fn take(&self, endpoint: EndpointId) -> Option<Upstream> {
        let mut all = self.idle.borrow_mut();
        let idle = all.get_mut(&endpoint)?;
        // One that is not ready is just finishing an exchange, or closing.
        let index = idle.iter().rposition(|idle| idle.upstream.sender.is_ready())?;
        idle.remove(index).map(|idle| idle.upstream)
    }

    fn put(&self, upstream: Upstream) {
        if upstream.sender.is_closed() || !upstream.endpoint.is_live() {
            return;
        }
        let mut all = self.idle.borrow_mut();
        let idle = all.entry(upstream.endpoint.id).or_default();
        if idle.len() >= self.config.idle_per_node_max {
            idle.pop_front();
        }
        idle.push_back(Idle { upstream, since: Instant::now() });
    }

    /// Closes idle connections to endpoints that no table routes to any more.
    pub(crate) fn close_left(&self) {
        self.idle
            .borrow_mut()
            .retain(|_, idle| idle.front().is_some_and(|idle| idle.upstream.endpoint.is_live()));
    }

    /// Closes connections that have been idle for too long, and forgets those that were closed.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        self.idle.borrow_mut().retain(|_, idle| {
            idle.retain(|idle| {
                !idle.upstream.sender.is_closed() && now - idle.since < self.config.idle_timeout
            });
            !idle.is_empty()
        });
    }

    /// Closes all idle connections.
    pub(crate) fn clear(&self) {
        self.idle.borrow_mut().clear();
    }

    /// Makes a connection.
    pub(crate) async fn connect(&self, endpoint: &Arc<Endpoint>) -> Result<Upstream, Failure> {
        let stream = tokio::time::timeout(self.config.connect_timeout, open(endpoint));
        let stream = stream.await.map_err(|_| Failure::ConnectTimeout)??;
        let mut builder = http1::Builder::new();
        // One copy into one buffer costs less than a vectored write of small pieces.
        builder
            .writev(false)
            .max_buf_size(READ_AHEAD_BYTES_MAX)
            .max_header_size(self.config.header_bytes_max);
        let handshake = builder.handshake::<_, RequestBody>(TokioIo::new(stream)).await;
        let (sender, mut connection) = handshake.map_err(|_| Failure::ConnectFailed)?;
        let raw = RawSlot::default();
        let slot = Rc::clone(&raw);
        tokio::task::spawn_local(async move {
            if let Err(error) = (&mut connection).await {
                tracing::debug!(%error, "the connection to a node ended");
                return;
            }
            if let Some(receiver) = slot.borrow_mut().take() {
                let parts = connection.into_parts();
                // Nobody waits for it any more: the client is gone.
                let _ = receiver.send((parts.io.into_inner(), parts.read_buf));
            }
        });
        Ok(Upstream { endpoint: Arc::clone(endpoint), sender, raw })
    }
}

async fn open(endpoint: &Endpoint) -> Result<TcpStream, Failure> {
    let failed = |error: io::Error| {
        tracing::debug!(host = %endpoint.host, port = %endpoint.port, %error, "no connection to a node");
        if error.kind() == io::ErrorKind::TimedOut { Failure::ConnectTimeout } else { Failure::ConnectFailed }
    };
    let stream = match endpoint.address {
        Some(address) => TcpStream::connect(address).await.map_err(failed)?,
        None => {
            let host = (endpoint.host.as_str(), endpoint.port.get());
            let addresses = tokio::net::lookup_host(host).await.map_err(|_| Failure::ResolveFailed)?;
            let mut last = Err(Failure::ResolveFailed);
            for address in addresses {
                last = TcpStream::connect(address).await.map_err(failed);
                if last.is_ok() {
                    break;
                }
            }
            last?
        }
    };
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}

/// How often [`Pool::sweep`] is due.
pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
