//! `/api/cluster/status`, the probes and `/metrics`; and what answers about the member itself share.

use std::fmt::Debug;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use kenger_types::ErrorCode;
use serde::Serialize;

use super::error::Failure;
use super::query::Query;
use super::{Api, answer};

/// A member that cannot tell within this time whether it has caught up has not.
const READY_WITHIN: Duration = Duration::from_secs(2);

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// The cluster as this member sees it.
pub(super) async fn status(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Response, Failure> {
    Query::parse(query.as_deref(), &[])?;
    Ok(answer::ok(api.member().cluster_status().await))
}

#[derive(Serialize)]
struct Probe {
    status: &'static str,
}

/// The process is up.
pub(super) async fn health() -> Response {
    answer::ok(Probe { status: "up" })
}

/// The member has a leader and has caught up with it.
pub(super) async fn ready(State(api): State<Api>) -> Result<Response, Failure> {
    if api.stopping().is_cancelled() {
        return Err(Failure::new(ErrorCode::NotReady, "the member is stopping"));
    }
    if api.member().leadership().leader.is_none() {
        return Err(Failure::new(ErrorCode::NoLeader, "no leader is known"));
    }
    if !api.member().is_ready() {
        return Err(not_caught_up());
    }
    match tokio::time::timeout(READY_WITHIN, api.member().read_barrier()).await {
        Ok(Ok(())) => Ok(answer::ok(Probe { status: "ready" })),
        Ok(Err(e)) => Err(e.into()),
        Err(_) => Err(not_caught_up()),
    }
}

fn not_caught_up() -> Failure {
    Failure::new(ErrorCode::NotReady, "the member has not caught up with the leader yet")
}

/// Metrics for Prometheus.
pub(super) async fn metrics(State(api): State<Api>) -> Result<Response, Failure> {
    let text =
        api.metrics().render().map_err(|e| Failure::new(ErrorCode::Internal, format!("metrics: {e}")))?;
    let mut response = Response::new(text.into());
    response.headers_mut().insert(CONTENT_TYPE, OPEN_METRICS);
    Ok(response)
}

/// A stale answer says how stale it may be.
pub(super) fn mark_stale(api: &Api, stale: bool, response: Response) -> Response {
    if stale { answer::with_lag(response, api.member().leadership().lag) } else { response }
}

/// The member answered something that the request cannot have asked for.
pub(super) fn unexpected(output: &impl Debug) -> Failure {
    tracing::error!(?output, "the member's answer does not fit the request");
    Failure::new(ErrorCode::Internal, "a fault of this member; its log says more")
}
