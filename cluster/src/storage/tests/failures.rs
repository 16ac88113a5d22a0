//! One sync serves many writes; nothing is acknowledged before it, and nothing after one failed.

use std::time::Duration;

use openraft::RaftLogReader;
use openraft::storage::RaftLogStorage;
use openraft::vote::RaftVote;

use super::super::memory::MemoryDisk;
use super::fixtures::{Engine, append_durably, callback, log_id, padding, temp_dir};
use crate::raft::types::TypeConfig;

type Vote = openraft::alias::VoteOf<TypeConfig>;

fn vote(term: u64) -> Vote {
    Vote::from_leader_id(openraft::impls::leader_id_adv::LeaderId { term, node_id: 2 }, false)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_together_is_synced_together_and_answered_in_order() {
    let disk = MemoryDisk::default();
    let directory = temp_dir();
    let mut opened = Engine::Memory(disk.clone()).open(directory.path()).unwrap();
    let log = &mut opened.log_store;

    disk.hold();
    let (flushed, first) = callback();
    log.append(vec![padding(1, 0, 10)], flushed).await.unwrap();
    while opened.stats.log_entries() == 0 || opened.stats.syncs() != 0 {
        tokio::task::yield_now().await;
    }
    let mut waiting = Vec::new();
    for index in 1..=64 {
        let (flushed, durable) = callback();
        log.append(vec![padding(1, index, 10)], flushed).await.unwrap();
        waiting.push(durable);
    }
    let read = log.get_log_reader().await.try_get_log_entries(0..65).await.unwrap();
    assert_eq!(read.len(), 65, "entries are readable before they are durable");
    for durable in &mut waiting {
        assert!(durable.try_recv().is_err(), "acknowledged before the sync");
    }
    disk.release();
    first.await.unwrap().unwrap();
    for durable in waiting {
        durable.await.unwrap().unwrap();
    }
    assert!(disk.syncs() <= 3, "{} syncs for 65 appends", disk.syncs());
    assert_eq!(opened.stats.appended_entries(), 65);
    opened.closer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_sync_nothing_is_acknowledged_any_more() {
    let disk = MemoryDisk::default();
    let directory = temp_dir();
    let mut opened = Engine::Memory(disk.clone()).open(directory.path()).unwrap();
    let log = &mut opened.log_store;
    append_durably(log, vec![padding(1, 0, 10)]).await.unwrap();

    disk.fail_after_syncs(0);
    assert!(append_durably(log, vec![padding(1, 1, 10)]).await.is_err());
    assert!(append_durably(log, vec![padding(1, 2, 10)]).await.is_err());
    assert!(log.save_vote(&vote(3)).await.is_err());
    assert!(log.truncate_after(None).await.is_err());
    assert!(log.purge(log_id(1, 0)).await.is_err());
    assert_eq!(log.get_log_reader().await.read_vote().await.unwrap(), None);
    let reason = tokio::time::timeout(Duration::from_secs(10), opened.failure.wait()).await.unwrap();
    assert!(reason.contains("told to fail"), "{reason}");

    disk.crash();
    let mut opened = Engine::Memory(disk.clone()).open(directory.path()).unwrap();
    assert_eq!(opened.log_store.get_log_state().await.unwrap().last_log_id, Some(log_id(1, 0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_the_engine_is_a_failure_and_answers_everybody() {
    let disk = MemoryDisk::default();
    let directory = temp_dir();
    let mut opened = Engine::Memory(disk.clone()).open(directory.path()).unwrap();
    disk.panic_at_append();
    let outcome = append_durably(&mut opened.log_store, vec![padding(1, 0, 10)]).await;
    assert!(outcome.unwrap_err().to_string().contains("panicked"));
    assert!(opened.log_store.save_vote(&vote(3)).await.is_err());
    opened.closer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_is_durable_when_it_is_saved_and_the_committed_id_soon_after() {
    let disk = MemoryDisk::default();
    let directory = temp_dir();
    let mut opened = Engine::Memory(disk.clone()).open(directory.path()).unwrap();
    append_durably(&mut opened.log_store, vec![padding(1, 0, 10), padding(1, 1, 10)]).await.unwrap();
    opened.log_store.save_vote(&vote(9)).await.unwrap();
    opened.log_store.save_committed(Some(log_id(1, 1))).await.unwrap();
    let syncs = disk.syncs();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while disk.syncs() == syncs {
        assert!(tokio::time::Instant::now() < deadline, "the committed id of an idle store stays in memory");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    disk.crash();
    let mut again = Engine::Memory(disk).open(directory.path()).unwrap();
    assert_eq!(again.log_store.get_log_reader().await.read_vote().await.unwrap(), Some(vote(9)));
    assert_eq!(again.log_store.read_committed().await.unwrap(), Some(log_id(1, 1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_to_a_follower_is_bounded_by_bytes_but_never_empty() {
    let directory = temp_dir();
    let mut opened = Engine::memory().open(directory.path()).unwrap();
    let entries = (0..8).map(|index| padding(1, index, 400_000)).collect();
    append_durably(&mut opened.log_store, entries).await.unwrap();
    append_durably(&mut opened.log_store, vec![padding(1, 8, 2_000_000)]).await.unwrap();
    let mut reader = opened.log_store.get_log_reader().await;
    assert_eq!(reader.limited_get_log_entries(0, 9).await.unwrap().len(), 2);
    assert_eq!(reader.limited_get_log_entries(8, 9).await.unwrap().len(), 1);
}
