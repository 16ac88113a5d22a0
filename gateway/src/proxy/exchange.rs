//! One request: pick a node, send, answer; and what may be tried again when that fails.
//!
//! Tried again is only what was not sent, or what may be repeated and has no body (see
//! [`super::rules`]); on another node, within the budget, and never after the response began. The
//! one exception is a kept connection that turns out to be closed: that says nothing about the node,
//! so the same one is asked once more over a new connection, at no cost to the budget.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderValue, UPGRADE};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::body::{RequestBody, ResponseBody};
use super::client::ClientConnection;
use super::failure::{Failure, RetryReason};
use super::gate::HeadFacts;
use super::headers::{prepare_request, prepare_response};
use super::pool::{Lease, RawConnection, Upstream};
use super::rules::{Head, Plan, judge};
use crate::routing::{Endpoint, EndpointId, Serving, Table};

/// The most nodes that one request is tried on; the configuration may allow fewer.
pub(crate) const ATTEMPTS_MAX: usize = 8;

/// The head of a request, kept so that the request can be sent again.
struct Copy {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Copy {
    fn of(request: &Request<RequestBody>) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
        }
    }

    fn into_request(self) -> Request<RequestBody> {
        let mut request = Request::new(RequestBody::Empty);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        request
    }
}

/// Where a request was tried.
#[derive(Default)]
struct Tried {
    ids: [Option<EndpointId>; ATTEMPTS_MAX],
    count: usize,
}

impl Tried {
    fn add(&mut self, id: EndpointId) {
        if let Some(slot) = self.ids.get_mut(self.count) {
            *slot = Some(id);
        }
        self.count += 1;
    }

    fn contains(&self, id: EndpointId) -> bool {
        self.ids.contains(&Some(id))
    }
}

/// A response whose body has not been read yet.
struct Sent {
    response: Response<Incoming>,
    lease: Lease,
    /// Gets the raw connection if the node changes the protocol; there if the client asked for it.
    raw: Option<oneshot::Receiver<RawConnection>>,
}

/// The node that a request goes to next.
enum Picked {
    /// Over a connection that was kept.
    Kept(Upstream),
    /// Over a new one.
    New(Arc<Endpoint>),
}

impl Picked {
    fn endpoint(&self) -> &Endpoint {
        match self {
            Picked::Kept(upstream) => &upstream.endpoint,
            Picked::New(endpoint) => endpoint,
        }
    }
}

/// How sending ended without a response.
enum SendError {
    /// Nothing was sent: here it is again.
    Unsent(Box<Request<RequestBody>>),
    /// It may have been carried out.
    Sent(Failure),
}

/// Answers a request.
pub(crate) async fn handle(
    client: Rc<ClientConnection>,
    request: Request<Incoming>,
    facts: HeadFacts,
) -> Response<ResponseBody> {
    let began = Instant::now();
    let counters = client.counters();
    let response = match forward(&client, request, facts, began).await {
        Ok(response) => response,
        Err(failure) => {
            counters.failures[failure.index()].increment();
            failure.answer()
        }
    };
    if let Some(class) =
        counters.answers_by_class.get(usize::from(response.status().as_u16() / 100).wrapping_sub(1))
    {
        class.increment();
    }
    counters.time_to_head.record(began.elapsed());
    response
}

async fn forward(
    client: &Rc<ClientConnection>,
    request: Request<Incoming>,
    facts: HeadFacts,
    began: Instant,
) -> Result<Response<ResponseBody>, Failure> {
    let (parts, incoming) = request.into_parts();
    let body = RequestBody::new(incoming, client.progress());
    let head = Head {
        method: &parts.method,
        uri: &parts.uri,
        version: parts.version,
        headers: &parts.headers,
        has_body: !matches!(body, RequestBody::Empty),
    };
    let plan = judge(&head, facts)?;
    let mut request = Request::new(body);
    *request.method_mut() = parts.method;
    *request.uri_mut() = parts.uri;
    *request.headers_mut() = parts.headers;
    prepare_request(&mut request, &plan, client.forwarded());
    client.worker().budget.borrow_mut().deposit();
    client.progress().set_waits_for_client(false);
    client.progress().moved_at(began);

    let sent = send_somewhere(client, request, &plan).await?;
    answer(client, sent)
}

/// Sends the request to one node after another until one answers.
async fn send_somewhere(
    client: &Rc<ClientConnection>,
    mut request: Request<RequestBody>,
    plan: &Plan,
) -> Result<Sent, Failure> {
    let mut tried = Tried::default();
    let mut picked = pick(client, &tried)?;
    loop {
        tried.add(picked.endpoint().id);
        let (failure, again) = match send_to(client, picked, request, plan).await {
            Ok(sent) => return Ok(sent),
            Err(failed) => failed,
        };
        let Some((unsent, reason)) = again else { return Err(failure) };
        // The table may be another one by now: a retry goes by the newest.
        let Ok(next) = pick(client, &tried) else { return Err(failure) };
        if !may_retry(client, &tried, reason) {
            return Err(failure);
        }
        (request, picked) = (*unsent, next);
    }
}

/// Whether one more retry is within all limits; takes it from the budget.
fn may_retry(client: &ClientConnection, tried: &Tried, reason: RetryReason) -> bool {
    let (worker, counters) = (client.worker(), client.counters());
    if tried.count >= worker.config.upstream.attempts_max {
        return false;
    }
    let is_granted = worker.budget.borrow_mut().withdraw(Instant::now());
    if is_granted { &counters.retries[reason.index()] } else { &counters.retries_over_budget }.increment();
    is_granted
}

/// A node by weight that was not tried yet; at first over a kept connection if there is one.
fn pick(client: &ClientConnection, tried: &Tried) -> Result<Picked, Failure> {
    let (worker, is_first) = (client.worker(), tried.count == 0);
    let table: arc_swap::Guard<Arc<Table>> = client.table().load();
    let picked = table.pick(&mut worker.random.borrow_mut(), |endpoint| tried.contains(endpoint.id));
    match (picked, table.serving) {
        (_, Serving::Nobody(why)) => Err(Failure::NoNode(why)),
        (None, _) => Err(Failure::ConnectFailed),
        (Some(endpoint), serving) => {
            if is_first && serving == Serving::Panic {
                client.counters().panic_picks.increment();
            }
            let kept = if is_first { worker.pool.take(endpoint.id) } else { None };
            Ok(kept.map_or_else(|| Picked::New(Arc::clone(endpoint)), Picked::Kept))
        }
    }
}

type Again = Option<(Box<Request<RequestBody>>, RetryReason)>;

/// Sends the request to this node, over the kept connection or, if that turns out to be closed, over
/// a new one. With the failure comes the request, if it may be tried elsewhere.
async fn send_to(
    client: &Rc<ClientConnection>,
    mut picked: Picked,
    mut request: Request<RequestBody>,
    plan: &Plan,
) -> Result<Sent, (Failure, Again)> {
    let (worker, counters) = (client.worker(), client.counters());
    picked.endpoint().tallies[worker.index].requests.increment();
    if !plan.has_host {
        request.headers_mut().insert(HOST, picked.endpoint().authority.clone());
    }
    loop {
        let was_kept = matches!(picked, Picked::Kept(_));
        let upstream = match picked {
            Picked::Kept(upstream) => {
                counters.upstream_connections_reused.increment();
                upstream
            }
            Picked::New(endpoint) => match worker.pool.connect(&endpoint).await {
                Ok(upstream) => {
                    counters.upstream_connections_opened.increment();
                    client.progress().moved();
                    upstream
                }
                Err(failure) => {
                    endpoint.tallies[worker.index].failures.increment();
                    return Err((failure, Some((Box::new(request), RetryReason::Connect))));
                }
            },
        };
        let copy = plan.is_repeatable.then(|| Copy::of(&request));
        let mut lease = Lease::new(upstream, &worker.pool);
        // Asked for beforehand: the connection is handed over as soon as the response is there.
        let raw = plan.upgrade.is_some().then(|| lease.upstream.raw());
        let error = match exchange(client, &mut lease, request).await {
            Ok(response) => return Ok(Sent { response, lease, raw }),
            Err(error) => error,
        };
        let (failure, again) = match error {
            SendError::Unsent(unsent) => (Failure::Disconnected, Some(unsent)),
            SendError::Sent(failure) => {
                let copy = copy.filter(|_| failure == Failure::Disconnected);
                (failure, copy.map(|copy| Box::new(copy.into_request())))
            }
        };
        let endpoint = Arc::clone(&lease.upstream.endpoint);
        match again {
            // The node closed the idle connection, perhaps at the very moment of its use.
            Some(again) if was_kept => {
                counters.retries[RetryReason::Stale.index()].increment();
                (request, picked) = (*again, Picked::New(endpoint));
            }
            again => {
                endpoint.tallies[worker.index].failures.increment();
                return Err((failure, again.map(|again| (again, RetryReason::Disconnected))));
            }
        }
    }
}

/// Sends the request over this connection and waits for the head of the response.
async fn exchange(
    client: &ClientConnection,
    lease: &mut Lease,
    request: Request<RequestBody>,
) -> Result<Response<Incoming>, SendError> {
    let mut sending = pin!(lease.upstream.send(request));
    let progress = client.progress();
    let outcome = poll_fn(|cx| match sending.as_mut().poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending => progress.poll_stalled(cx).map(|()| None),
    });
    match outcome.await {
        Some(Ok(response)) => Ok(response),
        Some(Err(mut error)) => match error.take_message() {
            Some(request) => Err(SendError::Unsent(Box::new(request))),
            None => Err(SendError::Sent(classify(error.error()))),
        },
        None if progress.waits_for_client() => Err(SendError::Sent(Failure::ClientBodyTimeout)),
        None => Err(SendError::Sent(Failure::ResponseTimeout)),
    }
}

fn classify(error: &hyper::Error) -> Failure {
    if error.is_user() {
        Failure::ClientBodyBroken
    } else if error.is_parse() {
        Failure::BadResponse
    } else {
        Failure::Disconnected
    }
}

/// Makes a node's response into the client's.
fn answer(client: &Rc<ClientConnection>, sent: Sent) -> Result<Response<ResponseBody>, Failure> {
    let Sent { response, lease, raw } = sent;
    let (mut parts, incoming) = response.into_parts();
    let protocol = parts.headers.get(UPGRADE).cloned();
    prepare_response(&mut parts.headers);
    // The library lowers it for a client that speaks HTTP/1.0.
    parts.version = Version::HTTP_11;
    if parts.status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Response::from_parts(parts, ResponseBody::new(incoming, lease, client.progress())));
    }
    // From here on both connections are one tunnel, if that is what the client asked for.
    let (Some(raw), Some(protocol)) = (raw, protocol) else { return Err(Failure::BadResponse) };
    client.open_tunnel(raw);
    parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    parts.headers.insert(UPGRADE, protocol);
    Ok(Response::from_parts(parts, ResponseBody::from(Bytes::new())))
}
