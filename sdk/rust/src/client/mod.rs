//! A client of several members.

mod answer;
mod builder;
mod call;
mod cluster;
mod namespaces;
mod nodes;
mod sync;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::header::HeaderValue;

pub(crate) use answer::{Unsuccessful, judge};
pub use builder::{ATTEMPT_TIMEOUT_DEFAULT, CONNECT_TIMEOUT_DEFAULT, ClientBuilder, TIMEOUT_DEFAULT};
pub use call::RESPONSE_MAX_BYTES;
pub use nodes::NodeQuery;
pub use sync::{SyncAnswer, SyncQuery};

use crate::Endpoint;
use crate::transport::Wire;

/// Asks the registry. Clones share connections and the memory of which endpoint answered last.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    attempt_timeout: Duration,
    /// Whoever calls tries again soon, so the last endpoint gets no more time than the others.
    is_hasty: bool,
}

struct Inner {
    /// Makes requests.
    http: reqwest::Client,
    wire: Wire,
    endpoints: Vec<Endpoint>,
    /// Index of the endpoint that is asked first: the one that answered last, or that comes after those that
    /// did not.
    preferred: AtomicUsize,
    authorization: Option<HeaderValue>,
    timeout: Duration,
}

impl Client {
    /// A client is made from its endpoints and, as a rule, a token.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The endpoints that it was made from, in their order.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.inner.endpoints
    }

    /// The longest that a call takes.
    pub fn timeout(&self) -> Duration {
        self.inner.timeout
    }

    /// The endpoint that is asked first.
    pub fn preferred(&self) -> &Endpoint {
        &self.inner.endpoints[self.preferred_index()]
    }

    /// The same client with less patience for a single endpoint, the last one included: for somebody
    /// who tries again soon. A call that must not be repeated is still waited for.
    pub(crate) fn with_attempt_timeout(&self, timeout: Duration) -> Self {
        let attempt_timeout = self.attempt_timeout.min(timeout);
        Self { inner: Arc::clone(&self.inner), attempt_timeout, is_hasty: true }
    }

    /// What requests are sent with.
    pub(crate) fn wire(&self) -> &Wire {
        &self.inner.wire
    }

    pub(crate) fn preferred_index(&self) -> usize {
        self.inner.preferred.load(Ordering::Relaxed)
    }

    /// The endpoint of this index answered: it is asked first from now on.
    fn prefer(&self, index: usize) {
        self.inner.preferred.store(index, Ordering::Relaxed);
    }

    /// The endpoint of this index was of no use. It may have taken all the time that its call had, so the next
    /// call begins with another one.
    fn pass_over(&self, index: usize) {
        self.prefer((index + 1) % self.inner.endpoints.len());
    }

    /// A request with what every request of this client has.
    pub(crate) fn request(
        &self,
        method: reqwest::Method,
        endpoint: &Endpoint,
        path: &str,
    ) -> reqwest::RequestBuilder {
        let request = self.inner.http.request(method, endpoint.url(path));
        match &self.inner.authorization {
            Some(value) => request.header(reqwest::header::AUTHORIZATION, value.clone()),
            None => request,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoints", &self.inner.endpoints).finish_non_exhaustive()
    }
}

/// How fresh an answer has to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Consistency {
    /// Includes every write that was acknowledged before the call.
    #[default]
    Linearizable,
    /// From the answering member's own state, also without a quorum.
    Stale,
}

/// What a member answered, and how fresh it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// The answer.
    pub data: T,
    /// Who answered.
    pub endpoint: Endpoint,
    /// The revision that the answer was made from, if the member says.
    pub revision: Option<kenger_types::Revision>,
    /// How long ago the member had last heard from a leader, for a stale answer.
    pub leader_lag: Option<Duration>,
}
