//! One member, as the rest of the program sees it.

use std::sync::Arc;
use std::time::Duration;

use kenger_state::{Command, Output, State};
use kenger_types::api::NodeAddress;
use kenger_types::cluster::{ClusterStatus, MemberAddress};
use kenger_types::{ClusterId, MemberId, NodeId, NodeStatus, Revision};

use crate::config::MemberConfig;
use crate::env::{Env, Listener};
use crate::error::{ProposeError, ReadError, StartError};
use crate::feed::{FeedFilter, Subscription};

/// A running member. Clones are handles to the same one.
#[derive(Clone)]
pub struct Member {}

/// A command that is durable on a majority and applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The revision after the command.
    pub revision: Revision,
    /// What it answers.
    pub output: Output,
}

/// What a heartbeat did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Who leads, as far as a member knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    /// The leader, if one is known and has been heard from within the election timeout.
    pub leader: Option<MemberAddress>,
    /// Whether it is this member, with everything of earlier terms applied.
    pub is_leader: bool,
    /// How long ago this member last heard from the leader (0 on the leader itself).
    pub lag: Duration,
}

impl Member {
    /// Opens the data directory, starts Raft and serves the other members on `listener`. Returns
    /// when the state has been recovered; a leader may not be known yet.
    ///
    /// # Errors
    /// The data directory, the store or the member's identity is not usable.
    pub async fn start(
        _config: MemberConfig,
        _env: Env,
        _listener: Box<dyn Listener>,
    ) -> Result<Member, StartError> {
        unreachable!()
    }

    /// This member's id.
    pub fn id(&self) -> MemberId {
        unreachable!()
    }

    /// The cluster's id; `None` until the cluster has been started for the first time.
    pub fn cluster_id(&self) -> Option<ClusterId> {
        unreachable!()
    }

    /// What this member has applied. Not linearizable by itself: see [`Member::read_barrier`].
    pub fn state(&self) -> Arc<State> {
        unreachable!()
    }

    /// Who leads, as far as this member knows.
    pub fn leadership(&self) -> Leadership {
        unreachable!()
    }

    /// Waits until [`Member::state`] includes everything that was acknowledged anywhere before this
    /// call (Raft's ReadIndex; a follower asks the leader for the index).
    ///
    /// # Errors
    /// No leader, no quorum, or this member did not catch up in time.
    pub async fn read_barrier(&self) -> Result<(), ReadError> {
        unreachable!()
    }

    /// Carries out a command, on this member or by one hop to the leader. Never retried after it
    /// may have been applied.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose(&self, _command: Command) -> Result<Committed, ProposeError> {
        unreachable!()
    }

    /// Hands heartbeats to the leader; answers, in the order of `nodes`, when the leader has them.
    ///
    /// # Errors
    /// No leader that a quorum has answered lately: nothing was taken.
    pub async fn heartbeat(&self, _nodes: Vec<NodeAddress>) -> Result<Vec<HeartbeatOutcome>, ReadError> {
        unreachable!()
    }

    /// When the leader last heard from nodes, in milliseconds since 1970, by node; for people. Nodes
    /// that it has not heard from since it began to lead are absent.
    ///
    /// # Errors
    /// No leader answered.
    pub async fn last_heard(
        &self,
        _filter: &FeedFilter,
    ) -> Result<std::collections::HashMap<NodeId, u64>, ReadError> {
        unreachable!()
    }

    /// Subscribes to the feed of this member. `after` is the last revision that the subscriber has;
    /// without one it begins with a snapshot. See [`Subscription`].
    pub fn subscribe(&self, _after: Option<Revision>, _filter: FeedFilter) -> Subscription {
        unreachable!()
    }

    /// The cluster as this member sees it; asks the other members for what only they know.
    pub async fn cluster_status(&self) -> ClusterStatus {
        unreachable!()
    }

    /// Stops: hands over the lead if it has it, finishes what is in flight, closes the store.
    pub async fn shutdown(&self) {
        unreachable!()
    }

    /// Completes when the member can no longer go on (for instance after a failed sync), with the
    /// reason. The process has to end then.
    pub async fn failed(&self) -> String {
        unreachable!()
    }
}
