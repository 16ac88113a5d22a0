//! How requests travel to a member: over real sockets, or over those of a simulation.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::{HeaderMap, Request};

/// A future of whichever transport there is.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Sends requests.
pub trait Transport: Send + Sync + fmt::Debug {
    /// Sends a request and waits for the head of its answer, for as long as that takes.
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Arriving, Failed>>;
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    /// There was no connection: nobody has got the request.
    Unreached,
    /// Somebody may have got it.
    Lost(String),
}

/// An answer of which the head has come.
pub struct Arriving {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// What follows.
    pub body: Box<dyn Chunks>,
}

/// A body that comes in pieces.
pub trait Chunks: Send {
    /// The next piece; `None` at the end.
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Bytes, String>>>;
}

impl fmt::Debug for Arriving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arriving").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Arriving {
    /// All of the body.
    ///
    /// # Errors
    /// It did not come to its end.
    pub async fn text(mut self) -> Result<String, String> {
        let mut whole = Vec::new();
        while let Some(chunk) = self.body.next().await {
            whole.extend_from_slice(&chunk?);
        }
        Ok(String::from_utf8_lossy(&whole).into_owned())
    }
}

/// Real sockets.
#[derive(Debug)]
pub(super) struct Sockets(reqwest::Client);

impl Sockets {
    pub(super) fn new() -> Self {
        Self(reqwest::Client::builder().no_proxy().build().unwrap())
    }
}

impl Transport for Sockets {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Arriving, Failed>> {
        Box::pin(async move {
            let request = reqwest::Request::try_from(request).expect("a request that the API takes");
            match self.0.execute(request).await {
                Ok(response) => Ok(Arriving {
                    status: response.status().as_u16(),
                    headers: response.headers().clone(),
                    body: Box::new(response),
                }),
                Err(error) if error.is_connect() => Err(Failed::Unreached),
                Err(error) => Err(Failed::Lost(with_causes(&error))),
            }
        })
    }
}

impl Chunks for reqwest::Response {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Bytes, String>>> {
        Box::pin(async { self.chunk().await.map_err(|error| with_causes(&error)).transpose() })
    }
}

/// `reqwest` says what it was at, and only its sources say what went wrong.
fn with_causes(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
