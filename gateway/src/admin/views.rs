//! The bodies of `/nodes`, `/health` and `/config`.

use std::time::Duration;

use kenger_types::{NamespaceName, Timestamp};
use serde_json::{Map, Value, json};

use super::Admin;
use crate::routing::NodeReport;

/// The online nodes of a namespace, or of all as a map.
pub(super) fn nodes(admin: &Admin, namespace: Option<&NamespaceName>) -> Value {
    let router = &admin.sources.router;
    match namespace {
        Some(name) => list(&router.nodes(name).unwrap_or_default()),
        None => router.all_nodes().iter().map(|(name, nodes)| (name.to_string(), list(nodes))).collect(),
    }
}

/// How healthy a namespace is; without one, the nodes of all, as the original system answers.
pub(super) fn health(admin: &Admin, namespace: Option<&NamespaceName>) -> Value {
    let Some(name) = namespace else { return nodes(admin, None) };
    let reports = admin.sources.router.nodes(name).unwrap_or_default();
    let healthy = reports.iter().filter(|report| report.is_healthy).count();
    let feed = admin.sources.feed.report();
    json!({
        "namespace": name,
        "total": reports.len(),
        "healthy": healthy,
        "unhealthy": reports.len() - healthy,
        "nodes": reports.iter().map(|report| json!({
            "address": report.node.host.authority(report.node.port),
            "weight": report.node.weight,
            "healthy": report.is_healthy,
            "health_path": report.health_path,
        })).collect::<Vec<_>>(),
        "stale": feed.is_stale(),
        "age_ms": feed.age.map(milliseconds),
    })
}

/// How the gateway is configured and how it stands with the registry. The interval is 0, because
/// changes are pushed.
pub(super) fn config(admin: &Admin) -> Value {
    let (config, feed) = (&admin.config, admin.sources.feed.report());
    let position = admin.sources.router.position();
    let mut answer = Map::new();
    let mut set = |key: &str, value: Value| answer.insert(key.to_owned(), value);
    set("registry_url", json!(config.registry.endpoints.first()));
    set("token_set", json!(config.registry.token.is_some()));
    set("sync_interval", json!(0));
    set("endpoints", json!(config.registry.endpoints));
    set("listeners", listeners(admin));
    set("cluster_id", json!(position.map(|(cluster_id, _)| cluster_id)));
    set("revision", json!(position.map(|(_, revision)| revision)));
    set("connected", json!(feed.member.is_some()));
    set("connected_to", json!(feed.member));
    set("from_leader", json!(feed.is_leader));
    set("stale", json!(feed.is_stale()));
    set("from_cache", json!(feed.from_cache));
    set("age_ms", json!(feed.age.map(milliseconds)));
    set("last_error", json!(feed.last_error));
    set("workers", json!(config.workers));
    set("health_checks", health_checks(admin));
    Value::Object(answer)
}

/// Whole milliseconds.
pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn listeners(admin: &Admin) -> Value {
    let one = |labels: &crate::metrics::ListenerLabels| json!({ "address": labels.address, "namespace": labels.namespace });
    admin.sources.listeners.iter().map(one).collect()
}

fn health_checks(admin: &Admin) -> Value {
    let health = &admin.config.health;
    json!({
        "on": health.is_on,
        "interval_ms": milliseconds(health.interval),
        "timeout_ms": milliseconds(health.timeout),
        "expected_status": health.expected_status,
        "rise": health.rise,
        "fall": health.fall,
    })
}

fn list(reports: &[NodeReport]) -> Value {
    reports.iter().map(one).collect()
}

fn one(report: &NodeReport) -> Value {
    let node = &report.node;
    json!({
        "host": node.host,
        "port": node.port,
        "weight": node.weight,
        "health_path": report.health_path,
        "created_at": seconds(node.created_at),
        "updated_at": seconds(node.updated_at),
        "healthy": report.is_healthy,
    })
}

/// The original system counts seconds since 1970.
fn seconds(time: Timestamp) -> u64 {
    time.unix_ms() / 1_000
}
