//! The state machine that Raft applies committed entries to.
//!
//! After each entry the new state is published, then told to the sink (feed and leases), then the
//! proposer is answered: whoever has an answer also finds its effect in the published state.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use futures_util::{Stream, TryStreamExt};
use kenger_mutant::{self as mutant, Mutant};
use kenger_state::{Applied, Proposal, State};
use openraft::alias::{LogIdOf, SnapshotOf, StoredMembershipOf};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot};
use tokio::time::Instant;

use super::types::{Reply, TypeConfig};
use crate::error::StartError;
use crate::storage::{ApplySink, SnapshotFile, SnapshotMeta, Snapshots, StorageStats};

type LogId = LogIdOf<TypeConfig>;
type StoredMembership = StoredMembershipOf<TypeConfig>;

/// The state as of the last applied entry, for readers. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub(crate) struct StateHandle {
    published: Arc<ArcSwap<State>>,
}

impl StateHandle {
    /// The state as it is now.
    pub(crate) fn load(&self) -> Arc<State> {
        self.published.load_full()
    }
}

/// When the last snapshot was taken and what has happened since, for deciding when to take the next
/// one; and how far the machine is.
#[derive(Debug)]
pub(crate) struct MachineStats {
    storage: Arc<StorageStats>,
    applied_index: AtomicU64,
    applied_since_snapshot: AtomicU64,
    appended_bytes_at_snapshot: AtomicU64,
    snapshots: AtomicU64,
    last_snapshot_at: Mutex<Instant>,
}

impl MachineStats {
    fn new(storage: Arc<StorageStats>) -> Self {
        Self {
            storage,
            applied_index: AtomicU64::new(0),
            applied_since_snapshot: AtomicU64::new(0),
            appended_bytes_at_snapshot: AtomicU64::new(0),
            snapshots: AtomicU64::new(0),
            last_snapshot_at: Mutex::new(Instant::now()),
        }
    }

    /// Index of the last applied entry; 0 if there is none.
    pub(crate) fn applied_index(&self) -> u64 {
        self.applied_index.load(Ordering::Relaxed)
    }

    /// Entries applied since the last snapshot was begun.
    pub(crate) fn applied_since_snapshot(&self) -> u64 {
        self.applied_since_snapshot.load(Ordering::Relaxed)
    }

    /// Bytes of entries that were appended since the last snapshot was begun, or since the start.
    pub(crate) fn bytes_since_snapshot(&self) -> u64 {
        let at_snapshot = self.appended_bytes_at_snapshot.load(Ordering::Relaxed);
        self.storage.appended_bytes().saturating_sub(at_snapshot)
    }

    /// When the last snapshot was begun or installed; before the first one, the start.
    pub(crate) fn last_snapshot_at(&self) -> Instant {
        *self.lock_last_snapshot_at()
    }

    /// Snapshots built or installed since the start.
    pub(crate) fn snapshots(&self) -> u64 {
        self.snapshots.load(Ordering::Relaxed)
    }

    fn applied(&self, index: u64) {
        self.applied_index.store(index, Ordering::Relaxed);
        self.applied_since_snapshot.fetch_add(1, Ordering::Relaxed);
    }

    fn snapshot_begun(&self) {
        self.applied_since_snapshot.store(0, Ordering::Relaxed);
        self.appended_bytes_at_snapshot.store(self.storage.appended_bytes(), Ordering::Relaxed);
        *self.lock_last_snapshot_at() = Instant::now();
    }

    fn snapshot_done(&self) {
        self.snapshots.fetch_add(1, Ordering::Relaxed);
    }

    fn lock_last_snapshot_at(&self) -> MutexGuard<'_, Instant> {
        // A panic elsewhere leaves the value as it was.
        self.last_snapshot_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state machine, as Raft drives it.
pub(crate) struct Machine {
    state: Arc<State>,
    applied: Option<LogId>,
    membership: StoredMembership,
    published: Arc<ArcSwap<State>>,
    sink: Arc<dyn ApplySink>,
    snapshots: Snapshots,
    stats: Arc<MachineStats>,
}

impl Machine {
    /// A machine in the state of the current snapshot, or an empty one. Blocks while the snapshot is
    /// read. Raft applies the rest of the log.
    ///
    /// # Errors
    /// The snapshot cannot be read.
    pub(crate) fn new(
        snapshots: Snapshots,
        storage: Arc<StorageStats>,
        sink: Arc<dyn ApplySink>,
    ) -> Result<Self, StartError> {
        let current = snapshots.current();
        let (state, meta) = match current {
            Some(current) => {
                let state = current.file.state();
                let state = state.map_err(|error| StartError::Store(format!("the snapshot: {error}")))?;
                (state, current.meta)
            }
            None => (State::default(), SnapshotMeta::default()),
        };
        let state = Arc::new(state);
        let stats = Arc::new(MachineStats::new(storage));
        stats.applied_index.store(meta.last_log_id.map_or(0, |last| last.index()), Ordering::Relaxed);
        let machine = Self {
            published: Arc::new(ArcSwap::new(Arc::clone(&state))),
            state,
            applied: meta.last_log_id,
            membership: meta.last_membership,
            sink,
            snapshots,
            stats,
        };
        machine.sink.replaced(&machine.state);
        Ok(machine)
    }

    /// For readers of the state.
    pub(crate) fn state(&self) -> StateHandle {
        StateHandle { published: Arc::clone(&self.published) }
    }

    /// For metrics and for deciding when to take a snapshot.
    pub(crate) fn stats(&self) -> Arc<MachineStats> {
        Arc::clone(&self.stats)
    }

    /// What a proposal would come to if it were applied now.
    pub(crate) fn would_apply(&self, proposal: Proposal) -> impl Future<Output = Applied> + use<> {
        let mut state = State::clone(&self.state);
        async move { state.apply(&proposal) }
    }

    fn apply_entry(&mut self, log_id: LogId, payload: &EntryPayloadOf) -> Reply {
        let reply = match payload {
            EntryPayload::Blank => Reply::None,
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(log_id), membership.clone());
                Reply::None
            }
            EntryPayload::Normal(proposal) => {
                let mut state = State::clone(&self.state);
                if mutant::is(Mutant::ApplyTwice) {
                    state.apply(proposal);
                }
                let mut applied = state.apply(proposal);
                self.state = Arc::new(state);
                self.published.store(Arc::clone(&self.state));
                let reply = Reply::of(&applied);
                self.sink.applied(&self.state, &mut applied);
                reply
            }
        };
        self.applied = Some(log_id);
        self.stats.applied(log_id.index());
        reply
    }
}

type EntryPayloadOf = openraft::alias::EntryPayloadOf<TypeConfig>;

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<Entries>(&mut self, mut entries: Entries) -> Result<(), io::Error>
    where
        Entries: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let reply = self.apply_entry(entry.log_id, &entry.payload);
            if let Some(responder) = responder {
                responder.send(reply);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        let meta = SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() };
        self.stats.snapshot_begun();
        SnapshotBuilder {
            state: Arc::clone(&self.state),
            meta,
            snapshots: self.snapshots.clone(),
            stats: Arc::clone(&self.stats),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotFile,
    ) -> Result<(), io::Error> {
        let state = Arc::new(self.snapshots.install(meta, snapshot).await?);
        self.state = Arc::clone(&state);
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.published.store(Arc::clone(&state));
        self.stats.snapshot_begun();
        self.stats.snapshot_done();
        self.stats.applied_index.store(meta.last_log_id.map_or(0, |last| last.index()), Ordering::Relaxed);
        self.sink.replaced(&state);
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<TypeConfig, SnapshotFile>>, io::Error> {
        let current = self.snapshots.current();
        Ok(current.map(|current| Snapshot { meta: current.meta, snapshot: current.file }))
    }
}

/// The state as it was when a snapshot was asked for; entries go on being applied meanwhile.
pub(crate) struct SnapshotBuilder {
    state: Arc<State>,
    meta: SnapshotMeta,
    snapshots: Snapshots,
    stats: Arc<MachineStats>,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<TypeConfig, SnapshotFile>, io::Error> {
        let file = self.snapshots.write(self.meta.clone(), Arc::clone(&self.state)).await?;
        self.stats.snapshot_done();
        Ok(Snapshot { meta: self.meta.clone(), snapshot: file })
    }
}
