//! Nodes that are heard from when their time is just about to run out, or just has: the leader decides
//! about them while a heartbeat or a registration is on its way, and must not go by what it knew before.

use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use kenger_types::TtlSeconds;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{Workload, pause};
use crate::history::{Answer, Floor, Key, Outcome};
use crate::run::{Client, Clients};

const NAMESPACE: &str = "edge";
/// Each is at the edge once in a time to live.
const NODES: u16 = 48;
/// As short as the product allows, so that there are many edges.
const TTL_SECONDS: u32 = 1;
/// So long before its time runs out a node is heard from at the earliest, in milliseconds.
const BEFORE_MS: u64 = 60;
/// And so long after it at the latest: a look at the leases later, and a little more.
const AFTER_MS: u64 = 280;
/// After what was not acknowledged, in milliseconds.
const RETRY_MS: std::ops::Range<u64> = 10..60;
const WEIGHT: u32 = 100;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Edge;

impl Workload for Edge {
    fn floor(&self, seconds: u64) -> Floor {
        Floor { acknowledged: 5 * seconds, acknowledged_per_key: 1, ..Floor::default() }
    }

    fn run(self: Box<Self>, mut clients: Clients) -> LocalBoxFuture<'static, Result<(), String>> {
        Box::pin(async move {
            let mut tasks = JoinSet::new();
            for port in 1..=NODES {
                let client = clients.client();
                tasks.spawn(work(client, port, clients.clone()));
            }
            super::join_all(tasks).await
        })
    }
}

async fn work(mut client: Client, port: u16, clients: Clients) -> Result<(), String> {
    let key = Key { ns: NAMESPACE.to_owned(), host: "edge".to_owned(), port };
    let ttl = TtlSeconds::try_from(i64::from(TTL_SECONDS)).expect("an allowed time to live");
    let mut is_registered = false;
    while !clients.stop.is_cancelled() {
        let asked = Instant::now();
        let outcome = if is_registered && client.rng().bool() {
            client.heartbeat(&key).await
        } else {
            client.register(&key, WEIGHT, clients.next_value(), None, Some(ttl)).await
        };
        match outcome {
            Outcome::Done(_) => {
                is_registered = true;
                // Whoever was heard from is online by the time of the answer.
                client.read(&key).await;
                let edge = Duration::from_millis(client.rng().u64(..BEFORE_MS + AFTER_MS));
                let next =
                    asked + Duration::from_secs(TTL_SECONDS.into()) + edge - Duration::from_millis(BEFORE_MS);
                tokio::select! {
                    () = sleep(next.saturating_duration_since(Instant::now())) => {}
                    () = clients.stop.cancelled() => {}
                }
            }
            Outcome::Rejected(Answer::Absent) => is_registered = false,
            _ => pause(client.rng(), RETRY_MS, &clients).await,
        }
    }
    Ok(())
}
