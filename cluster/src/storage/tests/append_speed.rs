//! Measurements: durable appends a second, and how long a large state takes to be written and read.
//! Not part of the ordinary run; `--run-ignored all` (nextest) or `--ignored` prints them.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use kenger_state::Command;
use kenger_types::Metadata;
use kenger_types::api::NodeAddress;
use openraft::RaftSnapshotBuilder;
use openraft::storage::{RaftLogStorage, RaftStateMachine};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use super::super::tail::Entry;
use super::fixtures::{Engine, apply, callback, machine, normal, temp_dir};
use crate::config::StoreKind;

const WRITERS: usize = 64;
const MEASURED: Duration = Duration::from_secs(5);
const NODES: u64 = 100_000;

fn register(index: u64) -> Entry {
    let pairs = [("version".to_owned(), "v1".to_owned()), ("zone".to_owned(), format!("z{}", index % 7))];
    let [_, _, b, c] = (u32::try_from(index).unwrap()).to_be_bytes();
    let command = Command::Register {
        key: NodeAddress {
            ns: format!("service-{}", index % 100).parse().unwrap(),
            host: format!("10.{}.{b}.{c}", index >> 16).parse().unwrap(),
            port: 8080.try_into().unwrap(),
        },
        weight: 100.try_into().unwrap(),
        health_path: None,
        metadata: Metadata::try_from(std::collections::BTreeMap::from(pairs)).unwrap(),
        ttl_seconds: None,
        create_namespace: true,
        if_revision: None,
    };
    normal(1, index, command)
}

fn resident_megabytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// As Raft does it: each writer's entry is one append, and many are under way at once.
async fn measure(kind: StoreKind) {
    let directory = temp_dir();
    let opened = Engine::Disk(kind).open(directory.path()).unwrap();
    let stats = Arc::clone(&opened.stats);
    let store = Arc::new(Mutex::new((opened.log_store, 0_u64)));
    let writers = Arc::new(Semaphore::new(WRITERS));
    let begun = Instant::now();
    while begun.elapsed() < MEASURED {
        let permit = Arc::clone(&writers).acquire_owned().await.unwrap();
        let (flushed, durable) = callback();
        {
            let mut store = store.lock().await;
            let index = store.1;
            store.1 += 1;
            store.0.append(vec![register(index)], flushed).await.unwrap();
        }
        tokio::spawn(async move {
            durable.await.unwrap().unwrap();
            drop(permit);
        });
    }
    let seconds = begun.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let per_second = |count: u64| count as f64 / seconds;
    println!(
        "{kind:?}: {:.0} durable appends/s, {:.0} syncs/s, {:.0} us a sync, {} MB resident",
        per_second(stats.appended_entries()),
        per_second(stats.syncs()),
        stats.sync_time().as_secs_f64() * 1e6 / stats.syncs().max(1) as f64,
        resident_megabytes(),
    );
    opened.closer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn durable_appends_by_64_writers() {
    for kind in [StoreKind::Sled, StoreKind::Redb] {
        measure(kind).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn a_snapshot_of_100_000_nodes() {
    let directory = temp_dir();
    let engine = Engine::Disk(StoreKind::Redb);
    let opened = engine.open(directory.path()).unwrap();
    let mut first = machine(&opened);
    let begun = Instant::now();
    apply(&mut first, (0..NODES).map(register).collect()).await;
    let applied = begun.elapsed();
    let begun = Instant::now();
    let snapshot = first.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let written = begun.elapsed();
    let megabytes = snapshot.snapshot.bytes() >> 20;
    opened.closer.close().await;
    let before = resident_megabytes();
    let begun = Instant::now();
    let opened = engine.open(directory.path()).unwrap();
    let again = machine(&opened);
    println!(
        "{NODES} nodes: applied in {applied:?}, {megabytes} MB written in {written:?}, opened and read in {:?}, \
         {} MB resident more",
        begun.elapsed(),
        resident_megabytes().saturating_sub(before),
    );
    assert_eq!(again.state().load(), first.state().load());
}
