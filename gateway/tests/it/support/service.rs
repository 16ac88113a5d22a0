//! Services behind the gateway: a well-behaved one that notes what it gets, and one that does what a
//! test says with the bare socket.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The path of the health checks.
const HEALTH_PATH: &str = "/api/status";

pub(crate) type AnyBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;
type Handler =
    Arc<dyn Fn(Request<Incoming>) -> Pin<Box<dyn Future<Output = Response<AnyBody>> + Send>> + Send + Sync>;

/// What a service has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) connections: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) checks: AtomicU64,
    pub(crate) health_status: AtomicU16,
    /// The heads of the requests, as lines.
    pub(crate) heads: Mutex<Vec<Vec<String>>>,
}

/// A service; it ends when it is dropped.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Service {
    /// Answers each request with its name.
    pub(crate) async fn named(name: &'static str) -> Self {
        Self::answering(move |_| async move { Response::new(full(name)) }).await
    }

    /// Answers each request by a function.
    pub(crate) async fn answering<F, R>(handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = Response<AnyBody>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        Self::start(move |stream, seen| serve(stream, Arc::clone(&handler), seen)).await
    }

    /// Does with each connection what a function says.
    pub(crate) async fn raw<F, R>(connection: F) -> Self
    where
        F: Fn(TcpStream) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Self::start(move |stream, _| connection(stream)).await
    }

    async fn start<F, R>(connection: F) -> Self
    where
        F: Fn(TcpStream, Arc<Seen>) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen { health_status: AtomicU16::new(200), ..Seen::default() });
        let noted = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                noted.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(connection(stream, Arc::clone(&noted)));
            }
        });
        Self { address, seen, task }
    }

    pub(crate) fn requests(&self) -> u64 {
        self.seen.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> u64 {
        self.seen.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn checks(&self) -> u64 {
        self.seen.checks.load(Ordering::SeqCst)
    }

    pub(crate) fn set_health_status(&self, status: u16) {
        self.seen.health_status.store(status, Ordering::SeqCst);
    }

    /// The head of the last request, as sorted lines after the request line.
    pub(crate) fn last_head(&self) -> Vec<String> {
        self.seen.heads.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

async fn serve(stream: TcpStream, handler: Handler, seen: Arc<Seen>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (handler, seen) = (Arc::clone(&handler), Arc::clone(&seen));
        async move {
            if request.uri().path() == HEALTH_PATH {
                seen.checks.fetch_add(1, Ordering::SeqCst);
                let mut response = Response::new(full("health"));
                *response.status_mut() = seen.health_status.load(Ordering::SeqCst).try_into().unwrap();
                return Ok::<_, Infallible>(response);
            }
            seen.requests.fetch_add(1, Ordering::SeqCst);
            let line = format!("{} {}", request.method(), request.uri());
            let headers = request.headers().iter();
            let mut lines: Vec<_> = headers
                .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
                .collect();
            lines.sort();
            lines.insert(0, line);
            seen.heads.lock().unwrap().push(lines);
            Ok(handler(request).await)
        }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// A body in one piece.
pub(crate) fn full(text: impl Into<Bytes>) -> AnyBody {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body in pieces, which come when they are sent.
pub(crate) fn channel(
    capacity: usize,
) -> (tokio::sync::mpsc::Sender<Result<http_body::Frame<Bytes>, std::io::Error>>, AnyBody) {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(capacity);
    let body = Frames(Box::new(move |cx| receiver.poll_recv(cx)));
    (sender, body.boxed_unsync())
}

type FrameResult = Result<http_body::Frame<Bytes>, std::io::Error>;

type PollFrame = dyn FnMut(&mut std::task::Context<'_>) -> std::task::Poll<Option<FrameResult>> + Send;

struct Frames(Box<PollFrame>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        (self.0)(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }
}
