//! What a client is made from.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use kenger_types::Invalid;
use reqwest::header::HeaderValue;

use super::{Client, Inner};
use crate::error::root_cause;
use crate::transport::{Transport, Wire};
use crate::{Endpoint, Error};

/// The longest that a call takes, with all endpoints that it tries.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// How long an endpoint has to answer before the next one is asked, if asking twice does no harm. More
/// than the three seconds that a member waits for a leader to be known.
pub const ATTEMPT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(4);
/// How long a connection may take to be made before the next endpoint is tried.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);

/// An idle connection is closed after this long.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Idle connections that are kept for each endpoint.
const POOL_MAX_IDLE: usize = 32;

/// Makes a [`Client`].
#[derive(Clone)]
pub struct ClientBuilder {
    endpoints: Vec<String>,
    token: Option<String>,
    timeout: Duration,
    attempt_timeout: Duration,
    connect_timeout: Duration,
    transport: Option<Arc<dyn Transport>>,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            token: None,
            timeout: TIMEOUT_DEFAULT,
            attempt_timeout: ATTEMPT_TIMEOUT_DEFAULT,
            connect_timeout: CONNECT_TIMEOUT_DEFAULT,
            transport: None,
        }
    }
}

impl ClientBuilder {
    /// Members, each as `http://HOST:PORT` or `HOST:PORT`; they are tried in this order.
    #[must_use]
    pub fn endpoints<E: Into<String>>(mut self, endpoints: impl IntoIterator<Item = E>) -> Self {
        self.endpoints.extend(endpoints.into_iter().map(Into::into));
        self
    }

    /// What proves who the client is; sent to every endpoint, and to the leader that a member names.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The longest that a call takes, with all endpoints that it tries. [`TIMEOUT_DEFAULT`] if not set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long an endpoint has to answer a call that may be sent twice before the next one is asked.
    /// [`ATTEMPT_TIMEOUT_DEFAULT`] if not set.
    #[must_use]
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = timeout;
        self
    }

    /// How long a connection may take to be made. [`CONNECT_TIMEOUT_DEFAULT`] if not set.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sends requests in another way than over sockets of its own; for tests and simulations. How long a
    /// connection may take to be made is up to the transport then.
    #[must_use]
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// The client. Connects to nothing yet.
    ///
    /// # Errors
    /// [`Error::Config`]: there is no endpoint, one is not an endpoint, or the token cannot stand in
    /// a header.
    pub fn build(self) -> Result<Client, Error> {
        let parse = |text: &String| text.trim().parse::<Endpoint>();
        let endpoints = self.endpoints.iter().map(parse).collect::<Result<Vec<_>, Invalid>>();
        let mut endpoints = endpoints.map_err(|Invalid(why)| Error::Config(why))?;
        let mut seen = std::collections::HashSet::new();
        endpoints.retain(|endpoint| seen.insert(endpoint.clone()));
        if endpoints.is_empty() {
            return Err(Error::Config(
                "a client needs at least one endpoint like http://192.0.2.1:5000".to_owned(),
            ));
        }
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(POOL_MAX_IDLE)
            .user_agent(concat!("kenger-sdk-rust/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| {
                Error::Config(format!("the HTTP client cannot be made: {}", root_cause(&error)))
            })?;
        let wire = self.transport.map_or_else(|| Wire::Sockets(http.clone()), Wire::Other);
        let inner = Inner {
            http,
            wire,
            endpoints,
            preferred: AtomicUsize::new(0),
            authorization: self.token.as_deref().map(authorization).transpose()?,
            timeout: self.timeout,
        };
        Ok(Client { inner: Arc::new(inner), attempt_timeout: self.attempt_timeout, is_hasty: false })
    }
}

fn authorization(token: &str) -> Result<HeaderValue, Error> {
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::Config("a token is printable ASCII without spaces, and not empty".to_owned()));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| Error::Config("the token cannot stand in a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(builder: ClientBuilder) -> String {
        builder.build().unwrap_err().to_string()
    }

    #[test]
    fn a_client_without_a_usable_endpoint_or_token_is_refused() {
        assert!(refused(Client::builder()).contains("at least one endpoint"));
        assert!(refused(Client::builder().endpoints(["localhost"])).contains("port is missing"));
        let valid = Client::builder().endpoints(["127.0.0.1:5000"]);
        for token in ["", "two words", "line\nbreak", "schlüssel"] {
            assert!(refused(valid.clone().token(token)).contains("token"), "{token:?}");
        }
    }

    #[test]
    fn an_endpoint_that_is_named_twice_is_asked_once() {
        let client = Client::builder()
            .endpoints(["127.0.0.1:1", " http://127.0.0.1:1/", "127.0.0.1:2"])
            .build()
            .unwrap();
        assert_eq!(client.endpoints().len(), 2);
    }

    #[test]
    fn the_token_is_not_shown() {
        let builder = Client::builder().endpoints(["127.0.0.1:1"]).token("hidden-token");
        let shown = format!("{builder:?} {:?}", builder.clone().build().unwrap());
        assert!(!shown.contains("hidden-token"), "{shown}");
    }
}
