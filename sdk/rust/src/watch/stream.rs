//! One stream of the feed: opens it at one endpoint and reads its events until it ends.

use std::collections::VecDeque;
use std::time::Duration;

use kenger_types::api::path;
use kenger_types::feed::{BookmarkEvent, ChangeEvent, EventName, LeaderEvent, SnapshotEvent};
use kenger_types::{NamespaceName, Revision};
use reqwest::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::IDLE_TIMEOUT;
use super::event::DisconnectReason;
use super::route::Target;
use crate::client::{Unsuccessful, judge};
use crate::sse::{Parser, SseEvent, TooLarge};
use crate::transport::{Arriving, TransportError, Wire};
use crate::{Client, Endpoint};

/// How long a member has to begin its answer; it may wait for a leader to be known.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest event: a snapshot of some hundred thousand nodes.
const EVENT_MAX_BYTES: usize = 256 << 20;
/// The largest answer that is no feed, of which the message is shown.
const REFUSAL_MAX_BYTES: usize = 64 << 10;

/// What every request of a watch asks for.
#[derive(Debug, Clone)]
pub(super) struct Request {
    query: Vec<(&'static str, String)>,
    /// Listen to a member that hears no leader, too. Not said where the leader's feed is asked for,
    /// which is never stale.
    stale: bool,
}

impl Request {
    pub(super) fn new(namespaces: &[NamespaceName], stale: bool) -> Self {
        let mut query = Vec::new();
        if !namespaces.is_empty() {
            let names: Vec<&str> = namespaces.iter().map(AsRef::as_ref).collect();
            query.push(("ns", names.join(",")));
        }
        Self { query, stale }
    }

    /// Whether this member is asked for what it has, even if that is behind.
    pub(super) fn is_stale(&self, target: &Target) -> bool {
        self.stale && !target.ask_leader
    }

    pub(super) fn build(
        &self,
        client: &Client,
        target: &Target,
        after: Option<Revision>,
    ) -> reqwest::RequestBuilder {
        let mut request = client.request(Method::GET, &target.endpoint, path::WATCH).query(&self.query);
        if target.ask_leader {
            request = request.query(&[("from", "leader")]);
        }
        if self.is_stale(target) {
            request = request.query(&[("consistency", "stale")]);
        }
        if let Some(revision) = after {
            request = request.header("last-event-id", revision.to_string());
        }
        request.header(ACCEPT, "text/event-stream").header(CACHE_CONTROL, "no-store")
    }
}

/// Why there is no stream.
#[derive(Debug)]
pub(super) enum OpenFailed {
    /// The leader is to be asked instead.
    Redirected(Endpoint),
    /// Nobody listens there, as far as can be seen from here.
    NotConnected(String),
    /// It was connected to and gave no feed.
    Other(DisconnectReason),
}

/// Opens a stream.
pub(super) async fn open(wire: Wire, request: reqwest::RequestBuilder) -> Result<Stream, OpenFailed> {
    let connection = |error: TransportError| match error {
        TransportError::NotConnected(reason) => OpenFailed::NotConnected(reason),
        TransportError::Lost(reason) => OpenFailed::Other(DisconnectReason::Connection(reason)),
    };
    let late = || OpenFailed::NotConnected(format!("no answer within {HEADERS_TIMEOUT:?}"));
    let response = tokio::time::timeout(HEADERS_TIMEOUT, wire.send(request)).await.map_err(|_| late())?;
    let mut response = response.map_err(connection)?;
    let header = |name| response.headers.get(name).and_then(|value| value.to_str().ok());
    if response.status == StatusCode::TEMPORARY_REDIRECT {
        let leader = header(LOCATION).and_then(Endpoint::from_location);
        let unexpected =
            || OpenFailed::Other(DisconnectReason::Unexpected("a redirect to no member".to_owned()));
        return Err(leader.map_or_else(unexpected, OpenFailed::Redirected));
    }
    let is_feed = header(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/event-stream"));
    if response.status == StatusCode::OK && is_feed {
        return Ok(Stream::new(response));
    }
    let status = response.status;
    let body = tokio::time::timeout(HEADERS_TIMEOUT, excerpt(&mut response)).await.unwrap_or_default();
    Err(OpenFailed::Other(match judge(status, &body) {
        Ok(()) => DisconnectReason::Unexpected(format!("HTTP {status}, but no event stream")),
        Err(Unsuccessful::Refused(error)) => DisconnectReason::Refused(error),
        Err(Unsuccessful::NotDone(_, reason) | Unsuccessful::Unknown(_, reason)) => {
            DisconnectReason::Unavailable(reason)
        }
        Err(Unsuccessful::Unexpected(reason)) => DisconnectReason::Unexpected(reason),
    }))
}

/// The beginning of a body.
async fn excerpt(response: &mut Arriving) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.body.next().await {
        body.extend_from_slice(&chunk);
        if body.len() > REFUSAL_MAX_BYTES {
            break;
        }
    }
    body
}

/// An event of the feed, as it came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FeedEvent {
    Snapshot(SnapshotEvent),
    Change(ChangeEvent),
    Bookmark(BookmarkEvent),
    Leader(LeaderEvent),
}

/// An open stream.
pub(super) struct Stream {
    response: Arriving,
    parser: Parser,
    events: VecDeque<SseEvent>,
    idle_at: Instant,
}

impl Stream {
    fn new(response: Arriving) -> Self {
        let idle_at = Instant::now() + IDLE_TIMEOUT;
        Self { response, parser: Parser::new(EVENT_MAX_BYTES), events: VecDeque::new(), idle_at }
    }

    /// The next event that this version knows. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<FeedEvent, DisconnectReason> {
        loop {
            while let Some(event) = self.events.pop_front() {
                if let Some(event) = decode(&event)? {
                    return Ok(event);
                }
            }
            let chunk = tokio::time::timeout_at(self.idle_at, self.response.body.next()).await;
            let chunk = chunk.map_err(|_| DisconnectReason::Idle(IDLE_TIMEOUT))?;
            let chunk = chunk.map_err(|error| DisconnectReason::Connection(error.into_reason()))?;
            // What has begun and is not complete is dropped with the stream.
            let Some(chunk) = chunk else { return Err(DisconnectReason::Ended) };
            let pushed = self.parser.push(&chunk, &mut self.events);
            pushed.map_err(|TooLarge| DisconnectReason::TooLarge(EVENT_MAX_BYTES))?;
            // A large snapshot may take longer than the timeout; comments keep nothing alive.
            if !self.events.is_empty() || self.parser.is_within_event() {
                self.idle_at = Instant::now() + IDLE_TIMEOUT;
            }
        }
    }
}

/// Reads an event; `None` for one that a later version has added.
fn decode(event: &SseEvent) -> Result<Option<FeedEvent>, DisconnectReason> {
    let Some(name) = EventName::from_name(&event.name) else { return Ok(None) };
    Ok(Some(match name {
        EventName::Snapshot => FeedEvent::Snapshot(body(event)?),
        EventName::Change => FeedEvent::Change(body(event)?),
        EventName::Bookmark => FeedEvent::Bookmark(body(event)?),
        EventName::Leader => FeedEvent::Leader(body(event)?),
    }))
}

fn body<T: DeserializeOwned>(event: &SseEvent) -> Result<T, DisconnectReason> {
    serde_json::from_slice(&event.data)
        .map_err(|error| DisconnectReason::Unreadable(format!("{}: {error}", event.name)))
}
