//! Durable registrations: each one of a new node, so that each one is a write.

use std::collections::BTreeMap;
use std::time::Duration;

use kenger_types::api::path;

use super::Bench;
use super::connection::Preparer;
use super::members::Members;
use super::report::Report;
use super::run::{self, Lane, Limits};
use super::workload;
use crate::failure::Failure;

/// Numbers of nodes that each connection has to itself.
const NODES_PER_LANE: u32 = 200_000;

pub(super) async fn run(
    bench: &Bench<'_>,
    members: &Members<'_>,
    clients: usize,
    duration: Duration,
) -> Result<Report, Failure> {
    let mut lanes = Vec::with_capacity(clients);
    for (lane, endpoint) in (0_u32..).zip(bench.client.endpoints().iter().cycle()).take(clients) {
        let preparer = Preparer::new(endpoint, bench.token)?;
        let ns = bench.ns.clone();
        let numbers = (0..NODES_PER_LANE).map(move |n| lane.wrapping_mul(NODES_PER_LANE).wrapping_add(n));
        // A node's address is never refused, and its request is written just before it is sent.
        let requests = numbers.map_while(move |n| {
            let body = workload::registration(&ns, n, None).ok()?;
            preparer.post(path::NODE_REGISTER, &body).ok()
        });
        lanes.push(Lane { endpoint: endpoint.clone(), requests: Box::new(requests), pace: None });
    }
    let limits = Limits {
        duration: Some(duration),
        operations: None,
        per_request: 1,
        show_progress: bench.show_progress,
        what: "register",
    };
    let before = members.read().await;
    let tally = run::run(lanes, &limits).await?;
    let spent = members.read().await.since(&before);
    let mut report = Report::of_run("register", &tally, 1, &spent);
    report.setting = BTreeMap::from([("clients", clients as u64)]);
    Ok(report)
}
