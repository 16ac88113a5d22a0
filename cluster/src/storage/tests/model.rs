//! Random operations against a plain model, with restarts and crashes in between.

use std::collections::BTreeMap;

use openraft::storage::{RaftLogStorage, RaftStateMachine};
use openraft::vote::RaftVote;
use openraft::{RaftLogReader, RaftSnapshotBuilder};
use tempfile::TempDir;

use super::super::Opened;
use super::super::tail::Entry;
use super::fixtures::{Engine, append_durably, apply, log_id, machine, padding, temp_dir};
use crate::config::StoreKind;
use crate::raft::machine::Machine;
use crate::raft::types::TypeConfig;

type Vote = openraft::alias::VoteOf<TypeConfig>;

const RUNS: u64 = 12;
const STEPS: usize = 60;

/// What must be there.
#[derive(Default)]
struct Model {
    log: BTreeMap<u64, Entry>,
    term: u64,
    vote: Option<Vote>,
    purged: Option<u64>,
    purged_term: u64,
    applied: Option<u64>,
    snapshot: Option<u64>,
}

impl Model {
    fn next_index(&self) -> u64 {
        let purged = self.purged.map_or(0, |purged| purged + 1);
        self.log.last_key_value().map_or(purged, |(last, _)| last + 1)
    }
}

struct Run {
    seed: u64,
    random: fastrand::Rng,
    engine: Engine,
    directory: TempDir,
    opened: Opened,
    machine: Machine,
    model: Model,
}

impl Run {
    fn begin(engine: Engine, seed: u64) -> Self {
        let directory = temp_dir();
        let opened = engine.open(directory.path()).unwrap();
        let machine = machine(&opened);
        let random = fastrand::Rng::with_seed(seed);
        Self {
            seed,
            random,
            engine,
            directory,
            opened,
            machine,
            model: Model { term: 1, ..Model::default() },
        }
    }

    async fn step(&mut self) {
        match self.random.u32(..100) {
            0..45 => self.append().await,
            45..55 => self.truncate().await,
            55..65 => self.vote().await,
            65..75 => self.apply().await,
            75..82 => self.snapshot().await,
            82..90 => self.purge().await,
            _ => self.reopen().await,
        }
    }

    async fn append(&mut self) {
        let first = self.model.next_index();
        let count = self.random.u64(1..40);
        let term = self.model.term;
        let entries: Vec<_> = (first..first + count)
            .map(|index| {
                let large = self.random.u32(..10) == 0;
                padding(term, index, self.random.usize(..if large { 40_000 } else { 500 }))
            })
            .collect();
        self.model.log.extend(entries.iter().map(|entry| (entry.log_id.index(), entry.clone())));
        append_durably(&mut self.opened.log_store, entries).await.unwrap();
    }

    async fn truncate(&mut self) {
        let committed = self.model.applied.max(self.model.purged);
        let least = committed.map_or(0, |committed| committed + 1);
        let from = self.random.u64(least..=self.model.next_index().max(least));
        let after = from.checked_sub(1).map(|after| {
            let term = self.model.log.get(&after).map(|entry| entry.log_id.committed_leader_id().term);
            log_id(term.unwrap_or(self.model.purged_term), after)
        });
        self.model.log.split_off(&from);
        self.model.term += 1;
        self.opened.log_store.truncate_after(after).await.unwrap();
    }

    async fn vote(&mut self) {
        self.model.term += 1;
        let leader = openraft::impls::leader_id_adv::LeaderId { term: self.model.term, node_id: 1 };
        let vote = Vote::from_leader_id(leader, self.random.bool());
        self.opened.log_store.save_vote(&vote).await.unwrap();
        self.model.vote = Some(vote);
    }

    async fn apply(&mut self) {
        let first = self.model.applied.map_or(0, |applied| applied + 1);
        let Some((&last, _)) = self.model.log.last_key_value() else { return };
        if first > last {
            return;
        }
        let upto = self.random.u64(first..=last);
        let entries =
            self.opened.log_store.get_log_reader().await.try_get_log_entries(first..=upto).await.unwrap();
        apply(&mut self.machine, entries).await;
        self.model.applied = Some(upto);
    }

    async fn snapshot(&mut self) {
        self.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
        self.model.snapshot = self.model.applied;
    }

    async fn purge(&mut self) {
        let least = self.model.purged.map_or(0, |purged| purged + 1);
        let Some(most) = self.model.snapshot.filter(|most| *most >= least) else { return };
        let upto = self.random.u64(least..=most);
        let term = self.model.log[&upto].log_id.committed_leader_id().term;
        self.model.log = self.model.log.split_off(&(upto + 1));
        self.model.purged = Some(upto);
        self.model.purged_term = term;
        self.opened.log_store.purge(log_id(term, upto)).await.unwrap();
        if let Engine::Memory(_) = self.engine {
            // A purge is not waited for; a crash may bring the purged entries back.
            append_durably(&mut self.opened.log_store, Vec::new()).await.unwrap();
        }
    }

    async fn reopen(&mut self) {
        self.opened.closer.close().await;
        if let Engine::Memory(disk) = &self.engine {
            disk.crash();
        }
        self.opened = self.engine.open(self.directory.path()).unwrap();
        self.machine = machine(&self.opened);
        self.model.applied = self.model.snapshot;
        self.check().await;
    }

    async fn check(&mut self) {
        let seed = self.seed;
        let engine = &self.engine;
        let state = self.opened.log_store.get_log_state().await.unwrap();
        assert_eq!(
            state.last_purged_log_id.map(|id| id.index()),
            self.model.purged,
            "{engine:?} seed {seed}"
        );
        let mut reader = self.opened.log_store.get_log_reader().await;
        let entries = reader.try_get_log_entries(..).await.unwrap();
        let expected: Vec<_> = self.model.log.values().cloned().collect();
        assert_eq!(entries, expected, "{engine:?} seed {seed}");
        assert_eq!(reader.read_vote().await.unwrap(), self.model.vote, "{engine:?} seed {seed}");
        let (applied, _) = self.machine.applied_state().await.unwrap();
        assert_eq!(applied.map(|id| id.index()), self.model.applied, "{engine:?} seed {seed}");
        let bytes: u64 = entries
            .iter()
            .map(|entry| crate::codec::encode(crate::codec::Kind::LogEntry, entry).unwrap().len() as u64)
            .sum();
        assert_eq!(self.opened.stats.log_bytes(), bytes, "{engine:?} seed {seed}");
    }
}

async fn runs(engine: impl Fn() -> Engine) {
    for seed in 0..RUNS {
        let mut run = Run::begin(engine(), seed);
        for _ in 0..STEPS {
            run.step().await;
            run.check().await;
        }
        run.reopen().await;
        run.opened.closer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sled_holds_what_the_model_holds() {
    runs(|| Engine::Disk(StoreKind::Sled)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redb_holds_what_the_model_holds() {
    runs(|| Engine::Disk(StoreKind::Redb)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_engine_holds_what_the_model_holds_through_crashes() {
    runs(Engine::memory).await;
}
