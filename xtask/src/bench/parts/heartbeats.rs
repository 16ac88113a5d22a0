//! Heartbeats as fast as 64 connections carry them.

use crate::bench::Plan;
use crate::bench::etcd::Etcd;
use crate::bench::lab::Lab;
use crate::bench::load::{Found, bench, median};
use crate::bench::members::Members;
use crate::bench::table::Row;

/// The leases that etcd is to keep alive; the load generator's numbers begin here.
const FIRST_LEASE: u64 = 100_000_000_000;
const LEASES: u64 = 64;

pub(in crate::bench) fn run(
    lab: &Lab,
    members: &Members<'_>,
    etcd: Option<&Etcd<'_>>,
    plan: &Plan,
) -> Result<Vec<Row>, String> {
    let duration = plan.run_time();
    for lease in 0..if etcd.is_some() { LEASES } else { 0 } {
        etcd.map_or(Ok(()), |etcd| etcd.grant(FIRST_LEASE + lease))?;
    }
    let endpoints = members.endpoints();
    let (mut one, mut spread, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let words = ["heartbeat", "--connections", "64", "--nodes", "1000", "--duration", &duration];
        one.push(bench(lab, &endpoints[..1], &members.pids(), &words)?);
        spread.push(bench(lab, &endpoints, &members.pids(), &words)?);
        if let Some(etcd) = etcd {
            let targets = etcd.targets().join(",");
            let words = [
                "http",
                "--targets",
                &targets,
                "--path",
                "/v3/lease/keepalive",
                "--body",
                r#"{"ID":"{n}"}"#,
                "--numbers",
                &LEASES.to_string(),
                "--duration",
                &duration,
            ];
            theirs.push(bench(lab, &endpoints, &etcd.pids(), &words)?);
        }
    }
    let under =
        format!("64 connections, 1,000 nodes, one in each request; median of {} × {duration}", plan.rounds);
    let row = |what: &str, runs: &[Found], under: String| {
        let rate = median(runs.iter().map(Found::per_second));
        let p99 = median(runs.iter().map(|found| found.latency_ms("p99")));
        let mut cost = format!("{:.0} µs for each, all members", median(runs.iter().map(Found::cpu_us)));
        let mut row = Row::new(what, format!("{rate:.0}/s, p99 {p99:.1} ms"));
        if !theirs.is_empty() {
            let other = median(theirs.iter().map(Found::per_second));
            row = row.beside(format!("etcd {other:.0}/s, spread"), rate / other);
            cost.push_str(&format!("; etcd {:.0} µs", median(theirs.iter().map(Found::cpu_us))));
        }
        row.cpu(cost).under(under)
    };
    Ok(vec![
        row("heartbeats, to one member", &one, under),
        row(
            "heartbeats, spread over three",
            &spread,
            "the same; etcd: keep-alives by its JSON API".to_owned(),
        ),
    ])
}
