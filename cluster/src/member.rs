//! One member, as the rest of the program sees it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kenger_state::{Command, Output, State};
use kenger_types::api::NodeAddress;
use kenger_types::cluster::ClusterStatus;
use kenger_types::{ClusterId, MemberId, NodeId, NodeStatus, Revision};
use serde::{Deserialize, Serialize};
use tokio::sync::{OnceCell, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::{MemberConfig, StaticMember};
use crate::env::{Env, Listener};
use crate::error::{MembershipError, ProposeError, ReadError, StartError};
use crate::failure::Failure;
use crate::feed::{FeedFilter, Hub, Subscription};
use crate::handover::hand_over;
use crate::identity::LocalIdentity;
use crate::leadership::{Leadership, LeadershipChanges, Observer, Route};
use crate::lease::Keeper;
use crate::membership::Membership;
use crate::proposer::Proposer;
use crate::raft::Raft;
use crate::raft::machine::{MachineStats, StateHandle};
use crate::reader::Reader;
use crate::stats::MemberStats;
use crate::status::Reporter;
use crate::storage::{StorageStats, StoreCloser};
use crate::transport::{Peers, Purpose, Request, Response};

mod start;

/// How long a stopping leader waits for the writes that are under way before it hands over the lead;
/// they go on after that, too.
const DRAIN_BEFORE_HANDOVER: Duration = Duration::from_millis(500);

/// How long Raft and the store may take to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A running member. Clones are handles to the same one.
#[derive(Clone)]
pub struct Member(Arc<Inner>);

struct Inner {
    config: MemberConfig,
    env: Env,
    identity: Arc<LocalIdentity>,
    raft: Raft,
    state: StateHandle,
    hub: Arc<Hub>,
    observer: Observer,
    changes: Arc<LeadershipChanges>,
    proposer: Arc<Proposer>,
    reader: Arc<Reader>,
    keeper: Arc<Keeper>,
    reporter: Arc<Reporter>,
    peers: Peers,
    machine_stats: Arc<MachineStats>,
    storage_stats: Arc<StorageStats>,
    closer: StoreCloser,
    failure: Arc<Failure>,
    /// Nothing new is taken on once it is cancelled.
    stopping: CancellationToken,
    /// Ends the connections and the background tasks.
    stop: CancellationToken,
    stopped: OnceCell<()>,
}

/// A command that is durable on a majority and applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// The revision after the command.
    pub revision: Revision,
    /// What it answers.
    pub output: Output,
}

/// What a heartbeat did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeartbeatOutcome {
    /// Heard; the leader has it.
    Alive {
        /// Online: a heartbeat brings a node back.
        status: NodeStatus,
        /// Within this many seconds the next one must come.
        ttl_seconds: u32,
    },
    /// No such node.
    NotFound,
}

impl Member {
    /// Opens the data directory, starts Raft and serves the other members on `listener`. Returns
    /// when the state has been recovered as far as this member alone can tell; a leader may not be
    /// known yet. On the very first start the cluster forms in the background; what goes wrong there
    /// is told by [`Member::failed`].
    ///
    /// # Errors
    /// The data directory, the store or the member's identity is not usable.
    pub async fn start(
        config: MemberConfig,
        env: Env,
        listener: Box<dyn Listener>,
    ) -> Result<Member, StartError> {
        start::start(config, env, listener).await.map(|inner| Member(Arc::new(inner)))
    }

    /// This member's id.
    pub fn id(&self) -> MemberId {
        self.0.identity.member()
    }

    /// The cluster's id; `None` until the cluster has been started for the first time.
    pub fn cluster_id(&self) -> Option<ClusterId> {
        self.0.identity.cluster()
    }

    /// What this member has applied. Not linearizable by itself: see [`Member::read_barrier`].
    pub fn state(&self) -> Arc<State> {
        self.0.state.load()
    }

    /// Who leads, as far as this member knows. A member that has been restarted names no leader
    /// before it has applied again what it had applied before.
    pub fn leadership(&self) -> Leadership {
        self.0.observer.leadership()
    }

    /// Changes whenever another member leads, or none, or this one begins or ceases to. `lag` is as
    /// of the last look, at most a heartbeat interval old; [`Member::leadership`] has it exactly.
    pub fn leadership_changes(&self) -> watch::Receiver<Leadership> {
        self.0.changes.subscribe()
    }

    /// Whether a leader is known and this member has applied about all that is committed.
    pub fn is_ready(&self) -> bool {
        self.leadership().leader.is_some() && self.0.observer.is_caught_up()
    }

    /// Waits until [`Member::state`] includes everything that was acknowledged anywhere before this
    /// call (Raft's ReadIndex; a follower asks the leader for the index).
    ///
    /// # Errors
    /// No leader, no quorum, or this member did not catch up in time.
    pub async fn read_barrier(&self) -> Result<(), ReadError> {
        if self.0.stopping.is_cancelled() {
            return Err(ReadError::Stopping);
        }
        self.0.reader.barrier().await
    }

    /// Carries out a command, on this member or by one hop to the leader. Never retried after it
    /// may have been applied.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose(&self, command: Command) -> Result<Committed, ProposeError> {
        self.0.proposer.propose(command).await
    }

    /// Hands heartbeats to the leader; answers, in the order of `nodes`, when the leader has them.
    ///
    /// # Errors
    /// No leader that a quorum has answered lately: nothing was taken.
    pub async fn heartbeat(&self, nodes: Vec<NodeAddress>) -> Result<Vec<HeartbeatOutcome>, ReadError> {
        if self.0.stopping.is_cancelled() {
            return Err(ReadError::Stopping);
        }
        self.0.keeper.heartbeat(nodes).await
    }

    /// When the leader last heard from nodes, in milliseconds since 1970, by node; for people. Nodes
    /// that it has not heard from since it began to lead are absent.
    ///
    /// # Errors
    /// No leader answered.
    pub async fn last_heard(&self, filter: &FeedFilter) -> Result<HashMap<NodeId, u64>, ReadError> {
        let leader = match self.0.observer.route() {
            Route::Here => return self.0.keeper.last_heard(filter),
            Route::To(leader) => leader,
            Route::Nowhere(reason) => return Err(ReadError::NoLeader(reason.to_owned())),
        };
        let request = Request::LastHeard(filter.wanted().cloned().collect());
        let limit = self.0.config.timing.election_timeout_max;
        match self.0.peers.call(&leader, Purpose::Lease, &request, limit).await {
            Ok(Response::LastHeard(answer)) => answer.map(|heard| heard.into_iter().collect()),
            Ok(other) => Err(ReadError::NoLeader(format!("the leader answered with {}", other.name()))),
            Err(error) => Err(ReadError::NoLeader(error.to_string())),
        }
    }

    /// Subscribes to the feed of this member. `after` is the last revision that the subscriber has;
    /// without one it begins with a snapshot. See [`Subscription`].
    ///
    /// An `after` beyond [`Member::state`]'s revision gets a snapshot, too, because it may be of
    /// another history; it may also be that this member lags behind. So make a
    /// [`Member::read_barrier`] first when a subscriber resumes, except for a stale read.
    pub fn subscribe(&self, after: Option<Revision>, filter: FeedFilter) -> Subscription {
        self.0.hub.subscribe(after, filter)
    }

    /// Adds a member that follows and does not vote. It runs already, with an empty data directory and a
    /// member list that names the members of this cluster. Done again, it does nothing.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn add_learner(&self, member: &StaticMember) -> Result<(), MembershipError> {
        self.0.membership().add_learner(member).await
    }

    /// Lets a member vote that was added and has caught up.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn promote(&self, id: MemberId) -> Result<(), MembershipError> {
        self.0.membership().promote(id).await
    }

    /// Removes a member, for good: its id does not come back with this data directory or another one
    /// unless it is added again.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn remove(&self, id: MemberId) -> Result<(), MembershipError> {
        self.0.membership().remove(id).await
    }

    /// The cluster as this member sees it; asks the other members for what only they know.
    pub async fn cluster_status(&self) -> ClusterStatus {
        self.0.reporter.cluster().await
    }

    /// Numbers for metrics. Cheap.
    pub fn stats(&self) -> MemberStats {
        self.0.stats()
    }

    /// Stops: hands over the lead if it has it, finishes what is in flight, closes the store. Every
    /// caller waits until it is done.
    pub async fn shutdown(&self) {
        self.0.stopped.get_or_init(|| self.0.shutdown()).await;
    }

    /// Completes when the member can no longer go on (for instance after a failed sync), with the
    /// reason. The process has to end then.
    pub async fn failed(&self) -> String {
        self.0.failure.wait().await
    }
}

impl Inner {
    fn membership(&self) -> Membership<'_> {
        Membership { config: &self.config, identity: &self.identity, raft: &self.raft, peers: &self.peers }
    }

    async fn shutdown(&self) {
        self.stopping.cancel();
        // No heartbeat is acknowledged from here on that the next leader would not know of.
        self.observer.step_down();
        let _paused = self.keeper.pause();
        let _ = timeout(DRAIN_BEFORE_HANDOVER, self.proposer.drained()).await;
        if !hand_over(&self.raft, &self.peers, &self.config.timing).await {
            tracing::warn!("nobody took over the lead; the others will elect a leader");
        }
        let _ = timeout(self.config.timing.commit_timeout, self.proposer.drained()).await;
        self.hub.close();
        if !matches!(timeout(CLOSE_TIMEOUT, self.raft.shutdown()).await, Ok(Ok(()))) {
            tracing::warn!("Raft did not end cleanly");
        }
        self.stop.cancel();
        if timeout(CLOSE_TIMEOUT, self.closer.close()).await.is_err() {
            tracing::warn!("the store did not close in time; nothing that was acknowledged is lost");
        }
    }

    fn stats(&self) -> MemberStats {
        let metrics = self.observer.metrics();
        let state = self.state.load();
        let (nodes, nodes_online) = state.total_counts();
        let storage = &self.storage_stats;
        let machine = &self.machine_stats;
        MemberStats {
            term: metrics.current_term,
            is_leader: self.observer.lead().is_some(),
            is_caught_up: self.observer.is_caught_up(),
            last_log_index: metrics.last_log_index.unwrap_or_default(),
            committed_index: metrics.cluster_committed.map_or(0, |log_id| log_id.index()),
            applied_index: machine.applied_index(),
            snapshot_index: metrics.snapshot.map_or(0, |log_id| log_id.index()),
            purged_index: metrics.purged.map_or(0, |log_id| log_id.index()),
            revision: state.revision(),
            nodes,
            nodes_online,
            log_entries: storage.log_entries(),
            log_bytes: storage.log_bytes(),
            syncs_total: storage.syncs(),
            sync_time: storage.sync_time(),
            appended_entries_total: storage.appended_entries(),
            appended_bytes_total: storage.appended_bytes(),
            snapshots_total: machine.snapshots(),
            snapshot_age: self.env.now().saturating_duration_since(machine.last_snapshot_at()),
            proposals_in_flight: self.proposer.in_flight(),
            proposals_unknown_total: self.proposer.unknown_total(),
            feed: self.hub.stats(),
            leases: self.keeper.stats(),
        }
    }
}

impl Drop for Inner {
    /// A member that nobody holds any more does nothing in the background.
    fn drop(&mut self) {
        self.stopping.cancel();
        self.stop.cancel();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let raft = self.raft.clone();
            runtime.spawn(async move { raft.shutdown().await });
        }
    }
}
