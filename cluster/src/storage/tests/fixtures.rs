//! Stores, machines and entries for the tests of this directory.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use kenger_state::{Applied, Command, Proposal, Seen, State};
use kenger_types::{NodeId, Revision};
use openraft::EntryPayload;
use openraft::alias::EntryOf;
use openraft::impls::leader_id_adv::LeaderId;
use openraft::storage::{IOFlushed, RaftLogStorage, RaftStateMachine};
use tempfile::TempDir;

use super::super::memory::MemoryDisk;
use super::super::open::assemble;
use super::super::recovery::recover;
use super::super::tail::{Entry, LogId};
use super::super::{ApplySink, LogEngine, Opened, Snapshots, StoreOptions, open};
use crate::config::StoreKind;
use crate::env::Storage;
use crate::error::StartError;
use crate::raft::machine::Machine;
use crate::raft::types::TypeConfig;

/// An engine that a test runs on.
#[derive(Debug, Clone)]
pub(super) enum Engine {
    Disk(StoreKind),
    Memory(MemoryDisk),
}

impl Engine {
    pub(super) fn memory() -> Self {
        Engine::Memory(MemoryDisk::default())
    }

    /// One of each, all new.
    pub(super) fn all() -> [Engine; 3] {
        [Engine::Disk(StoreKind::Sled), Engine::Disk(StoreKind::Redb), Engine::memory()]
    }

    /// Opens the store in `directory`.
    pub(super) fn open(&self, directory: &Path) -> Result<Opened, StartError> {
        match self {
            Engine::Disk(kind) => {
                open(&StoreOptions { data_dir: directory.to_owned(), kind: *kind }, &Storage::native())
            }
            Engine::Memory(disk) => open_memory(disk, directory),
        }
    }
}

fn open_memory(disk: &MemoryDisk, directory: &Path) -> Result<Opened, StartError> {
    let engine: Box<dyn LogEngine> = Box::new(disk.engine());
    let store = |error: io::Error| StartError::Store(error.to_string());
    let recovered = recover(&*engine).map_err(store)?;
    let snapshots = directory.join("snapshots");
    let storage = Storage::native();
    let current = Snapshots::load(&*storage.disk, &snapshots, recovered.snapshot.as_ref()).map_err(store)?;
    assemble(engine, recovered, None, &storage, |parts| {
        Snapshots::new(storage.clone(), snapshots, current, parts.writer.clone(), parts.failure.clone())
    })
}

pub(super) fn temp_dir() -> TempDir {
    TempDir::with_prefix("kenger-storage-").unwrap()
}

/// Remembers what it was told.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) told: Mutex<Vec<Told>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    Applied(Revision),
    Replaced(Revision),
}

impl ApplySink for Heard {
    fn applied(&self, state: &Arc<State>, applied: &mut Applied) {
        assert_eq!(state.revision(), applied.revision);
        self.told.lock().unwrap().push(Told::Applied(applied.revision));
    }

    fn replaced(&self, state: &Arc<State>) {
        self.told.lock().unwrap().push(Told::Replaced(state.revision()));
    }
}

pub(super) fn machine(opened: &Opened) -> Machine {
    machine_with(opened, Arc::new(Heard::default()))
}

pub(super) fn machine_with(opened: &Opened, heard: Arc<Heard>) -> Machine {
    Machine::new(opened.snapshots.clone(), Arc::clone(&opened.stats), heard).unwrap()
}

pub(super) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(LeaderId { term, node_id: 1 }, index)
}

/// An entry that changes nothing, of about `bytes` bytes.
pub(super) fn padding(term: u64, index: u64, bytes: usize) -> Entry {
    let mut seed = fastrand::Rng::with_seed(index ^ term.rotate_left(32));
    let seen = Seen { id: NodeId(u64::MAX), epoch: u64::MAX };
    let mut offline = vec![seen; bytes / 18];
    for seen in &mut offline {
        seen.epoch = seed.u64((1 << 40)..);
    }
    normal(term, index, Command::Expire { offline, delete: Vec::new() })
}

/// An entry that makes a namespace.
pub(super) fn namespace(term: u64, index: u64, name: &str) -> Entry {
    let command = Command::AddNamespace {
        name: name.parse().unwrap(),
        description: "made by a test".parse().unwrap(),
        health_path: "/healthz".parse().unwrap(),
    };
    normal(term, index, command)
}

pub(super) fn normal(term: u64, index: u64, command: Command) -> Entry {
    let proposal = Proposal { proposed_at_ms: 1_700_000_000_000 + index, command };
    EntryOf::<TypeConfig> { log_id: log_id(term, index), payload: EntryPayload::Normal(proposal) }
}

/// Appends and waits until the entries are durable.
pub(super) async fn append_durably(
    log_store: &mut impl RaftLogStorage<TypeConfig>,
    entries: Vec<Entry>,
) -> io::Result<()> {
    let (flushed, durable) = callback();
    log_store.append(entries, flushed).await?;
    durable.await.unwrap_or_else(|_| Err(io::Error::other("the callback was dropped")))
}

pub(super) type Durable = tokio::sync::oneshot::Receiver<io::Result<()>>;

/// A callback for `append`, and what completes when it is called.
pub(super) fn callback() -> (IOFlushed<TypeConfig>, Durable) {
    use openraft::type_config::TypeConfigExt;
    let (flushed, durable) = <TypeConfig as TypeConfigExt>::oneshot();
    (IOFlushed::signal(flushed), durable)
}

/// Applies entries, as Raft does on a follower.
pub(super) async fn apply(machine: &mut Machine, entries: Vec<Entry>) {
    let items = entries.into_iter().map(|entry| Ok((entry, None)));
    machine.apply(futures_util::stream::iter(items)).await.unwrap();
}
