//! The leader is killed: how long until the next write is acknowledged?

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::bench::Plan;
use crate::bench::clock::{now, pause, wait_until};
use crate::bench::cluster::Cluster;
use crate::bench::etcd::Etcd;
use crate::bench::load::quantile;
use crate::bench::members::Members;
use crate::bench::table::Row;

/// The longest that a round may take.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Before the next kill: everybody knows everybody again.
const SETTLE: Duration = Duration::from_millis(1_000);
/// Before a member is asked again that could not write.
const PAUSE: Duration = Duration::from_millis(2);

pub(in crate::bench) fn run(
    members: &mut Members<'_>,
    etcd: Option<&mut Etcd<'_>>,
    plan: &Plan,
) -> Result<Vec<Row>, String> {
    let ours = rounds(members, plan.failover_rounds)?;
    let mut row = Row::new("leader killed to next write", tell(&ours));
    if let Some(etcd) = etcd {
        let theirs = rounds(etcd, plan.failover_rounds)?;
        row = row.beside(format!("etcd {}", tell(&theirs)), quantile(ours, 0.5) / quantile(theirs, 0.5));
    }
    let under = format!(
        "kill -9, default timers, {} rounds; both others asked anew whenever they fail or take 250 ms; ratio of medians",
        plan.failover_rounds
    );
    Ok(vec![row.under(under)])
}

fn tell(seconds: &[f64]) -> String {
    let of = |q| 1_000.0 * quantile(seconds.iter().copied(), q);
    format!("p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms", of(0.5), of(0.99), of(1.0))
}

fn rounds<C: Cluster>(cluster: &mut C, count: usize) -> Result<Vec<f64>, String> {
    (0..count).map(|_| round(cluster)).collect()
}

fn round<C: Cluster>(cluster: &mut C) -> Result<f64, String> {
    let mut leader = None;
    wait_until("somebody leads", READY_LIMIT, || {
        leader = cluster.leader();
        leader.is_some()
    })?;
    let leader = leader.ok_or("nobody leads")?;
    let killed = now();
    cluster.kill(leader);
    let written = first_write(cluster, leader).ok_or("no write was acknowledged after a kill")?;
    cluster.restart(leader)?;
    for place in 0..cluster.servers().len() {
        cluster.wait_ready(place, READY_LIMIT)?;
    }
    pause(SETTLE);
    Ok((written - killed).as_secs_f64())
}

/// When the first write is acknowledged by a member other than the killed one.
fn first_write<C: Cluster>(cluster: &C, killed: usize) -> Option<Instant> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let (is_done, deadline) = (AtomicBool::new(false), now() + WRITE_LIMIT);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for (_, server) in cluster.servers().into_iter().enumerate().filter(|(place, _)| *place != killed) {
            let (is_done, sender) = (&is_done, sender.clone());
            scope.spawn(move || {
                while !is_done.load(Ordering::Relaxed) && now() < deadline {
                    if C::write(&server, NUMBER.fetch_add(1, Ordering::Relaxed)) {
                        is_done.store(true, Ordering::Relaxed);
                        // The other one's answer may have been read already.
                        let _ = sender.send(now());
                        return;
                    }
                    pause(PAUSE);
                }
            });
        }
        drop(sender);
    });
    receiver.into_iter().min()
}
