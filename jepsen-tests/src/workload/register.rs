//! Many clients write and read a few nodes: what is asked overlaps as much as can be.

use futures_util::future::LocalBoxFuture;
use kenger_types::TtlSeconds;
use tokio::task::JoinSet;

use super::{Workload, pause};
use crate::history::{Answer, Floor, Key, Outcome};
use crate::run::{Client, Clients};

const NAMESPACE: &str = "register";
const KEYS: usize = 5;
const CLIENTS: usize = 6;
/// Between two requests of one client, in milliseconds.
const PACE_MS: std::ops::Range<u64> = 5..40;
/// After a failure, before the next member is asked.
const RETRY_MS: std::ops::Range<u64> = 30..120;
/// Silence is not what this is about: these nodes do not run out of time.
const TTL_SECONDS: i64 = 3_600;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Register;

impl Workload for Register {
    fn floor(&self, seconds: u64) -> Floor {
        Floor { acknowledged: 10 * seconds, acknowledged_per_key: seconds / 4, ..Floor::default() }
    }

    fn run(self: Box<Self>, mut clients: Clients) -> LocalBoxFuture<'static, Result<(), String>> {
        Box::pin(async move {
            let mut tasks = JoinSet::new();
            for _ in 0..CLIENTS {
                let client = clients.client();
                tasks.spawn(work(client, clients.clone()));
            }
            super::join_all(tasks).await
        })
    }
}

async fn work(mut client: Client, clients: Clients) -> Result<(), String> {
    let ttl = TtlSeconds::try_from(TTL_SECONDS).expect("an allowed time to live");
    // What it last saw of each node, perhaps outdated by now, which is the point.
    let mut seen: [Option<u64>; KEYS] = [None; KEYS];
    while !clients.stop.is_cancelled() {
        let number = client.rng().usize(..KEYS);
        let key = Key { ns: NAMESPACE.to_owned(), host: format!("node-{number}"), port: 80 };
        let weight = client.rng().u32(0..=10_000);
        let last_seen = seen[number].or(Some(0));
        let outcome = match client.rng().u32(..100) {
            0..38 => client.read(&key).await,
            38..56 => client.register(&key, weight, clients.next_value(), None, Some(ttl)).await,
            56..68 => client.register(&key, weight, clients.next_value(), last_seen, Some(ttl)).await,
            68..73 => client.register(&key, weight, clients.next_value(), Some(0), Some(ttl)).await,
            73..80 => client.set_weight(&key, Some(weight), None).await,
            80..86 => client.set_weight(&key, Some(weight), last_seen).await,
            86..90 => client.set_weight(&key, None, None).await,
            90..96 => client.deregister(&key, None).await,
            _ => client.deregister(&key, last_seen).await,
        };
        match &outcome {
            Outcome::Done(Answer::Node(node)) => seen[number] = Some(node.mod_revision),
            Outcome::Rejected(Answer::Mismatch { current: Some(current) }) => seen[number] = Some(*current),
            Outcome::Done(_) | Outcome::Rejected(_) => seen[number] = None,
            Outcome::NotDone { .. } | Outcome::Unknown { .. } | Outcome::Foreign { .. } => {
                pause(client.rng(), RETRY_MS, &clients).await;
                continue;
            }
        }
        pause(client.rng(), PACE_MS, &clients).await;
    }
    Ok(())
}
