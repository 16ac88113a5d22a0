//! Durable writes from 64 clients: registrations here, puts there.

use crate::bench::Plan;
use crate::bench::etcd::Etcd;
use crate::bench::lab::Lab;
use crate::bench::load::{Found, bench, median};
use crate::bench::members::Members;
use crate::bench::table::Row;

/// A put of a value as long as a registration, with a key that was not there.
const PUT: &str = r#"{"key":"{n}","value":"eyJucyI6ImJlbmNoIiwiaG9zdCI6IjE5OC4xOC4wLjAiLCJwb3J0IjoyMDAwMCwidmVyc2lvbiI6InYxIn0="}"#;

pub(in crate::bench) fn run(
    lab: &Lab,
    members: &Members<'_>,
    etcd: Option<&Etcd<'_>>,
    plan: &Plan,
) -> Result<Vec<Row>, String> {
    let duration = plan.run_time();
    let (mut ours, mut theirs): (Vec<Found>, Vec<Found>) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let words = ["register", "--clients", "64", "--duration", &duration];
        ours.push(bench(lab, &members.endpoints(), &members.pids(), &words)?);
        if let Some(etcd) = etcd {
            let targets = etcd.targets().join(",");
            let words = [
                "http",
                "--targets",
                &targets,
                "--path",
                "/v3/kv/put",
                "--body",
                PUT,
                "--duration",
                &duration,
            ];
            theirs.push(bench(lab, &members.endpoints(), &etcd.pids(), &words)?);
        }
    }
    let rate = median(ours.iter().map(Found::per_second));
    let syncs = median(ours.iter().map(Found::syncs_per_second));
    let p99 = median(ours.iter().map(|found| found.latency_ms("p99")));
    let cpu = median(ours.iter().map(Found::cpu_us));
    let mut row = Row::new("durable writes", format!("{rate:.0}/s, {syncs:.0} syncs/s, p99 {p99:.0} ms"));
    let mut cost = format!("{cpu:.0} µs for each, all members");
    if !theirs.is_empty() {
        let other = median(theirs.iter().map(Found::per_second));
        let p99 = median(theirs.iter().map(|found| found.latency_ms("p99")));
        row = row.beside(format!("etcd {other:.0}/s, p99 {p99:.0} ms"), rate / other);
        cost.push_str(&format!("; etcd {:.0} µs", median(theirs.iter().map(Found::cpu_us))));
    }
    let under = format!(
        "64 clients over HTTP, spread over three members; registrations of new nodes; etcd: puts of new keys by \
         its JSON API; median of {} × {duration}, interleaved",
        plan.rounds
    );
    Ok(vec![row.cpu(cost).under(under)])
}
