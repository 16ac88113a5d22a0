//! Registrations that say as much as they may, and a ring that holds few of them: what a subscriber does
//! not read fills the buffers on its way within seconds, and after that the member has to cut it off.

use futures_util::future::LocalBoxFuture;
use kenger_types::TtlSeconds;
use tokio::task::JoinSet;

use super::{Workload, pause};
use crate::history::{Floor, Key};
use crate::run::{Client, Clients, Setup};

const NAMESPACE: &str = "bulk";
const KEYS: u16 = 4;
const CLIENTS: usize = 2;
/// Revisions that a member keeps for those who come back.
const FEED_RING: u64 = 32;
/// Between two requests of one client, in milliseconds: some hundred kilobytes a second.
const PACE_MS: std::ops::Range<u64> = 20..50;
/// Silence is not what this is about: these nodes do not run out of time.
const TTL_SECONDS: i64 = 3_600;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Bulk;

impl Workload for Bulk {
    fn prepare(&mut self, setup: &mut Setup) {
        setup.settings.feed_ring = setup.settings.feed_ring.min(FEED_RING);
    }

    fn floor(&self, seconds: u64) -> Floor {
        Floor { acknowledged_per_key: 1, changes_per_watcher: seconds, ..Floor::default() }
    }

    fn run(self: Box<Self>, mut clients: Clients) -> LocalBoxFuture<'static, Result<(), String>> {
        Box::pin(async move {
            let mut tasks = JoinSet::new();
            for _ in 0..CLIENTS {
                let client = clients.client().bulky();
                tasks.spawn(work(client, clients.clone()));
            }
            super::join_all(tasks).await
        })
    }
}

async fn work(mut client: Client, clients: Clients) -> Result<(), String> {
    let ttl = TtlSeconds::try_from(TTL_SECONDS).expect("an allowed time to live");
    while !clients.stop.is_cancelled() {
        let port = client.rng().u16(1..=KEYS);
        let key = Key { ns: NAMESPACE.to_owned(), host: "bulky".to_owned(), port };
        client.register(&key, 100, clients.next_value(), None, Some(ttl)).await;
        pause(client.rng(), PACE_MS, &clients).await;
    }
    Ok(())
}
