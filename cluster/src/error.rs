//! What can go wrong at the door of this crate. Each says whether anything may have been done.
//!
//! Errors of writes and reads also travel between members: variants are only added at the end.

use std::path::PathBuf;

use kenger_state::Rejection;
use kenger_types::MemberId;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A command was not carried out, or it is not known whether it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum ProposeError {
    /// The state machine refused it: it is committed and changed nothing.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// No leader is known, or the leader has no quorum. Nothing was done.
    #[error("no leader: {0}; try again, or ask another member")]
    NoLeader(String),
    /// More proposals are under way than the member takes on. Nothing was done.
    #[error("{0} writes are under way already; try again later")]
    TooMany(usize),
    /// It was handed on and no answer came: it may have been done, or may yet be.
    #[error("the outcome is not known: {0}; read before you try again")]
    Unknown(String),
    /// The member is stopping. Nothing was done.
    #[error("the member is stopping; ask another one")]
    Stopping,
}

impl ProposeError {
    /// Whether nothing was done, so that the same command may be sent again.
    pub const fn is_retryable(&self) -> bool {
        match self {
            ProposeError::NoLeader(_) | ProposeError::TooMany(_) | ProposeError::Stopping => true,
            ProposeError::Rejected(_) | ProposeError::Unknown(_) => false,
        }
    }
}

/// A linearizable read, or a heartbeat, was not possible. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum ReadError {
    /// No leader is known, or the leader has no quorum.
    #[error("no leader: {0}; try again, ask another member, or read with consistency=stale")]
    NoLeader(String),
    /// The leader's index was not reached in time.
    #[error("this member did not catch up with the leader within {0} ms; ask another member")]
    Behind(u64),
    /// More than the member takes on.
    #[error("{0} requests are waiting already; try again later")]
    TooMany(usize),
    /// The member is stopping.
    #[error("the member is stopping; ask another one")]
    Stopping,
}

/// A change of the membership was not carried out, or it is not known whether it was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MembershipError {
    /// This member does not lead; this one does, as far as it knows. Nothing was done.
    #[error("the leader changes the membership, and this member does not lead; ask {}", named(.0))]
    NotLeader(Option<MemberId>),
    /// Not possible as things are. Nothing was done.
    #[error("{0}")]
    Refused(String),
    /// It may have been done, in part or whole, or may yet be. The same call again completes it.
    #[error("the outcome is not known: {0}; look at the membership, and do it again")]
    Unknown(String),
}

fn named(leader: &Option<MemberId>) -> String {
    leader.map_or_else(|| "again when there is a leader".to_owned(), |leader| format!("member {leader}"))
}

/// A member could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The directory belongs to another member, cluster or engine, or is unusable.
    #[error("data directory {path}: {reason}")]
    DataDir {
        /// Which.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The other members know this member id by another data directory.
    #[error("{0}")]
    Identity(String),
    /// The store is damaged or does not keep its promises.
    #[error("store: {0}")]
    Store(String),
    /// Raft did not start.
    #[error("raft: {0}")]
    Raft(String),
}
