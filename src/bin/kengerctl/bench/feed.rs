//! The way of a change: from its acknowledgement to its event at subscribers.

use std::collections::BTreeMap;
use std::time::Duration;

use kenger_sdk::{Watch, WatchEvent, WatchOptions};
use kenger_types::api::{NodeAddress, NodeWeight};
use kenger_types::{Invalid, Revision};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Bench;
use super::members::Members;
use super::report::Report;
use super::run::latencies;
use super::workload;
use crate::failure::Failure;

/// How long subscribers have to be up to date, and to hear of the last change.
const PATIENCE: Duration = Duration::from_secs(10);
/// Events that wait to be counted, for each subscriber.
const ARRIVALS_QUEUED_MAX: usize = 1_024;
/// Time to live of the one node that is changed: nobody sends heartbeats for it.
const TTL_SECONDS: u32 = 3_600;

/// What is to be done.
pub(super) struct Load {
    pub(super) watchers: usize,
    pub(super) changes: u32,
    pub(super) from_leader: bool,
}

/// An event that a subscriber heard.
struct Arrival {
    revision: Revision,
    at: Instant,
}

pub(super) async fn run(bench: &Bench<'_>, members: &Members<'_>, load: Load) -> Result<Report, Failure> {
    let node = workload::registration(&bench.ns, 0, Some(TTL_SECONDS))?;
    let base = bench.client.register(&node).await?.mod_revision;
    let (sender, mut arrivals) = mpsc::channel(ARRIVALS_QUEUED_MAX * load.watchers);
    let mut watchers = JoinSet::new();
    for watch in subscribe(bench, &load, base).await? {
        watchers.spawn(listen(watch, sender.clone()));
    }
    drop(sender);
    let before = members.read().await;
    let began = Instant::now();
    let mut acknowledged = BTreeMap::new();
    let address = NodeAddress { ns: node.ns, host: node.host, port: node.port };
    let mut heard = Vec::new();
    for n in 0..load.changes {
        let revision = change(bench, &address, n).await?;
        acknowledged.insert(revision, Instant::now());
        while let Ok(arrival) = arrivals.try_recv() {
            heard.push(arrival);
        }
    }
    let elapsed = began.elapsed();
    let spent = members.read().await.since(&before);
    let expected = load.watchers * load.changes as usize;
    let collect = async {
        while heard.iter().filter(|arrival| acknowledged.contains_key(&arrival.revision)).count() < expected {
            match arrivals.recv().await {
                Some(arrival) => heard.push(arrival),
                None => break,
            }
        }
    };
    let _ = tokio::time::timeout(PATIENCE, collect).await;
    watchers.abort_all();

    let (mut latencies, mut early, mut events) = (latencies()?, 0_u64, 0_u64);
    for Arrival { revision, at } in heard {
        let Some(acknowledged) = acknowledged.get(&revision) else { continue };
        events += 1;
        early += u64::from(at < *acknowledged);
        let late = at.saturating_duration_since(*acknowledged);
        latencies.saturating_record(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
    }
    let missing = expected as u64 - events.min(expected as u64);
    let failed = if missing == 0 {
        BTreeMap::new()
    } else {
        BTreeMap::from([("events that never came".to_owned(), missing)])
    };
    let changes = u64::from(load.changes);
    let mut report = Report::new(
        "watch",
        changes,
        elapsed,
        "from the acknowledgement to the event",
        &latencies,
        &spent,
        failed,
    );
    report.setting = BTreeMap::from([("watchers", load.watchers as u64), ("changes", changes)]);
    report.also =
        BTreeMap::from([("events", events as f64), ("events_before_the_acknowledgement", early as f64)]);
    Ok(report)
}

/// Subscribers that are connected, spread over the members.
async fn subscribe(bench: &Bench<'_>, load: &Load, base: Revision) -> Result<Vec<Watch>, Failure> {
    let endpoints = bench.client.endpoints();
    let mut watches = Vec::with_capacity(load.watchers);
    for n in 0..load.watchers {
        let mut own: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
        own.rotate_left(n % endpoints.len());
        let mut builder = kenger_sdk::Client::builder().endpoints(own);
        if let Some(token) = bench.token {
            builder = builder.token(token);
        }
        let options = WatchOptions {
            namespaces: vec![bench.ns.clone()],
            from_leader: load.from_leader,
            last_revision: Some(base),
            ..WatchOptions::default()
        };
        let mut watch = builder.build()?.watch(options)?;
        let connected = async { while !matches!(watch.next().await, WatchEvent::Connected(_)) {} };
        tokio::time::timeout(PATIENCE, connected)
            .await
            .map_err(|_| Failure::Unhealthy("the feed cannot be subscribed to".to_owned()))?;
        watches.push(watch);
    }
    Ok(watches)
}

async fn listen(mut watch: Watch, arrivals: mpsc::Sender<Arrival>) {
    loop {
        if let WatchEvent::Change(event) = watch.next().await {
            let arrival = Arrival { revision: event.revision, at: Instant::now() };
            if arrivals.send(arrival).await.is_err() {
                return;
            }
        }
    }
}

/// Gives the node another weight than it has; answers the revision that this made.
async fn change(bench: &Bench<'_>, address: &NodeAddress, n: u32) -> Result<Revision, Failure> {
    let weight = i64::from(n % 1_000 + 1).try_into().map_err(|Invalid(why)| Failure::Other(why))?;
    let NodeAddress { ns, host, port } = address.clone();
    let body = NodeWeight { ns, host, port, weight: Some(weight), if_revision: None };
    Ok(bench.client.set_weight(&body).await?.mod_revision)
}
