//! Nodes that are registered once, get a weight from the operator, and are left alone after that, while
//! others change all the time: what was decided long ago has to outlive snapshots, purges and restarts.

use futures_util::future::LocalBoxFuture;
use kenger_types::TtlSeconds;
use tokio::task::JoinSet;

use super::{Workload, pause};
use crate::history::{Floor, Key, Outcome};
use crate::run::{Client, Clients, Setup};

const NAMESPACE: &str = "settled";
const SETTLED: u16 = 6;
const RESTLESS: u16 = 3;
/// Snapshots come often, and keep little behind them.
const SNAPSHOT_AFTER_ENTRIES: u64 = 40;
const SNAPSHOT_KEEP_ENTRIES: u64 = 5;
/// Between two requests of one client, in milliseconds.
const PACE_MS: std::ops::Range<u64> = 10..40;
/// They ask for a time to live of their own: longer than any run.
const TTL_SECONDS: i64 = 7_200;
const DECLARED: u32 = 100;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Settled;

impl Workload for Settled {
    fn prepare(&mut self, setup: &mut Setup) {
        let settings = &mut setup.settings;
        settings.snapshot_after_entries = settings.snapshot_after_entries.min(SNAPSHOT_AFTER_ENTRIES);
        settings.snapshot_keep_entries = settings.snapshot_keep_entries.min(SNAPSHOT_KEEP_ENTRIES);
    }

    fn floor(&self, seconds: u64) -> Floor {
        Floor { acknowledged: 4 * seconds, acknowledged_per_key: 1, ..Floor::default() }
    }

    fn run(self: Box<Self>, mut clients: Clients) -> LocalBoxFuture<'static, Result<(), String>> {
        Box::pin(async move {
            let mut tasks = JoinSet::new();
            for port in 1..=SETTLED {
                let client = clients.client();
                tasks.spawn(settle(client, key("settled", port), clients.clone()));
            }
            for port in 1..=RESTLESS {
                let client = clients.client();
                tasks.spawn(change(client, key("restless", port), clients.clone()));
            }
            super::join_all(tasks).await
        })
    }
}

fn key(host: &str, port: u16) -> Key {
    Key { ns: NAMESPACE.to_owned(), host: host.to_owned(), port }
}

fn ttl() -> Option<TtlSeconds> {
    Some(TtlSeconds::try_from(TTL_SECONDS).expect("an allowed time to live"))
}

/// Writes twice, then reads to the end.
async fn settle(mut client: Client, key: Key, clients: Clients) -> Result<(), String> {
    let weight = client.rng().u32(0..=10_000);
    let (mut is_registered, mut is_weighted) = (false, false);
    while !clients.stop.is_cancelled() {
        if !is_registered {
            let outcome = client.register(&key, DECLARED, clients.next_value(), None, ttl()).await;
            is_registered = matches!(outcome, Outcome::Done(_));
        } else if !is_weighted {
            is_weighted = matches!(client.set_weight(&key, Some(weight), None).await, Outcome::Done(_));
        } else {
            client.read(&key).await;
        }
        pause(client.rng(), PACE_MS, &clients).await;
    }
    Ok(())
}

async fn change(mut client: Client, key: Key, clients: Clients) -> Result<(), String> {
    while !clients.stop.is_cancelled() {
        client.register(&key, DECLARED, clients.next_value(), None, ttl()).await;
        pause(client.rng(), PACE_MS, &clients).await;
    }
    Ok(())
}
