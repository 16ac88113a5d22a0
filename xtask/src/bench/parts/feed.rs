//! The way of a change: to subscribers, and to the traffic of gateways.

use std::process::Command;

use crate::bench::Plan;
use crate::bench::lab::Lab;
use crate::bench::load::{Found, bench, median};
use crate::bench::members::Members;
use crate::bench::table::Row;

const GATEWAYS: usize = 10;
const NODES: &str = "1000";
const NAMESPACE: &str = "route";

pub(in crate::bench) fn watch(lab: &Lab, members: &Members<'_>, plan: &Plan) -> Result<Vec<Row>, String> {
    let changes = plan.watch_changes.to_string();
    let runs = (0..plan.rounds).map(|_| {
        let words = ["watch", "--watchers", "10", "--changes", &changes];
        bench(lab, &members.endpoints(), &members.pids(), &words)
    });
    let runs: Vec<Found> = runs.collect::<Result<_, _>>()?;
    let row = Row::new("acknowledgement to event", latencies(&runs));
    let under = format!(
        "10 subscribers over three members, {changes} changes one after another; medians of {} runs",
        plan.rounds
    );
    Ok(vec![row.under(under)])
}

pub(in crate::bench) fn route(lab: &Lab, members: &Members<'_>, plan: &Plan) -> Result<Vec<Row>, String> {
    let mut gateways = Vec::new();
    for number in 1..=GATEWAYS {
        gateways.push(members.gateway(&format!("gateway-{number}"), NAMESPACE, Command::new(&lab.kenger))?);
    }
    let urls: Vec<String> = gateways.iter().map(|(_, listen)| format!("http://{listen}")).collect();
    let (urls, changes) = (urls.join(","), plan.route_changes.to_string());
    let mut runs = Vec::new();
    for _ in 0..plan.rounds {
        let words =
            ["route", "--ns", NAMESPACE, "--gateways", &urls, "--nodes", NODES, "--changes", &changes];
        runs.push(bench(lab, &members.endpoints(), &[], &words)?);
    }
    for (gateway, _) in &mut gateways {
        gateway.stop()?;
    }
    let burst =
        median(runs.iter().map(|found| found.also("ms_of_the_slowest_gateway_just_after_all_nodes_came")));
    let row = Row::new("acknowledgement to routing", latencies(&runs));
    let under = format!(
        "{GATEWAYS} gateways, {NODES} nodes, each gateway asked without a pause during each of {changes} changes; \
         medians of {} runs; the slowest gateway {burst:.0} ms right after all nodes came at once",
        plan.rounds
    );
    Ok(vec![row.under(under)])
}

fn latencies(runs: &[Found]) -> String {
    let of = |quantile| median(runs.iter().map(|found| found.latency_ms(quantile)));
    format!("p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms", of("p50"), of("p99"), of("max"))
}
