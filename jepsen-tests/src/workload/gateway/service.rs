//! A small web service that says who it is.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::HeaderName;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The header that tells which service answered, as `host:port`.
pub(super) const ANSWERED_BY: &str = "x-answered-by";

/// A service; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Service {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Service {
    /// Listens on a free port.
    pub(super) async fn start() -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(accept(listener, address, stop.clone()));
        Ok(Self { address, stop, task })
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, address: SocketAddr, stop: CancellationToken) {
    // One that could not be accepted is the gateway's to try again.
    while let Ok((stream, _)) = listener.accept().await {
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = serve(stream, address) => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

/// Answers every path: what is asked for is the health path or the root.
async fn serve(stream: TcpStream, address: SocketAddr) {
    let answer = |_: Request<hyper::body::Incoming>| async move {
        let mut response = Response::new(Full::new(Bytes::from_static(b"ok\n")));
        let value = address.to_string().parse().expect("an address is a header value");
        response.headers_mut().insert(HeaderName::from_static(ANSWERED_BY), value);
        Ok::<_, Infallible>(response)
    };
    let connection = hyper::server::conn::http1::Builder::new();
    // A connection that breaks is the gateway's affair.
    let _ended = connection.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}
