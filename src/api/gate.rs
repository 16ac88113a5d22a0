//! What stands before every handler: a request that names its host, the token, a place among the
//! requests under way, a time limit, and the metrics.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, Uri, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use kenger_types::ErrorCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::Api;
use super::auth::Caller;
use super::error::Failure;
use super::metrics::RouteMetrics;
use super::routes::{Access, Lane, Route};
use crate::token::Role;

/// Heartbeats under way at a time.
const HEARTBEATS_MAX: usize = 8_192;
/// Writes under way at a time.
const WRITES_MAX: usize = 4_096;
/// Lists, and watches that are being begun, at a time.
const READS_MAX: usize = 1_024;
/// Syncs at a time, those that wait for a change among them.
const POLLS_MAX: usize = 20_000;
/// Open watch streams at a time.
const WATCHERS_MAX: usize = 20_000;

/// A request that takes longer has got lost: everything below has shorter limits of its own.
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// Places for requests under way.
pub(super) struct Gates {
    heartbeats: Semaphore,
    writes: Semaphore,
    reads: Semaphore,
    polls: Semaphore,
    watchers: Arc<Semaphore>,
}

impl Gates {
    pub(super) fn new() -> Self {
        Self {
            heartbeats: Semaphore::new(HEARTBEATS_MAX),
            writes: Semaphore::new(WRITES_MAX),
            reads: Semaphore::new(READS_MAX),
            polls: Semaphore::new(POLLS_MAX),
            watchers: Arc::new(Semaphore::new(WATCHERS_MAX)),
        }
    }

    fn of(&self, lane: Lane) -> Option<(&Semaphore, usize)> {
        match lane {
            Lane::Probe => None,
            Lane::Heartbeat => Some((&self.heartbeats, HEARTBEATS_MAX)),
            Lane::Write => Some((&self.writes, WRITES_MAX)),
            Lane::Read => Some((&self.reads, READS_MAX)),
            Lane::Poll => Some((&self.polls, POLLS_MAX)),
        }
    }

    /// A place for a watch stream, to be held as long as the stream is open.
    pub(super) fn watcher(&self) -> Result<OwnedSemaphorePermit, Failure> {
        self.watchers.clone().try_acquire_owned().map_err(|_| too_many(WATCHERS_MAX))
    }

    /// For counting open watch streams.
    pub(super) fn watchers(&self) -> Watchers {
        Watchers(self.watchers.clone())
    }
}

/// Counts open watch streams.
#[derive(Debug)]
pub(super) struct Watchers(Arc<Semaphore>);

impl Watchers {
    pub(super) fn count(&self) -> usize {
        WATCHERS_MAX - self.0.available_permits()
    }
}

fn too_many(max: usize) -> Failure {
    Failure::new(
        ErrorCode::TooManyRequests,
        format!("{max} requests of this kind are under way already; try again, or ask another member"),
    )
}

/// The gate of one route.
#[derive(Clone)]
pub(super) struct Gate {
    api: Api,
    route: &'static Route,
    metrics: RouteMetrics,
}

impl Gate {
    pub(super) fn new(api: &Api, route: &'static Route) -> Self {
        Self { api: api.clone(), route, metrics: api.metrics().route(route.path) }
    }
}

/// Lets a request through to its handler, or not; counts it either way.
pub(super) async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let admitted = AssertUnwindSafe(admit(&gate, request, next)).catch_unwind().await;
    let response = match admitted {
        Ok(Ok(response)) => response,
        Ok(Err(failure)) => failure.into_response(),
        Err(_) => {
            tracing::error!(path = gate.route.path, "a request handler panicked");
            Failure::new(ErrorCode::Internal, "a fault of this member; its log says more").into_response()
        }
    };
    gate.metrics.observe(&response, started.elapsed());
    response
}

async fn admit(gate: &Gate, mut request: Request, next: Next) -> Result<Response, Failure> {
    let Gate { api, route, .. } = gate;
    check_host(request.version(), request.headers())?;
    let needed = match route.access {
        Access::Open => None,
        Access::Role(role) => Some(role),
        Access::Metrics => (!api.config().metrics_without_token).then_some(Role::Read),
    };
    let caller = match needed {
        Some(role) => Caller::authenticate(&api.config().tokens, request.headers(), role)?,
        None => Caller::default(),
    };
    let audited = (needed == Some(Role::Admin)).then(|| caller.name().to_owned());
    request.extensions_mut().insert(caller);
    let response = within_limits(api.gates(), route.lane, next.run(request)).await?;
    if let Some(token) = audited {
        tracing::info!(path = route.path, token, status = response.status().as_u16(), "administration");
    }
    Ok(response)
}

/// As HTTP demands: a request that two programs may take to be for different hosts is not answered.
fn check_host(version: Version, headers: &HeaderMap) -> Result<(), Failure> {
    let wrong = |what: &str| Err(Failure::invalid("Host", what).closing());
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version >= Version::HTTP_11 => wrong("an HTTP/1.1 request has a Host header"),
        (Some(_), Some(_)) => wrong("a request has one Host header, not several"),
        (Some(host), None) if !is_host(host.as_bytes()) => wrong("is not a host, or host:port"),
        _ => Ok(()),
    }
}

/// Nothing is a host, too: of a request whose target has none.
fn is_host(host: &[u8]) -> bool {
    host.is_empty() || (!host.contains(&b'@') && Authority::try_from(host).is_ok())
}

/// Runs a handler in a place of its lane, and no longer than a request may take.
async fn within_limits(
    gates: &Gates,
    lane: Lane,
    handler: impl Future<Output = Response>,
) -> Result<Response, Failure> {
    let _place = match gates.of(lane) {
        Some((places, max)) => Some(places.try_acquire().map_err(|_| too_many(max))?),
        None => None,
    };
    match lane {
        Lane::Poll => Ok(handler.await),
        _ => tokio::time::timeout(REQUEST_MAX, handler).await.map_err(|_| lost(lane)),
    }
}

fn lost(lane: Lane) -> Failure {
    let seconds = REQUEST_MAX.as_secs();
    if lane == Lane::Write {
        let message = format!(
            "no outcome within {seconds} s: it may have been done, or may yet be; read before you try again"
        );
        Failure::new(ErrorCode::OutcomeUnknown, message)
    } else {
        Failure::new(ErrorCode::NotReady, format!("no answer within {seconds} s; ask another member"))
    }
}

/// The path exists, the method does not.
pub(super) async fn method_not_allowed(method: Method, uri: Uri) -> Failure {
    Failure::new(
        ErrorCode::MethodNotAllowed,
        format!("{} does not take {method}; `Allow` says what it takes", uri.path()),
    )
}

/// There is no such path.
pub(super) async fn path_not_found(State(api): State<Api>, request: Request) -> Response {
    let started = Instant::now();
    let failure = check_host(request.version(), request.headers()).err().unwrap_or_else(|| {
        Failure::new(ErrorCode::PathNotFound, format!("there is no path {:?}", request.uri().path()))
    });
    let response = failure.into_response();
    api.metrics().unmatched().observe(&response, started.elapsed());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_lane_being_full_leaves_the_others_open() {
        let gates = Gates::new();
        let (reads, max) = gates.of(Lane::Read).unwrap();
        let _all = reads.try_acquire_many(u32::try_from(max).unwrap()).unwrap();
        assert!(gates.of(Lane::Read).unwrap().0.try_acquire().is_err());
        for lane in [Lane::Heartbeat, Lane::Write, Lane::Poll] {
            assert!(gates.of(lane).unwrap().0.try_acquire().is_ok(), "{lane:?}");
        }
        assert!(gates.of(Lane::Probe).is_none());
    }

    async fn done() -> Response {
        "done".into_response()
    }

    /// Status and `Retry-After` of an answer.
    fn told(answer: Result<Response, Failure>) -> (u16, Option<String>) {
        let response = answer.into_response();
        let retry_after =
            response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), retry_after)
    }

    #[tokio::test]
    async fn a_full_lane_says_when_to_try_again() {
        let gates = Gates::new();
        for lane in [Lane::Heartbeat, Lane::Write, Lane::Read, Lane::Poll] {
            let (places, max) = gates.of(lane).unwrap();
            let all = places.try_acquire_many(u32::try_from(max).unwrap()).unwrap();
            let refused = within_limits(&gates, lane, done()).await;
            assert_eq!(told(refused), (429, Some("1".to_owned())), "{lane:?}");
            drop(all);
            assert_eq!(told(within_limits(&gates, lane, done()).await), (200, None), "{lane:?}");
            assert_eq!(places.available_permits(), max, "{lane:?}: the place was given back");
        }
        assert_eq!(told(within_limits(&gates, Lane::Probe, done()).await), (200, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_got_lost_is_answered_after_thirty_seconds() {
        let gates = Gates::new();
        let retry = Some("1".to_owned());
        for (lane, expected) in [
            // Whether it was done is not known, so nobody is invited to do it again.
            (Lane::Write, (504, None)),
            (Lane::Read, (503, retry.clone())),
            (Lane::Heartbeat, (503, retry.clone())),
            (Lane::Probe, (503, retry)),
        ] {
            let began = Instant::now();
            let lost = within_limits(&gates, lane, std::future::pending()).await;
            assert_eq!((told(lost), began.elapsed().as_secs()), (expected, 30), "{lane:?}");
            if let Some((places, max)) = gates.of(lane) {
                assert_eq!(places.available_permits(), max, "{lane:?}: the place was given back");
            }
        }
        // One that waits for a change may take longer; it has a limit of its own.
        let polling = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            "done".into_response()
        };
        assert_eq!(told(within_limits(&gates, Lane::Poll, polling).await), (200, None));
    }

    #[test]
    fn a_request_names_one_host_unless_it_is_older_than_the_header() {
        let judged = |version, hosts: &[&str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(HOST, axum::http::HeaderValue::from_bytes(host.as_bytes()).unwrap());
            }
            check_host(version, &headers).is_ok()
        };
        for host in ["a", "a.example:80", "127.0.0.1:5000", "[::1]:5000", "[::1]", "a_b", ""] {
            assert!(judged(Version::HTTP_11, &[host]), "{host:?}");
        }
        for host in ["a b", "a/b", "u@a", "[::1", "a,b/", "é"] {
            assert!(!judged(Version::HTTP_11, &[host]), "{host:?}");
        }
        assert!(!judged(Version::HTTP_11, &[]) && judged(Version::HTTP_10, &[]));
        assert!(!judged(Version::HTTP_11, &["a", "a"]) && !judged(Version::HTTP_10, &["a", "b"]));
    }

    #[test]
    fn watch_streams_are_counted_and_bounded() {
        let gates = Gates::new();
        let watchers = gates.watchers();
        let first = gates.watcher().unwrap();
        assert_eq!(watchers.count(), 1);
        let rest: Vec<_> = (1..WATCHERS_MAX).map(|_| gates.watcher().unwrap()).collect();
        assert_eq!(gates.watcher().unwrap_err().code(), ErrorCode::TooManyRequests);
        drop((first, rest));
        assert_eq!(watchers.count(), 0);
    }
}
