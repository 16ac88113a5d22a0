//! A full disk ends the acknowledgements with an error, and takes nothing that was acknowledged.

use std::time::Duration;

use super::ledger::{Ledger, Line};
use super::loop_device::{LoopDisk, fill, skipped};
use super::workload::{Orders, Worker};
use crate::config::StoreKind;

const DISK_MEGABYTES: u64 = 48;
const BALLAST_MEGABYTES: usize = 12;

async fn fill_up(test: &str, kind: StoreKind) {
    let disk = match LoopDisk::mount_new(DISK_MEGABYTES) {
        Ok(disk) => disk,
        Err(reason) => return skipped(test, &reason),
    };
    let ballast = disk.path().join("ballast");
    fill(&ballast, BALLAST_MEGABYTES);
    let orders = Orders { never_purge: true, ..Orders::new(kind, &disk.path().join("data")) };
    let mut ledger = Ledger::default();
    let mut worker = Worker::start(&orders);
    ledger.check(&worker.opening().await.unwrap()).unwrap();
    let said = tokio::time::timeout(Duration::from_secs(40), worker.rest()).await.unwrap();
    said.iter().for_each(|line| ledger.note(line));
    let Some(Line::Failed { reason }) = said.last() else {
        panic!("{kind:?} did not fail: {:?}", said.last())
    };
    println!("{kind:?}: failed after {} entries: {reason}", ledger.acknowledged());
    assert!(ledger.acknowledged() > 100);

    // While the disk is full the start may fail, but only for that.
    let mut again = Worker::start(&Orders { only_look: true, ..orders.clone() });
    match again.opening().await {
        Ok(opening) => ledger.check(&opening).unwrap(),
        Err(reason) => assert!(!reason.contains("put aside"), "{reason}"),
    }
    again.rest().await;

    std::fs::remove_file(&ballast).unwrap();
    let mut again = Worker::start(&Orders { only_look: true, ..orders });
    ledger.check(&again.opening().await.unwrap()).unwrap();
    again.rest().await;
}

#[tokio::test]
async fn sled_keeps_what_it_acknowledged_when_the_disk_is_full() {
    fill_up("sled_keeps_what_it_acknowledged_when_the_disk_is_full", StoreKind::Sled).await;
}

#[tokio::test]
async fn redb_keeps_what_it_acknowledged_when_the_disk_is_full() {
    fill_up("redb_keeps_what_it_acknowledged_when_the_disk_is_full", StoreKind::Redb).await;
}
