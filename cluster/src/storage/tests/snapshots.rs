//! Snapshots: built, sent, installed, loaded; damaged ones are refused; nothing is left lying about.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use openraft::storage::{RaftLogStorage, RaftStateMachine};
use openraft::{RaftSnapshotBuilder, Snapshot};

use super::super::{Opened, SnapshotFile};
use super::fixtures::{
    Engine, Heard, Told, append_durably, apply, log_id, machine, machine_with, namespace, padding, temp_dir,
};
use crate::config::StoreKind;

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory.join("snapshots"))
        .unwrap()
        .map(|item| item.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "confirmed")
        .collect();
    names.sort();
    names
}

async fn send(file: &SnapshotFile, to: &Opened) -> SnapshotFile {
    let mut receiver = to.snapshots.receive().await.unwrap();
    while receiver.received_bytes() < file.bytes() {
        let chunk = file.read_chunk(receiver.received_bytes(), 100).unwrap();
        receiver.write_chunk(receiver.received_bytes(), chunk.into()).await.unwrap();
    }
    receiver.finish().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_restores_state_membership_and_place_after_a_restart() {
    for engine in Engine::all() {
        let directory = temp_dir();
        let opened = engine.open(directory.path()).unwrap();
        let mut first = machine(&opened);
        apply(&mut first, vec![namespace(1, 1, "one"), namespace(1, 2, "two")]).await;
        first.get_snapshot_builder().await.build_snapshot().await.unwrap();
        apply(&mut first, vec![namespace(1, 3, "three")]).await;
        let newest = first.get_snapshot_builder().await.build_snapshot().await.unwrap();
        assert_eq!(names(directory.path()).len(), 1, "old ones are removed");
        assert_eq!(first.stats().snapshots(), 2);
        opened.closer.close().await;

        let opened = engine.open(directory.path()).unwrap();
        let heard = Arc::new(Heard::default());
        let mut again = machine_with(&opened, Arc::clone(&heard));
        assert_eq!(again.applied_state().await.unwrap(), first.applied_state().await.unwrap());
        assert_eq!(again.state().load(), first.state().load());
        let revision = first.state().load().revision();
        assert_eq!(*heard.told.lock().unwrap(), [Told::Replaced(revision)]);
        let current = again.get_current_snapshot().await.unwrap().unwrap();
        assert_eq!(current.meta, newest.meta);
        opened.closer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_received_snapshot_replaces_the_state_and_is_there_after_a_restart() {
    let (leader_directory, follower_directory) = (temp_dir(), temp_dir());
    let engine = Engine::Disk(StoreKind::Redb);
    let leader = engine.open(leader_directory.path()).unwrap();
    let follower = engine.open(follower_directory.path()).unwrap();
    let mut source = machine(&leader);
    apply(&mut source, (1..=50).map(|index| namespace(2, index, &format!("ns-{index}"))).collect()).await;
    let Snapshot { meta, snapshot } = source.get_snapshot_builder().await.build_snapshot().await.unwrap();

    let heard = Arc::new(Heard::default());
    let mut target = machine_with(&follower, Arc::clone(&heard));
    let received = send(&snapshot, &follower).await;
    target.install_snapshot(&meta, received).await.unwrap();
    assert_eq!(target.state().load(), source.state().load());
    assert_eq!(heard.told.lock().unwrap().len(), 2);
    assert_eq!(names(follower_directory.path()).len(), 1, "no temporary file is left");
    follower.closer.close().await;

    let follower = engine.open(follower_directory.path()).unwrap();
    assert_eq!(machine(&follower).state().load(), source.state().load());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_or_half_received_snapshot_is_refused_and_leaves_nothing() {
    let (leader_directory, follower_directory) = (temp_dir(), temp_dir());
    let engine = Engine::Disk(StoreKind::Redb);
    let leader = engine.open(leader_directory.path()).unwrap();
    let follower = engine.open(follower_directory.path()).unwrap();
    let mut source = machine(&leader);
    apply(&mut source, vec![namespace(2, 1, "one")]).await;
    let Snapshot { snapshot, .. } = source.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let bytes = snapshot.read_chunk(0, usize::MAX).unwrap();

    for damaged_at in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[damaged_at] ^= 1;
        let mut receiver = follower.snapshots.receive().await.unwrap();
        receiver.write_chunk(0, damaged.clone().into()).await.unwrap();
        assert!(receiver.finish().await.is_err(), "byte {damaged_at} was damaged and nobody noticed");
    }
    let mut receiver = follower.snapshots.receive().await.unwrap();
    receiver.write_chunk(0, bytes[..bytes.len() / 2].to_vec().into()).await.unwrap();
    assert!(receiver.write_chunk(0, bytes.clone().into()).await.is_err(), "a chunk out of place");
    assert!(receiver.finish().await.is_err());
    assert_eq!(names(follower_directory.path()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_stays_readable_for_who_sends_it_while_a_newer_one_replaces_it() {
    let directory = temp_dir();
    let opened = Engine::Disk(StoreKind::Redb).open(directory.path()).unwrap();
    let mut machine = machine(&opened);
    apply(&mut machine, vec![namespace(1, 1, "one")]).await;
    let old = machine.get_snapshot_builder().await.build_snapshot().await.unwrap().snapshot;
    let before = old.read_chunk(0, usize::MAX).unwrap();
    apply(&mut machine, vec![namespace(1, 2, "two")]).await;
    machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    assert_eq!(old.read_chunk(0, usize::MAX).unwrap(), before);
    opened.closer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_ends_late_does_not_replace_a_newer_snapshot() {
    let directory = temp_dir();
    let opened = Engine::Disk(StoreKind::Redb).open(directory.path()).unwrap();
    let mut machine = machine(&opened);
    apply(&mut machine, vec![namespace(1, 1, "one")]).await;
    let mut late = machine.get_snapshot_builder().await;
    apply(&mut machine, vec![namespace(1, 2, "two")]).await;
    machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    late.build_snapshot().await.unwrap();
    let current = machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(current.meta.last_log_id, Some(log_id(1, 2)));
    drop(late);
    assert_eq!(names(directory.path()).len(), 1, "the late one is removed");
    opened.closer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_or_missing_current_snapshot_stops_the_start() {
    for missing in [false, true] {
        let directory = temp_dir();
        let engine = Engine::Disk(StoreKind::Redb);
        let mut opened = engine.open(directory.path()).unwrap();
        let mut machine = machine(&opened);
        append_durably(&mut opened.log_store, vec![padding(1, 0, 10), padding(1, 1, 10)]).await.unwrap();
        apply(&mut machine, vec![padding(1, 0, 10), padding(1, 1, 10)]).await;
        machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
        opened.log_store.purge(log_id(1, 0)).await.unwrap();
        opened.closer.close().await;

        let path = directory.path().join("snapshots").join(&names(directory.path())[0]);
        if missing {
            fs::remove_file(&path).unwrap();
        } else {
            let mut bytes = fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(&path, bytes).unwrap();
        }
        let error = engine.open(directory.path()).err().unwrap().to_string();
        assert!(error.contains("snap-1-1-"), "{error}");
        assert!(error.contains("put aside"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_left_half_written_is_removed_at_the_next_start() {
    let directory = temp_dir();
    let engine = Engine::Disk(StoreKind::Redb);
    engine.open(directory.path()).unwrap().closer.close().await;
    for name in ["new-7", "snap-1-2-00000000"] {
        fs::write(directory.path().join("snapshots").join(name), b"half").unwrap();
    }
    engine.open(directory.path()).unwrap().closer.close().await;
    assert_eq!(names(directory.path()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_are_published_then_told_in_order() {
    let directory = temp_dir();
    let opened = Engine::memory().open(directory.path()).unwrap();
    let heard = Arc::new(Heard::default());
    let mut machine = machine_with(&opened, Arc::clone(&heard));
    apply(&mut machine, (1..=3).map(|index| namespace(1, index, &format!("ns-{index}"))).collect()).await;
    let told = heard.told.lock().unwrap().clone();
    let revision = kenger_types::Revision;
    let expected = [
        Told::Replaced(revision(0)),
        Told::Applied(revision(1)),
        Told::Applied(revision(2)),
        Told::Applied(revision(3)),
    ];
    assert_eq!(told, expected);
    assert_eq!(machine.state().load().revision(), revision(3));
    assert_eq!(machine.stats().applied_index(), 3);
    assert_eq!(machine.stats().applied_since_snapshot(), 3);
}

/// The engine's file is replaced by an older one: what a damaged sled opens as, and what a restored
/// backup of one file looks like.
async fn open_with_an_older_engine(path: &Path, since: impl AsyncFnOnce(&Opened)) -> String {
    let engine = Engine::Disk(StoreKind::Redb);
    let file = path.join("redb/log.redb");
    engine.open(path).unwrap().closer.close().await;
    let older = fs::read(&file).unwrap();
    let opened = engine.open(path).unwrap();
    since(&opened).await;
    opened.closer.close().await;
    fs::write(&file, older).unwrap();
    engine.open(path).err().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_forgot_an_open_does_not_start() {
    let directory = temp_dir();
    let error = open_with_an_older_engine(directory.path(), async |_| ()).await;
    assert!(error.contains("knows of 1 opens where there were 2"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_forgot_a_snapshot_does_not_start() {
    let directory = temp_dir();
    let manifest = directory.path().join("store.json");
    let error = open_with_an_older_engine(directory.path(), async |opened| {
        let mut machine = machine(opened);
        apply(&mut machine, vec![namespace(1, 1, "one")]).await;
        machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
        // Leaves the other evidence out.
        let text = fs::read_to_string(&manifest).unwrap();
        fs::write(&manifest, text.replace("\"opens\": 2", "\"opens\": 1")).unwrap();
        fs::remove_file(directory.path().join("store.mark")).unwrap();
    })
    .await;
    assert!(error.contains("has forgotten the snapshot snap-1-1-"), "{error}");
}
