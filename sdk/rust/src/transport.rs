//! How requests travel: over sockets, or in whichever way a test wants.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};

use crate::error::root_cause;

/// A future of whichever transport there is.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Sends requests.
pub trait Transport: Send + Sync {
    /// Sends a request and waits for the head of its answer, for as long as that takes.
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Arriving, TransportError>>;
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportError {
    /// There was no connection: nothing was sent.
    NotConnected(String),
    /// Something may have arrived.
    Lost(String),
}

impl TransportError {
    /// What happened, for people.
    pub(crate) fn into_reason(self) -> String {
        match self {
            TransportError::NotConnected(reason) | TransportError::Lost(reason) => reason,
        }
    }
}

/// An answer of which the head has come.
pub struct Arriving {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// What follows.
    pub body: Box<dyn Chunks>,
}

/// A body that comes in pieces.
pub trait Chunks: Send {
    /// The next piece; `None` at the end. Cancel-safe.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, TransportError>>;
}

/// What a client sends with.
#[derive(Clone)]
pub(crate) enum Wire {
    Sockets(reqwest::Client),
    Other(Arc<dyn Transport>),
}

impl Wire {
    /// Sends a request.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Result<Arriving, TransportError> {
        // What cannot be built was not sent.
        let request = request.build().map_err(|error| TransportError::NotConnected(root_cause(&error)))?;
        match self {
            Wire::Sockets(http) => {
                let response = http.execute(request).await.map_err(failed)?;
                let (status, headers) = (response.status(), response.headers().clone());
                Ok(Arriving { status, headers, body: Box::new(response) })
            }
            Wire::Other(transport) => {
                let request: Request<reqwest::Body> =
                    request.try_into().map_err(|error| TransportError::NotConnected(root_cause(&error)))?;
                let whole = |body: reqwest::Body| Bytes::copy_from_slice(body.as_bytes().unwrap_or_default());
                transport.send(request.map(whole)).await
            }
        }
    }
}

impl Chunks for reqwest::Response {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, TransportError>> {
        Box::pin(async { self.chunk().await.map_err(failed) })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
fn failed(error: reqwest::Error) -> TransportError {
    let reason = root_cause(&error);
    if error.is_connect() { TransportError::NotConnected(reason) } else { TransportError::Lost(reason) }
}
