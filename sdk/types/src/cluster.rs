//! What members say about themselves: `GET /api/cluster/status`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ClusterId, MemberId, Revision};

/// Where a member's HTTP API is found.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MemberAddress {
    /// Which member.
    pub id: MemberId,
    /// `host:port` of its HTTP API, as the other members know it.
    pub api: String,
}

/// What a member is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberRole {
    /// Orders the writes and keeps the leases.
    Leader,
    /// Follows a leader.
    Follower,
    /// Asks to lead.
    Candidate,
    /// Follows without a vote.
    Learner,
    /// Did not answer the member that was asked.
    Unreachable,
}

impl fmt::Display for MemberRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            MemberRole::Leader => "leader",
            MemberRole::Follower => "follower",
            MemberRole::Candidate => "candidate",
            MemberRole::Learner => "learner",
            MemberRole::Unreachable => "unreachable",
        })
    }
}

/// The cluster as one member sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Absent until the cluster has been started for the first time.
    pub cluster_id: Option<ClusterId>,
    /// Who answered.
    pub member_id: MemberId,
    /// Who leads, if anyone is known to.
    pub leader_id: Option<MemberId>,
    /// Raft's term.
    pub term: u64,
    /// The answering member's applied revision.
    pub revision: Revision,
    /// All members, by id.
    pub members: Vec<MemberStatus>,
}

/// One member. What an unreachable member would have to tell is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Which.
    pub id: MemberId,
    /// At the moment.
    pub role: MemberRole,
    /// Whether it counts towards a quorum.
    pub voter: bool,
    /// `host:port` of its HTTP API.
    pub api: String,
    /// `host:port` for the other members.
    pub peer: String,
    /// Raft's term as it knows it.
    pub term: Option<u64>,
    /// Last log index that it has stored.
    pub last_log_index: Option<u64>,
    /// Last log index that it has applied.
    pub applied_index: Option<u64>,
    /// How many applied entries it is behind the leader.
    pub lag: Option<u64>,
    /// Its applied revision.
    pub revision: Option<Revision>,
    /// Bytes in its data directory.
    pub disk_bytes: Option<u64>,
    /// Seconds since its process started.
    pub uptime_seconds: Option<u64>,
    /// Version of its program.
    pub version: Option<String>,
}
