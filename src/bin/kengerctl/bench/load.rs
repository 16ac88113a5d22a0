//! Fills a cluster with nodes, as many at a time as there are connections.

use std::collections::BTreeMap;

use kenger_types::api::path;

use super::Bench;
use super::connection::Preparer;
use super::members::Members;
use super::report::Report;
use super::run::{self, Lane, Limits, Tally};
use super::workload;
use crate::failure::Failure;

pub(super) async fn run(
    bench: &Bench<'_>,
    members: &Members<'_>,
    nodes: u32,
    clients: usize,
    ttl_seconds: u32,
) -> Result<Report, Failure> {
    let before = members.read().await;
    let tally = fill(bench, nodes, clients, Some(ttl_seconds)).await?;
    let spent = members.read().await.since(&before);
    let mut report = Report::of_run("load", &tally, 1, &spent);
    report.setting = BTreeMap::from([("nodes", u64::from(nodes)), ("clients", clients as u64)]);
    bench.output.remark(&format!(
        "the nodes stay in namespace {:?}; `kengerctl bench load --cleanup` deletes them",
        bench.ns
    ));
    Ok(report)
}

/// Registers the nodes 0 to `nodes`.
pub(super) async fn fill(
    bench: &Bench<'_>,
    nodes: u32,
    clients: usize,
    ttl_seconds: Option<u32>,
) -> Result<Tally, Failure> {
    let mut lanes = Vec::with_capacity(clients);
    for (lane, endpoint) in bench.client.endpoints().iter().cycle().take(clients).enumerate() {
        let preparer = Preparer::new(endpoint, bench.token)?;
        let ns = bench.ns.clone();
        let numbers = (0..nodes).skip(lane).step_by(clients);
        let requests = numbers.map_while(move |n| {
            let body = workload::registration(&ns, n, ttl_seconds).ok()?;
            preparer.post(path::NODE_REGISTER, &body).ok()
        });
        lanes.push(Lane { endpoint: endpoint.clone(), requests: Box::new(requests), pace: None });
    }
    let limits = Limits {
        duration: None,
        operations: Some(u64::from(nodes)),
        per_request: 1,
        show_progress: bench.show_progress,
        what: "registering nodes",
    };
    run::run(lanes, &limits).await
}
