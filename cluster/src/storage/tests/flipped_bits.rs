//! A bit that turned over on the disk: the store holds all that it acknowledged, or it does not open. It
//! never holds less, or something else.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use openraft::RaftLogReader;
use openraft::storage::RaftLogStorage;
use openraft::vote::RaftVote;

use super::fixtures::{Engine, append_durably, log_id, padding, temp_dir};
use crate::config::StoreKind;
use crate::raft::types::TypeConfig;

type Vote = openraft::alias::VoteOf<TypeConfig>;

/// How many bits are turned over, one at a time.
const ROUNDS: u64 = 150;
const BATCHES: u64 = 40;
const BATCH_ENTRIES: u64 = 5;
const TERMS: u64 = 8;

fn vote(term: u64) -> Vote {
    Vote::from_leader_id(openraft::impls::leader_id_adv::LeaderId { term, node_id: 2 }, false)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let target = to.join(item.file_name());
        if item.file_type().unwrap().is_dir() {
            copy(&item.path(), &target);
        } else {
            fs::copy(item.path(), target).unwrap();
        }
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut items: Vec<_> = fs::read_dir(folder).unwrap().map(|item| item.unwrap().path()).collect();
    items.sort();
    for path in items {
        if path.is_dir() {
            files(&path, found);
        } else if fs::metadata(&path).unwrap().len() > 0 {
            found.push(path);
        }
    }
}

/// Turns one bit of a byte over that is not zero.
fn flip(folder: &Path, rng: &mut fastrand::Rng) -> String {
    let mut found = Vec::new();
    files(folder, &mut found);
    let path = &found[rng.usize(..found.len())];
    let bytes = fs::read(path).unwrap();
    let written: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let at = written[rng.usize(..written.len())];
    let file = fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(&[bytes[at] ^ (1 << rng.u32(..8))], at as u64).unwrap();
    format!("{} at {at} of {}", path.file_name().unwrap().display(), bytes.len())
}

async fn nothing_is_missing_without_a_word(kind: StoreKind) {
    let engine = Engine::Disk(kind);
    let (original, whole) = (temp_dir(), temp_dir());
    let mut opened = engine.open(original.path()).unwrap();
    let mut entries = Vec::new();
    for batch in 0..BATCHES {
        let term = 1 + batch * TERMS / BATCHES;
        opened.log_store.save_vote(&vote(term)).await.unwrap();
        let first = batch * BATCH_ENTRIES;
        let new: Vec<_> = (first..first + BATCH_ENTRIES).map(|index| padding(term, index, 300)).collect();
        append_durably(&mut opened.log_store, new.clone()).await.unwrap();
        entries.extend(new);
    }
    // As it is when the process is killed now.
    copy(original.path(), whole.path());
    opened.closer.close().await;

    let (mut refused, mut less) = (0, Vec::new());
    for round in 0..ROUNDS {
        let directory = temp_dir();
        copy(whole.path(), directory.path());
        let engine_files = directory.path().join(if kind == StoreKind::Sled { "sled" } else { "redb" });
        let what = flip(&engine_files, &mut fastrand::Rng::with_seed(round));
        let Ok(mut opened) = engine.open(directory.path()) else {
            refused += 1;
            continue;
        };
        let log = &mut opened.log_store;
        let last = log.get_log_state().await.unwrap().last_log_id;
        let mut reader = log.get_log_reader().await;
        let found = reader.try_get_log_entries(..).await.unwrap();
        let vote_found = reader.read_vote().await.unwrap();
        if last != Some(log_id(TERMS, BATCHES * BATCH_ENTRIES - 1))
            || found != entries
            || vote_found != Some(vote(TERMS))
        {
            less.push(format!(
                "round {round}, {what}: {} of {} entries, {vote_found:?}",
                found.len(),
                entries.len()
            ));
        }
        opened.closer.close().await;
    }
    println!("{kind:?}: of {ROUNDS} flips {refused} were refused, {} lost something", less.len());
    assert!(less.is_empty(), "opened with less than was acknowledged: {less:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sled_opens_with_all_that_was_acknowledged_or_not_at_all() {
    nothing_is_missing_without_a_word(StoreKind::Sled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redb_opens_with_all_that_was_acknowledged_or_not_at_all() {
    nothing_is_missing_without_a_word(StoreKind::Redb).await;
}
