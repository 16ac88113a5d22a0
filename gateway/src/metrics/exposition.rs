//! Adds up the workers' counters when they are asked for and writes them as Prometheus reads them.

use std::fmt;
use std::sync::Arc;

use kenger_types::NamespaceName;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::counters::{Counter, HistogramTotals, ListenerCounters, WorkerCounters};
use crate::discovery::FeedStatus;
use crate::health::HealthCounters;
use crate::proxy::{Failure, RetryReason};
use crate::routing::{Router, Serving};

/// Most nodes that are told apart; those with the most requests.
const NODES_MAX: usize = 500;

/// The labels of a listener.
#[derive(Debug, Clone)]
pub(crate) struct ListenerLabels {
    pub(crate) address: String,
    pub(crate) namespace: NamespaceName,
}

/// Where the numbers come from.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    pub(crate) listeners: Arc<[ListenerLabels]>,
    pub(crate) workers: Arc<[Arc<WorkerCounters>]>,
    pub(crate) router: Arc<Router>,
    pub(crate) feed: Arc<FeedStatus>,
    pub(crate) health: Arc<HealthCounters>,
}

/// All metrics in the text format.
pub(crate) fn expose(sources: &Sources) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("kenger_gateway");
    registry.register_collector(Box::new(sources.clone()));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        self.requests(&mut encoder)?;
        self.connections(&mut encoder)?;
        self.tables(&mut encoder)?;
        self.feed(&mut encoder)?;
        self.nodes(&mut encoder)
    }
}

type ListenerSum = fn(&ListenerCounters) -> &Counter;

impl Sources {
    fn requests(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let mut metric = counter(encoder, "requests", "Answers by class of status")?;
        for (index, labels) in self.listeners.iter().enumerate() {
            for (class, name) in ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().enumerate() {
                let total = self.sum(index, |counters| counters.answers_by_class[class].get());
                add(&mut metric, &labelled(labels, "class", name), total)?;
            }
        }
        let mut metric = counter(encoder, "errors", "Answers that the gateway gave itself, by code")?;
        for (index, labels) in self.listeners.iter().enumerate() {
            for (code, name) in Failure::CODES.into_iter().enumerate() {
                let total = self.sum(index, |counters| counters.failures[code].get());
                add(&mut metric, &labelled(labels, "code", name), total)?;
            }
        }
        let mut metric = counter(encoder, "retries", "Requests that were tried again, by reason")?;
        for (index, labels) in self.listeners.iter().enumerate() {
            for (reason, name) in RetryReason::NAMES.into_iter().enumerate() {
                let total = self.sum(index, |counters| counters.retries[reason].get());
                add(&mut metric, &labelled(labels, "reason", name), total)?;
            }
        }
        let unit = Unit::Seconds;
        let help = "From a request's head to the head of its answer";
        let mut metric =
            encoder.encode_descriptor("time_to_head", help, Some(&unit), MetricType::Histogram)?;
        for (index, labels) in self.listeners.iter().enumerate() {
            let mut totals = HistogramTotals::default();
            self.workers.iter().for_each(|worker| totals.add(&worker.listeners[index].time_to_head));
            let (sum, count, buckets) = totals.export();
            let labels = base(labels);
            metric
                .encode_family(&labels)?
                .encode_histogram::<[(&str, &str); 0]>(sum, count, &buckets, None)?;
        }
        Ok(())
    }

    fn connections(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let counters: [(&str, &str, ListenerSum); 6] = [
            ("connections", "Connections of clients", |counters| &counters.connections_opened),
            ("accept_errors", "Connections that could not be accepted", |counters| &counters.accept_errors),
            ("upstream_connections", "Connections to nodes", |counters| {
                &counters.upstream_connections_opened
            }),
            ("upstream_reuses", "Requests over kept connections", |counters| {
                &counters.upstream_connections_reused
            }),
            ("panic_picks", "Requests sent although no node is healthy", |counters| &counters.panic_picks),
            ("retries_over_budget", "Retries that were not made", |counters| &counters.retries_over_budget),
        ];
        for (name, help, count) in counters {
            let mut metric = counter(encoder, name, help)?;
            for (index, labels) in self.listeners.iter().enumerate() {
                add(&mut metric, &base(labels), self.sum(index, |counters| count(counters).get()))?;
            }
        }
        let gauges: [(&str, &str, ListenerSum, ListenerSum); 2] = [
            (
                "active_connections",
                "Connections of clients that are open",
                |counters| &counters.connections_opened,
                |counters| &counters.connections_closed,
            ),
            (
                "active_tunnels",
                "WebSockets and other tunnels that are open",
                |counters| &counters.tunnels_opened,
                |counters| &counters.tunnels_closed,
            ),
        ];
        for (name, help, opened, closed) in gauges {
            let mut metric = gauge(encoder, name, help)?;
            for (index, labels) in self.listeners.iter().enumerate() {
                let closed = self.sum(index, |counters| closed(counters).get());
                let opened = self.sum(index, |counters| opened(counters).get());
                set(&mut metric, &base(labels), opened.saturating_sub(closed))?;
            }
        }
        Ok(())
    }

    fn tables(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let revision = self.router.position().map_or(0, |(_, revision)| revision.0);
        single(encoder, "revision", "Revision up to which the registry has been followed", revision)?;
        let tables: Vec<_> = self
            .router
            .namespaces()
            .filter_map(|name| Some((name.as_str(), self.router.table(name)?.load_full())))
            .collect();
        let mut metric = gauge(encoder, "routable_nodes", "Nodes that requests are sent to")?;
        for (name, table) in &tables {
            set(&mut metric, &[("namespace", *name)], table.endpoints().len() as u64)?;
        }
        let mut metric = gauge(encoder, "panic", "1: no node is healthy, all are tried")?;
        for (name, table) in &tables {
            set(&mut metric, &[("namespace", *name)], u64::from(table.serving == Serving::Panic))?;
        }
        let mut metric = gauge(encoder, "table_revision", "Revision that the table was last built from")?;
        for (name, table) in &tables {
            set(&mut metric, &[("namespace", *name)], table.revision.0)?;
        }
        let mut metric = counter(encoder, "health_checks", "Health checks by result")?;
        add(&mut metric, &[("result", "good")], self.health.good.get())?;
        add(&mut metric, &[("result", "bad")], self.health.bad.get())
    }

    fn feed(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let report = self.feed.report();
        single(encoder, "feed_connected", "1: a member tells the feed", u64::from(report.member.is_some()))?;
        single(encoder, "feed_from_leader", "1: that member leads", u64::from(report.is_leader))?;
        single(encoder, "stale", "1: what is known may be out of date", u64::from(report.is_stale()))?;
        single(encoder, "from_cache", "1: what is known comes from the disk", u64::from(report.from_cache))?;
        if let Some(age) = report.age {
            let help = "Since the registry was last heard";
            let mut metric =
                encoder.encode_descriptor("feed_age", help, Some(&Unit::Seconds), MetricType::Gauge)?;
            metric.encode_gauge(&age.as_secs_f64())?;
        }
        let counters = [
            ("feed_snapshots", "Snapshots that the feed told", &self.feed.snapshots),
            ("feed_changes", "Changes that the feed told", &self.feed.changes),
            ("feed_bookmarks", "Bookmarks that the feed told", &self.feed.bookmarks),
            ("feed_disconnects", "Streams that ended and attempts that failed", &self.feed.disconnects),
            ("feed_foreign", "Members of another cluster that were refused", &self.feed.foreign_clusters),
            ("feed_refused", "Events that did not fit what was known", &self.feed.refused),
            ("cache_writes", "Writes of the cache", &self.feed.cache_writes),
            ("cache_write_errors", "Writes of the cache that failed", &self.feed.cache_write_errors),
        ];
        for (name, help, count) in counters {
            let metric = counter(encoder, name, help)?;
            ConstCounter::new(count.get()).encode(metric)?;
        }
        let help = "From an event's arrival to the tables that it made";
        let mut metric =
            encoder.encode_descriptor("event_to_table", help, Some(&Unit::Seconds), MetricType::Histogram)?;
        let mut totals = HistogramTotals::default();
        totals.add(&self.feed.event_to_table);
        let (sum, count, buckets) = totals.export();
        metric.encode_histogram::<[(&str, &str); 0]>(sum, count, &buckets, None)
    }

    fn nodes(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let (totals, left_out) = self.router.endpoint_totals(NODES_MAX);
        let mut metric = counter(encoder, "node_requests", "Requests that were sent to a node or tried to")?;
        for (address, requests, _) in &totals {
            add(&mut metric, &[("node", address.as_str())], *requests)?;
        }
        let mut metric = counter(encoder, "node_failures", "Requests that a node did not answer")?;
        for (address, _, failures) in &totals {
            add(&mut metric, &[("node", address.as_str())], *failures)?;
        }
        single(encoder, "nodes_not_shown", "Nodes that are left out of the metrics by node", left_out as u64)
    }

    fn sum(&self, listener: usize, count: impl Fn(&ListenerCounters) -> u64) -> u64 {
        self.workers.iter().map(|worker| count(&worker.listeners[listener])).sum()
    }
}

fn base(labels: &ListenerLabels) -> [(&str, &str); 2] {
    [("listener", &labels.address), ("namespace", labels.namespace.as_str())]
}

fn labelled<'a>(labels: &'a ListenerLabels, name: &'a str, value: &'a str) -> [(&'a str, &'a str); 3] {
    let [listener, namespace] = base(labels);
    [listener, namespace, (name, value)]
}

fn counter<'s>(
    encoder: &'s mut DescriptorEncoder,
    name: &'s str,
    help: &str,
) -> Result<MetricEncoder<'s>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, MetricType::Counter)
}

fn gauge<'s>(
    encoder: &'s mut DescriptorEncoder,
    name: &'s str,
    help: &str,
) -> Result<MetricEncoder<'s>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)
}

fn add(metric: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, total: u64) -> fmt::Result {
    ConstCounter::new(total).encode(metric.encode_family(labels)?)
}

fn set(metric: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, value: u64) -> fmt::Result {
    ConstGauge::new(saturated(value)).encode(metric.encode_family(labels)?)
}

fn single(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = gauge(encoder, name, help)?;
    ConstGauge::new(saturated(value)).encode(metric)
}

fn saturated(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
