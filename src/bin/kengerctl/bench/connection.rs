//! One connection with prepared requests: as cheap as a client can be that speaks HTTP correctly.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use kenger_sdk::Endpoint;
use serde::Serialize;
use tokio::net::TcpStream;

use crate::failure::Failure;

/// A request that can be sent again and again.
pub(super) type Prepared = Request<Full<Bytes>>;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an answer may take: longer than a member takes to say that it does not know.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(12);

/// Makes requests for one endpoint.
#[derive(Clone)]
pub(super) struct Preparer {
    host: HeaderValue,
    authorization: Option<HeaderValue>,
}

impl Preparer {
    pub(super) fn new(endpoint: &Endpoint, token: Option<&str>) -> Result<Self, Failure> {
        let header =
            |text: &str| HeaderValue::from_str(text).map_err(|error| Failure::Usage(error.to_string()));
        let authorization = token.map(|token| header(&format!("Bearer {token}"))).transpose()?;
        Ok(Self { host: header(endpoint.authority())?, authorization })
    }

    /// A POST with a JSON body.
    pub(super) fn post(&self, path: &'static str, body: &impl Serialize) -> Result<Prepared, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| Failure::Other(error.to_string()))?;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(HOST, self.host.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        request.body(Full::new(Bytes::from(body))).map_err(|error| Failure::Other(error.to_string()))
    }
}

/// A request for a server that need not be a member: a GET, or a POST of JSON.
pub(super) fn plain(endpoint: &Endpoint, path: &str, body: Option<String>) -> Result<Prepared, Failure> {
    let request = Request::builder().uri(path).header(HOST, endpoint.authority());
    let request = match body {
        None => request.body(Full::default()),
        Some(body) => {
            let request = request.method(Method::POST).header(CONTENT_TYPE, "application/json");
            request.body(Full::new(Bytes::from(body)))
        }
    };
    request.map_err(|error| Failure::Usage(error.to_string()))
}

/// What an operation came to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Outcome {
    /// With this HTTP status.
    Answered(u16),
    /// The connection could not be made, or broke, or no answer came.
    Broken(&'static str),
}

/// A connection that is made when it is needed.
pub(super) struct Connection {
    authority: String,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        Self { authority: endpoint.authority().to_owned(), sender: None }
    }

    /// Makes the connection, if it is not there.
    pub(super) async fn open(&mut self) -> Result<(), Outcome> {
        if self.sender.as_ref().is_some_and(|sender| !sender.is_closed()) {
            return Ok(());
        }
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&self.authority));
        let stream = match connecting.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) | Err(_) => return Err(Outcome::Broken("not connected")),
        };
        let _ = stream.set_nodelay(true);
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|_| Outcome::Broken("not connected"))?;
        tokio::spawn(async move {
            // Its end shows at the sender.
            let _ = connection.await;
        });
        self.sender = Some(sender);
        Ok(())
    }

    /// Sends a request and reads the whole answer.
    pub(super) async fn send(&mut self, request: Prepared) -> Outcome {
        if let Err(outcome) = self.open().await {
            return outcome;
        }
        let Some(sender) = &mut self.sender else { return Outcome::Broken("not connected") };
        let exchange = async {
            sender.ready().await?;
            let response = sender.send_request(request).await?;
            let status = response.status().as_u16();
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                frame?;
            }
            Ok::<_, hyper::Error>(status)
        };
        let outcome = match tokio::time::timeout(ANSWER_TIMEOUT, exchange).await {
            Ok(Ok(status)) => return Outcome::Answered(status),
            Ok(Err(_)) => Outcome::Broken("connection broken"),
            Err(_) => Outcome::Broken("no answer in time"),
        };
        self.sender = None;
        outcome
    }
}
