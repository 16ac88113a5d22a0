//! A hundred thousand nodes: what their heartbeats cost, what they weigh, how long a restart takes.

use std::time::Duration;

use crate::bench::Plan;
use crate::bench::clock::now;
use crate::bench::cluster::Cluster;
use crate::bench::lab::Lab;
use crate::bench::load::{Found, bench, median};
use crate::bench::members::Members;
use crate::bench::table::Row;
use crate::bench::usage::resident_mb;

/// Every node sends one in so many seconds.
const INTERVAL_SECONDS: u32 = 10;
const BATCH: &str = "500";
const RESTARTS: usize = 3;
const READY_LIMIT: Duration = Duration::from_secs(60);

pub(in crate::bench) fn run(lab: &Lab, members: &mut Members<'_>, plan: &Plan) -> Result<Vec<Row>, String> {
    let (nodes, endpoints) = (plan.nodes.to_string(), members.endpoints());
    bench(lab, &endpoints, &[], &["load", "--nodes", &nodes])?;
    let mut rows = vec![heartbeats(lab, members, plan, "1")?, heartbeats(lab, members, plan, BATCH)?];
    let resident: Vec<f64> = members.pids().iter().map(|pid| resident_mb(*pid)).collect::<Result<_, _>>()?;
    let each: Vec<String> = resident.iter().map(|mb| format!("{mb:.0}")).collect();
    let row = Row::new(format!("{nodes} nodes: memory"), format!("{} MB resident", each.join(", ")));
    rows.push(row.under("each member, after the above; nodes of `kengerctl bench load`"));
    rows.push(restart(members, &nodes)?);
    bench_cleanup(lab, &endpoints)?;
    Ok(rows)
}

fn bench_cleanup(lab: &Lab, endpoints: &[String]) -> Result<(), String> {
    bench(lab, endpoints, &[], &["load", "--cleanup"]).map(|_| ())
}

fn heartbeats(lab: &Lab, members: &Members<'_>, plan: &Plan, batch: &str) -> Result<Row, String> {
    let (nodes, rate) = (plan.nodes.to_string(), (plan.nodes / INTERVAL_SECONDS).to_string());
    let duration = format!("{INTERVAL_SECONDS}s");
    let words = [
        "heartbeat",
        "--registered",
        "--keep",
        "--nodes",
        &nodes,
        "--batch",
        batch,
        "--rate",
        &rate,
        "--duration",
        &duration,
    ];
    let found: Found = bench(lab, &members.endpoints(), &members.pids(), &words)?;
    let cores: Vec<String> = found.cores().iter().map(|share| format!("{share:.2}")).collect();
    let what = match batch {
        "1" => format!("{nodes} nodes: heartbeats, singly"),
        _ => format!("{nodes} nodes: heartbeats by {batch}"),
    };
    let ours = format!("{:.0}/s, p99 {:.1} ms", found.per_second(), found.latency_ms("p99"));
    let under =
        format!("each node one in {INTERVAL_SECONDS} s; one run of {duration}; share of a core, each member");
    Ok(Row::new(what, ours).cpu(format!("{} cores", cores.join(", "))).under(under))
}

fn restart(members: &mut Members<'_>, nodes: &str) -> Result<Row, String> {
    let mut seconds = Vec::new();
    for _ in 0..RESTARTS {
        let follower = (0..3).find(|place| members.leader() != Some(*place)).unwrap_or(0);
        members.stop(follower)?;
        let began = now();
        members.restart(follower)?;
        members.wait_ready(follower, READY_LIMIT)?;
        seconds.push(began.elapsed().as_secs_f64());
    }
    let longest = seconds.iter().copied().fold(0.0, f64::max);
    let ours = format!("median {:.2} s, longest {longest:.2} s", median(seconds));
    let under = format!("a follower stopped in order, from its start to 200 of /readyz; {RESTARTS} times");
    Ok(Row::new(format!("{nodes} nodes: restart"), ours).under(under))
}
