//! Nodes that keep saying that they are alive, and nodes that stop: the first must stay online, the
//! others must go offline and be deleted.

use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{Workload, pause};
use crate::history::{Answer, Floor, Key, Outcome};
use crate::run::{Client, Clients, Setup};

const NAMESPACE: &str = "heartbeat";
/// Nodes that never stop.
const STEADY: u16 = 6;
/// Nodes that stop, are deleted, and come back.
const MORTAL: u16 = 4;
/// So many heartbeats come within a time to live, as the SDKs send them.
const BEATS_PER_TTL: u32 = 4;
/// A client that beats gives a member up sooner than one that writes.
const ANSWER_LIMIT: Duration = Duration::from_millis(600);
/// After a heartbeat that was not acknowledged, in milliseconds.
const RETRY_MS: std::ops::Range<u64> = 50..200;
const WEIGHT: u32 = 100;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Heartbeat;

impl Workload for Heartbeat {
    fn prepare(&mut self, setup: &mut Setup) {
        let settings = &mut setup.settings;
        settings.node_ttl = settings.node_ttl.min(Duration::from_secs(4));
        settings.node_delete_after = settings.node_delete_after.min(Duration::from_secs(9));
    }

    fn floor(&self, seconds: u64) -> Floor {
        Floor { acknowledged: seconds, acknowledged_per_key: 1, ..Floor::default() }
    }

    fn run(self: Box<Self>, mut clients: Clients) -> LocalBoxFuture<'static, Result<(), String>> {
        Box::pin(async move {
            let mut tasks = JoinSet::new();
            for port in 1..=STEADY {
                let client = clients.client().with_limit(ANSWER_LIMIT);
                tasks.spawn(live_on(client, key("steady", port), clients.clone()));
            }
            for port in 1..=MORTAL {
                let client = clients.client().with_limit(ANSWER_LIMIT);
                tasks.spawn(live_again_and_again(client, key("mortal", port), clients.clone()));
            }
            super::join_all(tasks).await
        })
    }
}

fn key(host: &str, port: u16) -> Key {
    Key { ns: NAMESPACE.to_owned(), host: host.to_owned(), port }
}

/// Registers, and says that it is alive until it dies or the run is over.
async fn live(client: &mut Client, key: &Key, clients: &Clients, dies_at: Option<Instant>) {
    let every = Duration::from_micros(clients.timers.node_ttl) / BEATS_PER_TTL;
    let is_over = || clients.stop.is_cancelled() || dies_at.is_some_and(|at| Instant::now() >= at);
    let mut is_registered = false;
    while !is_over() {
        let outcome = if is_registered {
            client.heartbeat(key).await
        } else {
            client.register(key, WEIGHT, clients.next_value(), None, None).await
        };
        match outcome {
            Outcome::Done(_) => {
                is_registered = true;
                tokio::select! {
                    () = sleep(every) => {}
                    () = clients.stop.cancelled() => {}
                }
            }
            // It is not known there: it registers again at once, as an SDK does.
            Outcome::Rejected(Answer::Absent) => is_registered = false,
            _ => pause(client.rng(), RETRY_MS, clients).await,
        }
    }
}

async fn live_on(mut client: Client, key: Key, clients: Clients) -> Result<(), String> {
    live(&mut client, &key, &clients, None).await;
    Ok(())
}

async fn live_again_and_again(mut client: Client, key: Key, clients: Clients) -> Result<(), String> {
    let ttl = Duration::from_micros(clients.timers.node_ttl);
    let silent_until_deleted = Duration::from_micros(clients.timers.node_delete_after) + ttl;
    while !clients.stop.is_cancelled() {
        let life = ttl.mul_f64(0.2 + 1.8 * client.rng().f64());
        live(&mut client, &key, &clients, Some(Instant::now() + life)).await;
        // Sometimes it comes back while it is offline, mostly after it is gone.
        let share = if client.rng().u32(..3) == 0 { 0.6 } else { 1.2 };
        tokio::select! {
            () = sleep(silent_until_deleted.mul_f64(share)) => {}
            () = clients.stop.cancelled() => {}
        }
    }
    Ok(())
}
