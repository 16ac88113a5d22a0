//! What a store holds when it is opened again, and what it refuses to open.

use std::fs;

use openraft::storage::{RaftLogStorage, RaftStateMachine};
use openraft::vote::RaftVote;
use openraft::{RaftLogReader, RaftSnapshotBuilder};

use super::fixtures::{Engine, append_durably, apply, log_id, machine, namespace, padding, temp_dir};
use crate::config::StoreKind;
use crate::raft::types::TypeConfig;

type Vote = openraft::alias::VoteOf<TypeConfig>;

fn vote(term: u64) -> Vote {
    Vote::from_leader_id(openraft::impls::leader_id_adv::LeaderId { term, node_id: 2 }, false)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_vote_committed_and_purged_are_there_after_a_restart() {
    for engine in Engine::all() {
        let directory = temp_dir();
        let mut opened = engine.open(directory.path()).unwrap();
        let mut machine = machine(&opened);
        let log = &mut opened.log_store;
        log.save_vote(&vote(7)).await.unwrap();
        // Sizes around the bounds of a chunk in sled.
        let sizes = [0, 100, 4_000, 4_060, 4_094, 4_096, 4_100, 8_190, 8_200, 40_000, 100_000];
        let entries: Vec<_> = (0..).zip(sizes).map(|(index, bytes)| padding(7, index, bytes)).collect();
        append_durably(log, entries.clone()).await.unwrap();
        log.save_committed(Some(log_id(7, 9))).await.unwrap();
        apply(&mut machine, entries[..4].to_vec()).await;
        machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
        log.purge(log_id(7, 3)).await.unwrap();
        opened.closer.close().await;

        let mut opened = engine.open(directory.path()).unwrap();
        let log = &mut opened.log_store;
        let state = log.get_log_state().await.unwrap();
        assert_eq!(state.last_purged_log_id, Some(log_id(7, 3)), "{engine:?}");
        assert_eq!(state.last_log_id, Some(log_id(7, 10)), "{engine:?}");
        assert_eq!(log.read_committed().await.unwrap(), Some(log_id(7, 9)), "{engine:?}");
        let mut reader = log.get_log_reader().await;
        assert_eq!(reader.read_vote().await.unwrap(), Some(vote(7)), "{engine:?}");
        assert_eq!(reader.try_get_log_entries(0..100).await.unwrap(), entries[4..], "{engine:?}");
        opened.closer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_were_truncated_stay_away_after_a_restart() {
    for engine in Engine::all() {
        let directory = temp_dir();
        let mut opened = engine.open(directory.path()).unwrap();
        let log = &mut opened.log_store;
        append_durably(log, (0..10).map(|index| padding(1, index, 9_000)).collect()).await.unwrap();
        log.truncate_after(Some(log_id(1, 4))).await.unwrap();
        append_durably(log, vec![padding(2, 5, 10)]).await.unwrap();
        opened.closer.close().await;

        let mut opened = engine.open(directory.path()).unwrap();
        let mut reader = opened.log_store.get_log_reader().await;
        let entries = reader.try_get_log_entries(..).await.unwrap();
        assert_eq!(entries.len(), 6, "{engine:?}");
        assert_eq!(entries[5], padding(2, 5, 10), "{engine:?}");
        opened.log_store.truncate_after(None).await.unwrap();
        opened.closer.close().await;

        let mut opened = engine.open(directory.path()).unwrap();
        assert_eq!(opened.log_store.get_log_state().await.unwrap().last_log_id, None, "{engine:?}");
        opened.closer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_beyond_the_log_leaves_room_for_what_follows() {
    for engine in Engine::all() {
        let directory = temp_dir();
        let mut opened = engine.open(directory.path()).unwrap();
        let mut source = machine(&opened);
        append_durably(&mut opened.log_store, (0..700).map(|index| padding(1, index, 10)).collect())
            .await
            .unwrap();
        apply(&mut source, vec![namespace(1, 5_000, "far-ahead")]).await;
        source.get_snapshot_builder().await.build_snapshot().await.unwrap();
        opened.log_store.purge(log_id(1, 5_000)).await.unwrap();
        append_durably(&mut opened.log_store, vec![padding(1, 5_001, 10)]).await.unwrap();
        opened.closer.close().await;

        let mut opened = engine.open(directory.path()).unwrap();
        let entries = opened.log_store.get_log_reader().await.try_get_log_entries(..).await.unwrap();
        assert_eq!(entries, [padding(1, 5_001, 10)], "{engine:?}");
        opened.closer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_entry_of_sled_s_lies_in_a_file_that_it_does_not_sync() {
    let directory = temp_dir();
    let mut opened = Engine::Disk(StoreKind::Sled).open(directory.path()).unwrap();
    let entries = (0..200).map(|index| padding(1, index, usize::try_from(index).unwrap() * 1_000)).collect();
    append_durably(&mut opened.log_store, entries).await.unwrap();
    opened.closer.close().await;
    let blobs = fs::read_dir(directory.path().join("sled/blobs")).unwrap().count();
    assert_eq!(blobs, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_opens_once_at_a_time_and_with_its_own_engine() {
    for (own, other) in [(StoreKind::Sled, StoreKind::Redb), (StoreKind::Redb, StoreKind::Sled)] {
        let directory = temp_dir();
        let opened = Engine::Disk(own).open(directory.path()).unwrap();
        let second = Engine::Disk(own).open(directory.path()).err().unwrap().to_string();
        assert!(second.contains("another process has it open"), "{second}");
        opened.closer.close().await;

        let foreign = Engine::Disk(other).open(directory.path()).err().unwrap().to_string();
        assert!(foreign.contains("was made by the engine"), "{foreign}");
        let again = Engine::Disk(own).open(directory.path()).unwrap();
        again.closer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_store_is_put_aside_and_never_replaced_by_an_empty_one() {
    for (kind, file) in [(StoreKind::Sled, "sled/db"), (StoreKind::Redb, "redb/log.redb")] {
        let directory = temp_dir();
        let mut opened = Engine::Disk(kind).open(directory.path()).unwrap();
        append_durably(&mut opened.log_store, (0..2_000).map(|index| padding(1, index, 300)).collect())
            .await
            .unwrap();
        opened.closer.close().await;
        let path = directory.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
        fs::write(&path, bytes).unwrap();

        for attempt in ["first", "second"] {
            let error = Engine::Disk(kind).open(directory.path()).err().unwrap().to_string();
            assert!(error.contains("put aside"), "{attempt} attempt of {kind:?}: {error}");
            assert!(error.contains("new member id"), "{attempt} attempt of {kind:?}: {error}");
        }
        assert!(directory.path().join("damaged-1").join(file).exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_vanished_is_not_begun_anew() {
    let directory = temp_dir();
    Engine::Disk(StoreKind::Sled).open(directory.path()).unwrap().closer.close().await;
    fs::remove_dir_all(directory.path().join("sled")).unwrap();
    let error = Engine::Disk(StoreKind::Sled).open(directory.path()).err().unwrap().to_string();
    assert!(error.contains("is missing"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_that_was_cut_short_begins_anew() {
    for (kind, name) in [(StoreKind::Sled, "sled"), (StoreKind::Redb, "redb")] {
        let directory = temp_dir();
        let manifest = format!(r#"{{"format":1,"engine":"{name}","complete":false,"opens":0}}"#);
        fs::write(directory.path().join("store.json"), manifest).unwrap();
        fs::create_dir(directory.path().join(name)).unwrap();
        fs::write(directory.path().join(name).join("db"), b"half").unwrap();
        fs::write(directory.path().join(name).join("log.redb"), b"half").unwrap();
        let opened = Engine::Disk(kind).open(directory.path()).unwrap();
        opened.closer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_written_snapshot_of_sled_s_own_is_removed_before_it_opens() {
    let directory = temp_dir();
    let engine = Engine::Disk(StoreKind::Sled);
    engine.open(directory.path()).unwrap().closer.close().await;
    let leftover = directory.path().join("sled/snap.0000000000000007.generating");
    fs::write(&leftover, b"half").unwrap();
    engine.open(directory.path()).unwrap().closer.close().await;
    assert!(!leftover.exists());
}
