//! The admin API: what the gateway knows and how it fares, read-only, for people, probes and
//! Prometheus. `/nodes`, `/health` and `/config` have the shapes of the original system.
//!
//! It has no token and listens on the loopback interface unless told otherwise.

mod views;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kenger_types::{ApiError, ErrorCode, NamespaceName};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::metrics::{Sources, expose};

/// Most connections at the same time; further ones wait.
const CONNECTIONS_MAX: usize = 64;
/// How long a request's head may take, and an idle connection is kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one connection may last in all.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);
/// How long accepting rests after an error.
const ACCEPT_REST: Duration = Duration::from_millis(20);

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const PROMETHEUS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// What the answers are made from.
#[derive(Debug)]
pub(crate) struct Admin {
    pub(crate) config: Config,
    pub(crate) sources: Sources,
    /// Cancelled once the gateway is stopping.
    pub(crate) stop: tokio_util::sync::CancellationToken,
}

type Answer = Response<Full<Bytes>>;

/// Serves the API until `shutdown`.
pub(crate) async fn serve(admin: Arc<Admin>, listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        while connections.try_join_next().is_some() {}
        let next = async { (Arc::clone(&places).acquire_owned().await, listener.accept().await) };
        let (place, accepted) = tokio::select! {
            () = &mut shutdown => return,
            next = next => next,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_REST).await;
            continue;
        };
        let admin = Arc::clone(&admin);
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let admin = Arc::clone(&admin);
                async move { Ok::<_, Infallible>(admin.answer(&request)) }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            // Whoever is cut off asks again.
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
            drop(place);
        });
    }
}

impl Admin {
    fn answer(&self, request: &Request<Incoming>) -> Answer {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let error =
                ApiError::new(ErrorCode::MethodNotAllowed, "the admin API is read-only: GET and HEAD");
            let mut answer = refused(&error);
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        let namespace = match namespace(request.uri().query()) {
            Ok(namespace) => namespace,
            Err(error) => return refused(&error),
        };
        match request.uri().path() {
            "/nodes" => self.fresh(&views::nodes(self, namespace.as_ref())),
            "/health" => self.fresh(&views::health(self, namespace.as_ref())),
            "/config" => json(StatusCode::OK, &views::config(self)),
            "/metrics" => match expose(&self.sources) {
                Ok(metrics) => answer(StatusCode::OK, PROMETHEUS, metrics),
                Err(_) => refused(&ApiError::new(ErrorCode::Internal, "the metrics cannot be written")),
            },
            "/healthz" => answer(StatusCode::OK, TEXT, "ok\n"),
            "/readyz" => self.ready(),
            other => refused(&ApiError::new(
                ErrorCode::PathNotFound,
                format!("there is no {other}; there are /nodes /health /config /metrics /healthz /readyz"),
            )),
        }
    }

    /// Ready: there is something to route by, and the gateway is not stopping.
    fn ready(&self) -> Answer {
        if self.stop.is_cancelled() {
            return answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, "stopping\n");
        }
        if self.sources.router.position().is_none() {
            let why = "neither the registry nor the cache has told anything yet\n";
            return answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, why);
        }
        answer(StatusCode::OK, TEXT, "ok\n")
    }

    /// An answer that says how fresh it is. In headers, because the bodies are maps by namespace.
    fn fresh(&self, body: &serde_json::Value) -> Answer {
        let report = self.sources.feed.report();
        let mut answer = json(StatusCode::OK, body);
        let headers = answer.headers_mut();
        let stale = if report.is_stale() { "true" } else { "false" };
        headers.insert("x-kenger-stale", HeaderValue::from_static(stale));
        if let Some(age) = report.age {
            headers.insert("x-kenger-age-ms", HeaderValue::from(views::milliseconds(age)));
        }
        if let Some((_, revision)) = self.sources.router.position() {
            headers.insert(kenger_types::api::header::REVISION, HeaderValue::from(revision.0));
        }
        answer
    }
}

/// The namespace in the query, if one is named.
fn namespace(query: Option<&str>) -> Result<Option<NamespaceName>, ApiError> {
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if matches!(key, "ns" | "namespace") {
            // A valid name needs no escaping.
            return value.parse().map(Some).map_err(|error| ApiError::invalid("ns", error));
        }
    }
    Ok(None)
}

fn refused(error: &ApiError) -> Answer {
    let status = StatusCode::from_u16(error.error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json(status, &serde_json::to_value(error).unwrap_or_default())
}

fn json(status: StatusCode, body: &serde_json::Value) -> Answer {
    answer(status, JSON, format!("{body}\n"))
}

fn answer(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_in_the_query_must_be_a_name() {
        assert_eq!(namespace(None).unwrap(), None);
        assert_eq!(namespace(Some("x=1&ns=demo")).unwrap(), Some("demo".parse().unwrap()));
        assert_eq!(namespace(Some("namespace=demo")).unwrap(), Some("demo".parse().unwrap()));
        for query in ["ns=", "ns", "ns=a%20b", "ns=a/b"] {
            assert_eq!(namespace(Some(query)).unwrap_err().field.as_deref(), Some("ns"), "{query}");
        }
    }
}
