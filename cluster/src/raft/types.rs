//! The types that Raft is instantiated with.

use std::fmt;

use kenger_state::{Applied, Output, Proposal, Rejection};
use kenger_types::{Incarnation, Revision};
use openraft::impls::TokioRuntime;
use openraft::rt::deterministic_rng::DeterministicRng;
use serde::{Deserialize, Serialize};

/// Raft runs on tokio. Its randomness comes from a seed that a task is given, see
/// [`super::seeded`]; the `Env` gives the seed, so that a simulation can repeat a run.
pub(crate) type Runtime = DeterministicRng<TokioRuntime>;

openraft::declare_raft_types!(
    /// Raft over Kenger's commands.
    pub(crate) TypeConfig:
        D = Proposal,
        R = Reply,
        NodeId = u64,
        Node = MemberNode,
        AsyncRuntime = Runtime,
);

/// What Raft tells about itself.
pub(crate) type Metrics = openraft::RaftMetrics<TypeConfig>;

/// A member as the replicated membership knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MemberNode {
    /// `host:port` where the other members reach it.
    pub(crate) peer: String,
    /// `host:port` of its HTTP API.
    pub(crate) api: String,
    /// Its data directory: another one under the same id is refused by all.
    pub(crate) incarnation: Incarnation,
}

/// What an applied entry answers to whoever proposed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// Of an entry that is not a command.
    None,
    /// Of a command.
    Command {
        /// The revision after it.
        revision: Revision,
        /// Its answer.
        result: Result<Output, Rejection>,
    },
}

impl Reply {
    pub(crate) fn of(applied: &Applied) -> Self {
        Reply::Command { revision: applied.revision, result: applied.result.clone() }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::None => f.write_str("none"),
            Reply::Command { revision, result } => {
                write!(f, "revision {revision}, {}", if result.is_ok() { "done" } else { "rejected" })
            }
        }
    }
}
