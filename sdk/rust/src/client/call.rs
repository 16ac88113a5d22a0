//! How a call goes over the endpoints: the one place that decides what is sent a second time.

use std::time::Duration;

use bytes::Bytes;
use kenger_types::api::Envelope;
use kenger_types::{ErrorCode, Revision};
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::answer::{RawAnswer, Unsuccessful, judge};
use super::{Answer, Client, Consistency};
use crate::transport::{Arriving, TransportError, Wire};
use crate::{Endpoint, Error, Failure};

/// The largest answer that is read.
pub const RESPONSE_MAX_BYTES: usize = 256 << 20;

/// What a second arrival of the same request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Nothing: it is a read.
    Read,
    /// Nothing that the first did not do, by the registry's contract.
    Idempotent,
    /// It may undo what others did in between, or fail because the first one succeeded.
    Never,
}

impl Repeat {
    /// An idempotent mutation; with a condition on the revision it is not, because its own first
    /// arrival makes the condition false.
    pub(super) fn idempotent_unless(condition: Option<Revision>) -> Self {
        if condition.is_some() { Repeat::Never } else { Repeat::Idempotent }
    }
}

/// One request, before it is known who gets it.
#[derive(Debug)]
pub(super) struct Call {
    method: Method,
    path: &'static str,
    query: Vec<(&'static str, String)>,
    header: Option<(HeaderName, HeaderValue)>,
    body: Option<Bytes>,
    repeat: Repeat,
    /// How long the member may take on purpose, on top of the client's timeouts.
    wait: Duration,
}

impl Call {
    pub(super) fn get(path: &'static str) -> Self {
        let (header, body) = (None, None);
        Self {
            method: Method::GET,
            path,
            query: Vec::new(),
            header,
            body,
            repeat: Repeat::Read,
            wait: Duration::ZERO,
        }
    }

    pub(super) fn post(path: &'static str, body: &impl Serialize, repeat: Repeat) -> Result<Self, Error> {
        let body = serde_json::to_vec(body).map_err(|error| Error::Config(error.to_string()))?;
        Ok(Self { method: Method::POST, body: Some(body.into()), repeat, ..Self::get(path) })
    }

    pub(super) fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    pub(super) fn consistency(self, consistency: Consistency) -> Self {
        match consistency {
            Consistency::Linearizable => self,
            Consistency::Stale => self.query("consistency", Some("stale")),
        }
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }

    pub(super) fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }
}

/// A call that failed. `after_unknown`: an attempt before the last may have been carried out.
#[derive(Debug)]
pub(super) struct CallFailed {
    pub(super) error: Error,
    pub(super) after_unknown: bool,
}

impl From<CallFailed> for Error {
    fn from(failed: CallFailed) -> Self {
        failed.error
    }
}

impl Client {
    /// Makes the call and decodes the `data` of its answer.
    pub(super) async fn call<T: DeserializeOwned>(&self, call: &Call) -> Result<Answer<T>, Error> {
        let (endpoint, raw) = self.send(call).await?;
        decode(endpoint, &raw)
    }

    /// Makes the call at one endpoint after the other, beginning with the one that answered last,
    /// or that comes after those that did not.
    pub(super) async fn send(&self, call: &Call) -> Result<(Endpoint, RawAnswer), CallFailed> {
        let deadline = Instant::now() + self.inner.timeout + call.wait;
        let (first, count) = (self.preferred_index(), self.inner.endpoints.len());
        let mut failures = Vec::new();
        let mut unknown: Option<Failure> = None;
        for attempt in 0..count {
            let index = (first + attempt) % count;
            let endpoint = &self.inner.endpoints[index];
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            // There is no point in giving up on the last one early, unless somebody tries again at once.
            let is_last = attempt + 1 == count && !self.is_hasty;
            let may_go_on = call.repeat != Repeat::Never && !is_last;
            let bound = if may_go_on { left.min(self.attempt_timeout + call.wait) } else { left };
            let failure = |code, reason| Failure { endpoint: endpoint.clone(), code, reason };
            match self.attempt(endpoint, call, bound).await {
                Ok(raw) => {
                    self.prefer(index);
                    return Ok((endpoint.clone(), raw));
                }
                Err(Unsuccessful::NotDone(code, reason)) => {
                    self.pass_over(index);
                    failures.push(failure(code, reason));
                }
                Err(Unsuccessful::Unknown(code, reason)) => {
                    self.pass_over(index);
                    let failed = failure(code, reason);
                    match call.repeat {
                        Repeat::Read => {}
                        Repeat::Idempotent => unknown = Some(failed.clone()),
                        Repeat::Never => {
                            let error = Error::OutcomeUnknown { failure: failed, repeatable: false };
                            return Err(CallFailed { error, after_unknown: true });
                        }
                    }
                    failures.push(failed);
                }
                Err(Unsuccessful::Refused(error)) => {
                    self.prefer(index);
                    let error = Error::Refused { endpoint: endpoint.clone(), error };
                    return Err(CallFailed { error, after_unknown: unknown.is_some() });
                }
                Err(Unsuccessful::Unexpected(reason)) => {
                    let error = Error::Unexpected { endpoint: endpoint.clone(), reason };
                    return Err(CallFailed { error, after_unknown: unknown.is_some() });
                }
            }
            tracing::debug!(%endpoint, path = call.path, "asking the next endpoint");
        }
        Err(match unknown {
            Some(failure) => {
                CallFailed { error: Error::OutcomeUnknown { failure, repeatable: true }, after_unknown: true }
            }
            None => CallFailed { error: Error::Unavailable { failures }, after_unknown: false },
        })
    }

    /// Asks this endpoint and no other. For reads.
    pub(super) async fn send_to(&self, endpoint: &Endpoint, call: &Call) -> Result<RawAnswer, Error> {
        let endpoint = endpoint.clone();
        self.attempt(&endpoint, call, self.inner.timeout).await.map_err(|failed| match failed {
            Unsuccessful::NotDone(code, reason) | Unsuccessful::Unknown(code, reason) => {
                Error::Unavailable { failures: vec![Failure { endpoint, code, reason }] }
            }
            Unsuccessful::Refused(error) => Error::Refused { endpoint, error },
            Unsuccessful::Unexpected(reason) => Error::Unexpected { endpoint, reason },
        })
    }

    /// One endpoint, once, within `bound`.
    async fn attempt(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        bound: Duration,
    ) -> Result<RawAnswer, Unsuccessful> {
        let mut request = self.request(call.method.clone(), endpoint, call.path).query(&call.query);
        if let Some((name, value)) = &call.header {
            request = request.header(name, value);
        }
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        match tokio::time::timeout(bound, exchange(self.wire(), request)).await {
            Ok(Ok(raw)) => judge(raw.status, &raw.body).map(|()| raw),
            Ok(Err(ExchangeFailed::Transport(TransportError::NotConnected(reason)))) => {
                Err(Unsuccessful::NotDone(None, reason))
            }
            Ok(Err(ExchangeFailed::Transport(TransportError::Lost(reason)))) => {
                Err(Unsuccessful::Unknown(None, reason))
            }
            Ok(Err(ExchangeFailed::TooLarge)) => Err(Unsuccessful::Unknown(
                None,
                format!("the answer is larger than {RESPONSE_MAX_BYTES} bytes"),
            )),
            Err(_) => Err(Unsuccessful::Unknown(None, format!("no answer within {bound:.0?}"))),
        }
    }
}

enum ExchangeFailed {
    Transport(TransportError),
    TooLarge,
}

impl From<TransportError> for ExchangeFailed {
    fn from(error: TransportError) -> Self {
        ExchangeFailed::Transport(error)
    }
}

/// Sends the request and reads the whole answer.
async fn exchange(wire: &Wire, request: reqwest::RequestBuilder) -> Result<RawAnswer, ExchangeFailed> {
    let Arriving { status, headers, body: mut chunks } = wire.send(request).await?;
    let mut body = Vec::new();
    while let Some(chunk) = chunks.next().await? {
        if body.len() + chunk.len() > RESPONSE_MAX_BYTES {
            return Err(ExchangeFailed::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(RawAnswer { status, headers, body })
}

/// Takes the `data` out of the envelope.
pub(super) fn decode<T: DeserializeOwned>(endpoint: Endpoint, raw: &RawAnswer) -> Result<Answer<T>, Error> {
    let envelope: Envelope<T> = parse(&endpoint, raw)?;
    Ok(Answer { data: envelope.data, endpoint, revision: raw.revision(), leader_lag: raw.leader_lag() })
}

/// Reads the body of a success as `T`.
pub(super) fn parse<T: DeserializeOwned>(endpoint: &Endpoint, raw: &RawAnswer) -> Result<T, Error> {
    let unexpected = |reason: String| Error::Unexpected { endpoint: endpoint.clone(), reason };
    if raw.status == StatusCode::NO_CONTENT || raw.body.is_empty() {
        return Err(unexpected(format!("HTTP {} without a body", raw.status)));
    }
    serde_json::from_slice(&raw.body)
        .map_err(|error| unexpected(format!("the answer cannot be read: {error}")))
}

/// Whether a member says that what was to be removed is not there.
pub(super) fn is_gone(failed: &CallFailed) -> bool {
    matches!(failed.error.code(), Some(ErrorCode::NodeNotFound | ErrorCode::NamespaceNotFound))
}
