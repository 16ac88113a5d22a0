//! What members ask each other. Variants and fields are only ever added at the end.

use bytes::Bytes;
use kenger_state::Command;
use kenger_types::api::NodeAddress;
use kenger_types::cluster::MemberRole;
use kenger_types::{ClusterId, Incarnation, MemberId, NamespaceName, NodeId, Revision};
use openraft::alias::{SnapshotMetaOf, VoteOf};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize};

use super::Purpose;
use crate::error::{ProposeError, ReadError};
use crate::member::{Committed, HeartbeatOutcome};
use crate::raft::types::TypeConfig;

/// A question to another member.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Are you fresh, and do you hold the same member list? Before a cluster exists.
    Probe(Vec<ProbeMember>),
    /// Raft: entries, or a heartbeat.
    Append(AppendEntriesRequest<TypeConfig>),
    /// Raft: a candidate asks for the vote.
    Vote(VoteRequest<TypeConfig>),
    /// Raft: would you give your vote?
    PreVote(VoteRequest<TypeConfig>),
    /// Raft: the leader wants this member to lead.
    TransferLeader(TransferLeaderRequest<TypeConfig>),
    /// A snapshot begins; ends another one that was on its way on this connection.
    SnapshotBegin(SnapshotHead),
    /// The next piece of the snapshot that was begun on this connection.
    SnapshotChunk(SnapshotChunk),
    /// The snapshot is complete: install it.
    SnapshotFinish,
    /// Carry out a command as the leader. Whoever is not the leader refuses: the one hop is made.
    Propose(Command),
    /// Which index must be applied for a linearizable read? Only a leader answers.
    ReadIndex,
    /// Heartbeats of nodes, gathered by a follower. Only a leader takes them.
    Heartbeats(Vec<NodeAddress>),
    /// When were the nodes of these namespaces (none: all) last heard from? Only a leader answers.
    LastHeard(Vec<NamespaceName>),
    /// What are you at the moment?
    Status,
}

impl Request {
    /// The request's name, for logs.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Request::Probe(_) => "probe",
            Request::Append(_) => "append",
            Request::Vote(_) => "vote",
            Request::PreVote(_) => "pre-vote",
            Request::TransferLeader(_) => "transfer leader",
            Request::SnapshotBegin(_) => "snapshot begin",
            Request::SnapshotChunk(_) => "snapshot chunk",
            Request::SnapshotFinish => "snapshot finish",
            Request::Propose(_) => "propose",
            Request::ReadIndex => "read index",
            Request::Heartbeats(_) => "heartbeats",
            Request::LastHeard(_) => "last heard",
            Request::Status => "status",
        }
    }

    /// Whether a connection of this purpose may carry the request. A member that belongs to no
    /// cluster yet answers probes alone.
    pub(crate) const fn fits(&self, purpose: Purpose) -> bool {
        match self {
            Request::Probe(_) => matches!(purpose, Purpose::Probe),
            Request::Append(_) => matches!(purpose, Purpose::Control | Purpose::Log),
            Request::Vote(_) | Request::PreVote(_) | Request::TransferLeader(_) => {
                matches!(purpose, Purpose::Control)
            }
            Request::SnapshotBegin(_) | Request::SnapshotChunk(_) | Request::SnapshotFinish => {
                matches!(purpose, Purpose::Snapshot)
            }
            Request::Propose(_) | Request::ReadIndex | Request::Status => matches!(purpose, Purpose::Client),
            Request::Heartbeats(_) | Request::LastHeard(_) => matches!(purpose, Purpose::Lease),
        }
    }
}

/// The answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Response {
    /// The request was not acted on, and why.
    Refused(String),
    /// To [`Request::Probe`].
    Probe(ProbeAnswer),
    /// To [`Request::Append`].
    Append(AppendEntriesResponse<TypeConfig>),
    /// To [`Request::Vote`] and [`Request::PreVote`].
    Vote(VoteResponse<TypeConfig>),
    /// To [`Request::TransferLeader`].
    TransferLeader(TransferLeaderResponse<TypeConfig>),
    /// To [`Request::SnapshotBegin`] and [`Request::SnapshotChunk`]: send on.
    SnapshotContinue,
    /// To [`Request::SnapshotFinish`].
    SnapshotInstalled(SnapshotResponse<TypeConfig>),
    /// To [`Request::Propose`].
    Proposed(Result<Committed, ProposeError>),
    /// To [`Request::ReadIndex`].
    ReadIndex(Result<u64, ReadError>),
    /// To [`Request::Heartbeats`], in the same order.
    Heartbeats(Result<Vec<HeartbeatOutcome>, ReadError>),
    /// To [`Request::LastHeard`]: milliseconds since 1970, by node.
    LastHeard(Result<Vec<(NodeId, u64)>, ReadError>),
    /// To [`Request::Status`].
    Status(MemberReport),
}

impl Response {
    /// The answer's name, for logs.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Response::Refused(_) => "refusal",
            Response::Probe(_) => "probe",
            Response::Append(_) => "append",
            Response::Vote(_) => "vote",
            Response::TransferLeader(_) => "transfer leader",
            Response::SnapshotContinue => "snapshot continue",
            Response::SnapshotInstalled(_) => "snapshot installed",
            Response::Proposed(_) => "proposed",
            Response::ReadIndex(_) => "read index",
            Response::Heartbeats(_) => "heartbeats",
            Response::LastHeard(_) => "last heard",
            Response::Status(_) => "status",
        }
    }
}

/// One line of the static member list, as members compare it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ProbeMember {
    /// Which member.
    pub(crate) id: MemberId,
    /// `host:port` where the other members reach it.
    pub(crate) peer: String,
    /// `host:port` of its HTTP API.
    pub(crate) api: String,
}

/// What a probed member says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProbeAnswer {
    /// Its data directory.
    pub(crate) incarnation: Incarnation,
    /// The cluster that it belongs to, if any.
    pub(crate) cluster: Option<ClusterId>,
    /// Whether Raft has been initialized on it: it holds a membership.
    pub(crate) initialized: bool,
    /// Its static member list, by id.
    pub(crate) members: Vec<ProbeMember>,
}

/// What a member needs to know before it takes a snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SnapshotHead {
    /// The leader's vote.
    pub(crate) vote: VoteOf<TypeConfig>,
    /// What the snapshot includes.
    pub(crate) meta: SnapshotMetaOf<TypeConfig>,
    /// How many bytes will come.
    pub(crate) bytes: u64,
}

/// A piece of a snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SnapshotChunk {
    /// Where it belongs; pieces come in order.
    pub(crate) offset: u64,
    /// The piece itself.
    pub(crate) bytes: Bytes,
}

/// What a member knows about itself alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MemberReport {
    /// At the moment.
    pub(crate) role: MemberRole,
    /// Raft's term.
    pub(crate) term: u64,
    /// Last log index that it has stored.
    pub(crate) last_log_index: u64,
    /// Last log index that it has applied.
    pub(crate) applied_index: u64,
    /// Its applied revision.
    pub(crate) revision: Revision,
    /// Bytes in its data directory.
    pub(crate) disk_bytes: u64,
    /// Seconds since its process started.
    pub(crate) uptime_seconds: u64,
    /// Version of its program.
    pub(crate) version: String,
}
