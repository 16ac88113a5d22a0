//! Heartbeats, one by one or in batches, as fast as possible or at a given rate.

use std::collections::BTreeMap;
use std::time::Duration;

use kenger_types::api::{HeartbeatBatch, NodeAddress, path};

use super::Bench;
use super::connection::{Prepared, Preparer};
use super::load;
use super::members::Members;
use super::report::Report;
use super::run::{self, Lane, Limits};
use super::workload;
use crate::failure::Failure;

/// Connections that register the nodes beforehand.
const FILL_CLIENTS: usize = 64;
/// Requests that are prepared beforehand, at the most; they are sent again and again.
const PREPARED_MAX: u32 = 200_000;

/// What is to be done.
pub(super) struct Load {
    pub(super) connections: usize,
    pub(super) nodes: u32,
    /// Nodes in one request.
    pub(super) batch: u32,
    /// Heartbeats a second, over all connections.
    pub(super) rate: Option<u32>,
    pub(super) duration: Duration,
    /// The nodes are there, from a benchmark that left them.
    pub(super) registered: bool,
}

pub(super) async fn run(bench: &Bench<'_>, members: &Members<'_>, load: Load) -> Result<Report, Failure> {
    let batch = load.batch.min(load.nodes);
    if !load.registered {
        let filled = load::fill(bench, load.nodes, FILL_CLIENTS.min(load.nodes as usize), None).await?;
        filled.all_registered(u64::from(load.nodes))?;
    }
    let lanes = lanes(bench, &load, batch)?;
    let limits = Limits {
        duration: Some(load.duration),
        operations: None,
        per_request: u64::from(batch),
        show_progress: bench.show_progress,
        what: "heartbeats",
    };
    let before = members.read().await;
    let tally = run::run(lanes, &limits).await?;
    let spent = members.read().await.since(&before);
    let mut report = Report::of_run("heartbeat", &tally, u64::from(batch), &spent);
    report.setting = BTreeMap::from([
        ("connections", load.connections as u64),
        ("nodes", u64::from(load.nodes)),
        ("batch", u64::from(batch)),
    ]);
    Ok(report)
}

/// Each connection sends for nodes of its own, round and round.
fn lanes(bench: &Bench<'_>, load: &Load, batch: u32) -> Result<Vec<Lane>, Failure> {
    let requests_in_all = (load.nodes / batch).clamp(1, PREPARED_MAX);
    let connections = load.connections.min(requests_in_all as usize);
    let pace = load
        .rate
        .map(|rate| Duration::from_secs_f64(f64::from(batch) * connections as f64 / f64::from(rate)));
    let mut lanes = Vec::with_capacity(connections);
    for (lane, endpoint) in bench.client.endpoints().iter().cycle().take(connections).enumerate() {
        let preparer = Preparer::new(endpoint, bench.token)?;
        let own = (0..requests_in_all).skip(lane).step_by(connections);
        let prepared =
            own.map(|n| prepare(bench, &preparer, n * batch, batch)).collect::<Result<Vec<_>, _>>()?;
        let requests = prepared.into_iter().cycle();
        lanes.push(Lane { endpoint: endpoint.clone(), requests: Box::new(requests), pace });
    }
    Ok(lanes)
}

fn prepare(bench: &Bench<'_>, preparer: &Preparer, first: u32, batch: u32) -> Result<Prepared, Failure> {
    if batch == 1 {
        return preparer.post(path::HEARTBEAT, &workload::address(&bench.ns, first)?);
    }
    let nodes: Result<Vec<NodeAddress>, Failure> =
        (first..first + batch).map(|n| workload::address(&bench.ns, n)).collect();
    preparer.post(path::HEARTBEAT, &HeartbeatBatch { nodes: nodes? })
}
