//! Metrics for Prometheus. Label values come from fixed sets: routes of the table and status codes.

use std::fmt;
use std::time::Duration;

use axum::response::Response;
use kenger_cluster::{Member, MemberStats};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
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
        let stats = self.member.stats();
        let leadership = self.member.leadership();
        let out = &mut encoder;
        gauge(out, "member_id", "This member's id", self.member.id().0)?;
        gauge(out, "member_is_leader", "1 if this member leads", u64::from(stats.is_leader))?;
        gauge(
            out,
            "member_is_caught_up",
            "1 if all but a little of what is committed is applied",
            u64::from(stats.is_caught_up),
        )?;
        let has_leader = leadership.leader.is_some();
        gauge(out, "member_has_leader", "1 if this member hears from a leader", u64::from(has_leader))?;
        if has_leader {
            let lag = leadership.lag.as_secs_f64();
            seconds(out, "member_leader_lag", "Time since this member heard from the leader", lag)?;
        }
        encode_raft(out, &stats)?;
        encode_storage(out, &stats)?;
        encode_registry(out, &stats)?;
        let namespaces = self.member.state().namespace_count();
        gauge(out, "namespaces", "Namespaces that there are", namespaces)?;
        gauge(out, "watch_streams", "Open watch streams of this member", count(self.watchers.count()))
    }
}

fn encode_raft(out: &mut DescriptorEncoder<'_>, stats: &MemberStats) -> fmt::Result {
    gauge(out, "raft_term", "Raft's term", stats.term)?;
    gauge(out, "raft_last_log_index", "Last log index that is stored", stats.last_log_index)?;
    gauge(
        out,
        "raft_committed_index",
        "Last log index that is known to be committed",
        stats.committed_index,
    )?;
    gauge(out, "raft_applied_index", "Last log index that is applied", stats.applied_index)?;
    gauge(out, "raft_snapshot_index", "Last log index in the current snapshot", stats.snapshot_index)?;
    gauge(out, "raft_purged_index", "Last log index that was purged", stats.purged_index)?;
    gauge(out, "proposals_in_flight", "Writes under way", count(stats.proposals_in_flight))?;
    let help = "Writes whose outcome was not known in the end";
    counter(out, "proposals_unknown", help, stats.proposals_unknown_total)
}

fn encode_storage(out: &mut DescriptorEncoder<'_>, stats: &MemberStats) -> fmt::Result {
    gauge(out, "log_entries", "Entries in the log", stats.log_entries)?;
    gauge(out, "log_size_bytes", "Bytes of the entries in the log", stats.log_bytes)?;
    counter(out, "log_syncs", "Syncs of the log to the disk; one serves many writes", stats.syncs_total)?;
    let help = "Time spent in these syncs";
    let total = ConstCounter::new(stats.sync_time.as_secs_f64());
    total.encode(out.encode_descriptor("log_sync", help, Some(&Unit::Seconds), total.metric_type())?)?;
    counter(
        out,
        "log_appended_entries",
        "Entries that were appended and synced",
        stats.appended_entries_total,
    )?;
    counter(out, "log_appended_bytes", "Bytes of these entries", stats.appended_bytes_total)?;
    counter(out, "snapshots", "Snapshots that were built or installed", stats.snapshots_total)?;
    seconds(
        out,
        "snapshot_age",
        "Time since the last snapshot, or since the start",
        stats.snapshot_age.as_secs_f64(),
    )
}

fn encode_registry(out: &mut DescriptorEncoder<'_>, stats: &MemberStats) -> fmt::Result {
    gauge(out, "revision", "Applied revision", stats.revision.0)?;
    gauge(out, "nodes", "Nodes that there are", stats.nodes)?;
    gauge(out, "nodes_online", "Nodes that are online", stats.nodes_online)?;
    gauge(
        out,
        "feed_subscribers",
        "Subscriptions to the feed, those of blocking syncs among them",
        count(stats.feed.subscribers),
    )?;
    gauge(
        out,
        "feed_ring_revisions",
        "Revisions kept for subscribers that resume",
        count(stats.feed.ring_revisions),
    )?;
    gauge(out, "feed_ring_size_bytes", "About how much memory they take", count(stats.feed.ring_bytes))?;
    counter(
        out,
        "feed_too_slow",
        "Subscribers that were cut off because they were too slow",
        stats.feed.too_slow_total,
    )?;
    let help = "Subscribers that were cut off because the state was replaced by a leader's snapshot";
    counter(out, "feed_replaced", help, stats.feed.replaced_total)?;
    // Only the leader keeps leases; on the others these are absent rather than 0.
    let Some(leases) = &stats.leases else { return Ok(()) };
    gauge(out, "leases_online", "Leases of online nodes", count(leases.online))?;
    gauge(out, "leases_offline", "Leases of offline nodes", count(leases.offline))?;
    gauge(
        out,
        "leases_expiring",
        "Nodes whose expiry has been proposed and is not settled",
        count(leases.expiring),
    )?;
    let help = "Time given back to all leases since this member began to lead";
    seconds(out, "leases_given_back", help, leases.given_back.as_secs_f64())
}

fn gauge(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    gauge.encode(out.encode_descriptor(name, help, None, gauge.metric_type())?)
}

fn seconds(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    gauge.encode(out.encode_descriptor(name, help, Some(&Unit::Seconds), gauge.metric_type())?)
}

fn counter(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, total: u64) -> fmt::Result {
    let counter = ConstCounter::new(total);
    counter.encode(out.encode_descriptor(name, help, None, counter.metric_type())?)
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
