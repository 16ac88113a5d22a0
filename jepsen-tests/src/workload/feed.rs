//! Several watchers that resume on one member after the other, and as much writing as gives them
//! something to see.

use futures_util::future::LocalBoxFuture;
use kenger_types::TtlSeconds;
use tokio::task::JoinSet;

use super::{Workload, pause};
use crate::history::{Floor, Key};
use crate::run::{Client, Clients};

/// Half of the watchers want one of these alone.
const NAMESPACES: [&str; 3] = ["feed-a", "feed-b", "feed-c"];
const UNFILTERED: usize = 3;
const NODES_PER_NAMESPACE: u16 = 5;
const PACE_MS: std::ops::Range<u64> = 20..120;
const TTL_SECONDS: i64 = 3_600;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Feed;

impl Workload for Feed {
    fn floor(&self, seconds: u64) -> Floor {
        // In a short run with much trouble a node may have been asked for once, in vain.
        let (acknowledged_per_key, changes_per_watcher) = (seconds / 20, seconds / 2);
        Floor { acknowledged_per_key, changes_per_watcher, ..Floor::default() }
    }

    fn run(self: Box<Self>, mut clients: Clients) -> LocalBoxFuture<'static, Result<(), String>> {
        Box::pin(async move {
            (0..UNFILTERED).for_each(|_| clients.watch(&[]));
            clients.watch(&NAMESPACES[..1]);
            clients.watch(&NAMESPACES[1..]);
            let mut tasks = JoinSet::new();
            for namespace in NAMESPACES {
                let client = clients.client();
                tasks.spawn(write(client, namespace, clients.clone()));
            }
            super::join_all(tasks).await
        })
    }
}

async fn write(mut client: Client, namespace: &str, clients: Clients) -> Result<(), String> {
    let ttl = TtlSeconds::try_from(TTL_SECONDS).expect("an allowed time to live");
    while !clients.stop.is_cancelled() {
        let port = client.rng().u16(1..=NODES_PER_NAMESPACE);
        let key = Key { ns: namespace.to_owned(), host: "watched".to_owned(), port };
        let weight = client.rng().u32(0..=10_000);
        match client.rng().u32(..10) {
            0..6 => client.register(&key, weight, clients.next_value(), None, Some(ttl)).await,
            6..8 => client.set_weight(&key, Some(weight), None).await,
            _ => client.deregister(&key, None).await,
        };
        pause(client.rng(), PACE_MS, &clients).await;
    }
    Ok(())
}
