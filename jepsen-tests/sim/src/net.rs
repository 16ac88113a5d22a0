//! turmoil's network, in the shapes in which the members, their API and their clients want one.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jepsen_tests::harness::{Arriving, BoxFuture, Chunks, Failed, Transport};
use kenger_cluster::env::{BoxStream, Listener, Network};
use tokio::task::JoinHandle;
use turmoil::net::{TcpListener, TcpStream};

/// Where members listen for each other.
pub(crate) const PEER_PORT: u16 = 5001;
/// Where they listen for clients.
pub(crate) const API_PORT: u16 = 5000;

/// The host name of a member.
pub(crate) fn host(member: u64) -> String {
    format!("member-{member}")
}

/// Opens connections between members.
pub(crate) struct Wires;

impl Network for Wires {
    fn connect<'a>(
        &'a self,
        address: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<BoxStream>> + Send + 'a>> {
        Box::pin(async move { Ok(Box::new(TcpStream::connect(address).await?) as BoxStream) })
    }
}

/// Takes connections of other members, or of clients.
pub(crate) struct Door(TcpListener);

impl Door {
    /// Listens on this port of the host that it is called on.
    ///
    /// # Errors
    /// The port is taken.
    pub(crate) async fn open(port: u16) -> io::Result<Self> {
        TcpListener::bind(("0.0.0.0", port)).await.map(Self)
    }
}

impl Listener for Door {
    fn accept(&mut self) -> Pin<Box<dyn Future<Output = io::Result<(BoxStream, SocketAddr)>> + Send + '_>> {
        Box::pin(async {
            let (stream, address) = self.0.accept().await?;
            Ok((Box::new(stream) as BoxStream, address))
        })
    }
}

impl kenger::api::Listener for Door {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<TcpStream> {
        Ok(self.0.accept().await?.0)
    }
}

/// Sends requests of clients, each over a connection of its own.
#[derive(Debug)]
pub(crate) struct Requests;

impl Transport for Requests {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Arriving, Failed>> {
        Box::pin(send(request))
    }
}

/// Ends the connection with the answer.
struct Body {
    incoming: Incoming,
    connection: JoinHandle<()>,
}

impl Drop for Body {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Aborts the connection of a request that is given up before its answer has begun.
struct AbortOnDrop(Option<JoinHandle<()>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            connection.abort();
        }
    }
}

impl Chunks for Body {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Bytes, String>>> {
        Box::pin(async {
            loop {
                match self.incoming.frame().await? {
                    Ok(frame) => {
                        if let Ok(data) = frame.into_data() {
                            return Some(Ok(data));
                        }
                    }
                    Err(error) => return Some(Err(error.to_string())),
                }
            }
        })
    }
}

/// Sends one request over a connection of its own.
///
/// # Errors
/// There is no connection, or no answer.
pub(crate) async fn send(request: Request<Bytes>) -> Result<Arriving, Failed> {
    let authority = request.uri().authority().map(ToString::to_string).ok_or(Failed::Unreached)?;
    let stream = TcpStream::connect(authority.as_str()).await.map_err(|_| Failed::Unreached)?;
    let lost = |error: hyper::Error| Failed::Lost(error.to_string());
    let (mut sender, connection) =
        http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.map_err(lost)?;
    let mut connection = AbortOnDrop(Some(tokio::spawn(async move {
        // How it ended is told to whoever waits for the answer.
        let _ = connection.await;
    })));
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    parts.uri = path.parse().map_err(|_| Failed::Unreached)?;
    parts.headers.insert(header::HOST, authority.parse().map_err(|_| Failed::Unreached)?);
    let answer = sender.send_request(Request::from_parts(parts, Full::new(body))).await.map_err(lost)?;
    let (head, incoming) = answer.into_parts();
    let connection = connection.0.take().expect("taken once");
    let body = Box::new(Body { incoming, connection });
    Ok(Arriving { status: head.status.as_u16(), headers: head.headers, body })
}
