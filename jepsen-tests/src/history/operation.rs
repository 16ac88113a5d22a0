//! Requests to the API and what became of them.

use kenger_types::NodeStatus;
use serde::{Deserialize, Serialize};

use super::Micros;

/// A node, by where it listens: the unit that writes and reads are checked by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// Its namespace.
    pub ns: String,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}:{}", self.ns, self.host, self.port)
    }
}

/// One request of one client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Who asked; each makes one request at a time.
    pub process: u32,
    /// Which member was asked.
    pub member: u64,
    /// About which node.
    pub key: Key,
    /// For what.
    pub action: Action,
    /// When the request was about to be sent.
    pub called: Micros,
    /// When the answer had come. One whose outcome is unknown may still be carried out later.
    pub returned: Micros,
    /// What became of it.
    pub outcome: Outcome,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// `node/register`.
    Register {
        /// The declared weight.
        weight: u32,
        /// What the node's metadata says under the key `value`; no two registrations of a run say the
        /// same.
        value: u64,
        /// `if_revision`; 0: only if there is no such node.
        if_revision: Option<u64>,
    },
    /// `node/weight`.
    SetWeight {
        /// `None` gives the declared weight back.
        weight: Option<u32>,
        /// `if_revision`.
        if_revision: Option<u64>,
    },
    /// `node/deregister`.
    Deregister {
        /// `if_revision`.
        if_revision: Option<u64>,
    },
    /// `node/list`, linearizable, of this node.
    Read,
    /// `heartbeat` of this node.
    Heartbeat,
}

impl Action {
    /// Whether it can change something that a read shows.
    pub fn is_write(&self) -> bool {
        !matches!(self, Action::Read | Action::Heartbeat)
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was carried out.
    Done(Answer),
    /// It was carried out against the replicated state and changed nothing, for a reason that tells
    /// what that state was.
    Rejected(Answer),
    /// Certainly nothing was done, and nothing is said about the state: no leader, too busy, nobody
    /// there.
    NotDone {
        /// Why, for people.
        reason: String,
    },
    /// It may have been done, or may yet be.
    Unknown {
        /// Why, for people.
        reason: String,
    },
    /// An answer that no member may give to this request.
    Foreign {
        /// What it was.
        what: String,
    },
}

/// What an answer tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Done, and nothing more is told (`node/deregister`, heartbeats).
    Nothing,
    /// The node after a write, or at a read.
    Node(Observed),
    /// There is no such node (at a read, or 404 `node_not_found` or `namespace_not_found`).
    Absent,
    /// 409: the node is there with another `mod_revision` than asked for, or it is there although 0
    /// was asked for.
    Mismatch {
        /// Which one it has, if the answer told.
        current: Option<u64>,
    },
}

/// A node as an answer showed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Which registration; another one after the node was removed and registered again.
    pub id: u64,
    /// The metadata's `value`; `None` if there is none or it is no number.
    pub value: Option<u64>,
    /// The weight in force.
    pub weight: u32,
    /// The declared weight.
    pub registered_weight: u32,
    /// Online or offline.
    pub status: NodeStatus,
    /// The revision that last changed it.
    pub mod_revision: u64,
    /// `X-Kenger-Revision` of the answer, if it has one: at least this was applied.
    pub revision: Option<u64>,
}
