//! Metrics for Prometheus. Label values come from fixed sets: routes of the table and status codes.

use std::fmt;
use std::time::Duration;

use axum::response::Response;
use kenger_cluster::Member;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::gate::Watchers;

/// The label of requests for paths that do not exist.
const UNMATCHED: &str = "unmatched";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    code: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

/// All metrics of a member.
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    connections: Gauge,
    unmatched: RouteMetrics,
}

/// The metrics of one route.
#[derive(Clone)]
pub(super) struct RouteMetrics {
    route: &'static str,
    requests: Family<RequestLabels, Counter>,
    duration: Histogram,
}

impl RouteMetrics {
    /// Counts an answered request. The time is until the answer begins; a stream goes on after it.
    pub(super) fn observe(&self, response: &Response, took: Duration) {
        let labels = RequestLabels { route: self.route, code: response.status().as_u16().into() };
        self.requests.get_or_create(&labels).inc();
        self.duration.observe(took.as_secs_f64());
    }
}

/// From 50 µs to 13 s.
fn latency_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.000_05, 4.0, 10))
}

impl Metrics {
    pub(super) fn new(member: Member, watchers: Watchers) -> Self {
        let mut registry = Registry::with_prefix("kenger");
        let requests = Family::default();
        let durations = Family::new_with_constructor(latency_buckets as fn() -> Histogram);
        let connections = Gauge::default();
        registry.register("http_requests", "Answered requests of the API", requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's head to its answer's head",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register("http_connections", "Open connections to the API", connections.clone());
        registry.register(
            "build",
            "The program",
            Info::new(vec![("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]),
        );
        registry.register_collector(Box::new(MemberCollector { member, watchers }));
        let unmatched = route_metrics(UNMATCHED, &requests, &durations);
        Self { registry, requests, durations, connections, unmatched }
    }

    /// The metrics of one route of the table.
    pub(super) fn route(&self, route: &'static str) -> RouteMetrics {
        route_metrics(route, &self.requests, &self.durations)
    }

    /// Those of all paths that are not in the table.
    pub(super) fn unmatched(&self) -> &RouteMetrics {
        &self.unmatched
    }

    /// Open connections.
    pub(super) fn connections(&self) -> &Gauge {
        &self.connections
    }

    /// In the OpenMetrics text format.
    pub(super) fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn route_metrics(
    route: &'static str,
    requests: &Family<RequestLabels, Counter>,
    durations: &Family<RouteLabels, Histogram, fn() -> Histogram>,
) -> RouteMetrics {
    let duration = durations.get_or_create_owned(&RouteLabels { route });
    RouteMetrics { route, requests: requests.clone(), duration }
}

/// What the member knows, read when somebody asks.
struct MemberCollector {
    member: Member,
    watchers: Watchers,
}

impl fmt::Debug for MemberCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemberCollector")
    }
}

impl Collector for MemberCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: u64| {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        let state = self.member.state();
        let leadership = self.member.leadership();
        let (nodes, online) = state.total_counts();
        gauge("member_id", "This member's id", self.member.id().0)?;
        gauge("member_is_leader", "1 if this member leads", leadership.is_leader.into())?;
        gauge(
            "member_has_leader",
            "1 if this member hears from a leader",
            leadership.leader.is_some().into(),
        )?;
        let lag_ms = u64::try_from(leadership.lag.as_millis()).unwrap_or(u64::MAX);
        gauge("member_leader_lag_milliseconds", "Time since this member heard from the leader", lag_ms)?;
        gauge("revision", "Applied revision", state.revision().0)?;
        gauge("namespaces", "Namespaces that there are", state.namespaces().count() as u64)?;
        gauge("nodes", "Nodes that there are", nodes)?;
        gauge("nodes_online", "Nodes that are online", online)?;
        gauge("watch_streams", "Open watch streams of this member", self.watchers.count() as u64)
    }
}
