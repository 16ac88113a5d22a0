//! A process that is killed at a random moment loses nothing that it acknowledged.

use std::time::Duration;

use super::fixtures::temp_dir;
use super::ledger::Ledger;
use super::workload::{Orders, Worker};
use crate::config::StoreKind;

const ROUNDS_VARIABLE: &str = "KENGER_KILL_ROUNDS";
const ROUNDS: u64 = 15;

async fn rounds(kind: StoreKind) {
    let rounds = std::env::var(ROUNDS_VARIABLE).map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let directory = temp_dir();
    let mut ledger = Ledger::default();
    let mut random = fastrand::Rng::new();
    for round in 0..rounds {
        let seed = random.u64(..);
        let mut worker = Worker::start(&Orders { seed, ..Orders::new(kind, directory.path()) });
        // Every fourth one is killed while it opens the store, or just after.
        if round % 4 == 3 {
            tokio::time::sleep(Duration::from_millis(random.u64(..60))).await;
        } else {
            let opening =
                worker.opening().await.unwrap_or_else(|reason| panic!("{kind:?} round {round}: {reason}"));
            ledger.check(&opening).unwrap_or_else(|lost| panic!("{kind:?} round {round}: {lost}"));
            tokio::time::sleep(Duration::from_millis(random.u64(50..500))).await;
        }
        worker.kill().await.iter().for_each(|line| ledger.note(line));
    }
    let mut last = Worker::start(&Orders { only_look: true, ..Orders::new(kind, directory.path()) });
    let opening = last.opening().await.unwrap();
    ledger.check(&opening).unwrap();
    last.rest().await;
    println!("{kind:?}: {rounds} kills, {} entries acknowledged, none lost", ledger.acknowledged());
    assert!(ledger.acknowledged() > rounds * 10, "hardly anything was written: {}", ledger.acknowledged());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sled_keeps_what_it_acknowledged_when_it_is_killed() {
    rounds(StoreKind::Sled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redb_keeps_what_it_acknowledged_when_it_is_killed() {
    rounds(StoreKind::Redb).await;
}
