//! Writes that show when writes are acknowledged again.

use std::time::Duration;

use kenger_types::TtlSeconds;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::clients::Clients;
use crate::history::{Key, PROBE_NAMESPACE};

/// Between two writes.
const PROBE_EVERY: Duration = Duration::from_millis(300);
/// Their node outlives the run.
const PROBE_TTL_SECONDS: i64 = 3_600;
const PROBE_WEIGHT: u32 = 100;

/// Writes from time to time until it is over: workloads may have nothing to write for a while.
pub async fn write_on(mut client: Client, clients: &Clients, over: &CancellationToken) {
    let key = Key { ns: PROBE_NAMESPACE.to_owned(), host: "probe".to_owned(), port: 80 };
    let ttl = TtlSeconds::try_from(PROBE_TTL_SECONDS).expect("an allowed time to live");
    while !over.is_cancelled() {
        client.register(&key, PROBE_WEIGHT, clients.next_value(), None, Some(ttl)).await;
        tokio::select! {
            () = sleep(PROBE_EVERY) => {}
            () = over.cancelled() => {}
        }
    }
}
