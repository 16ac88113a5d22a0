//! What was asked and answered, told and seen in one run: all that a checker gets to know.
//!
//! A run of either floor (the simulation, real processes) writes the same [`Record`]s, so that one set
//! of checkers judges both. A history is kept as JSON lines: the first is the [`Run`], each following
//! one a record, in the order in which they were noted. Times are microseconds of one monotonic clock,
//! that of whoever wrote the history, since the run began.

mod file;
mod operation;
mod record;

use serde::{Deserialize, Serialize};

pub use file::HistoryError;
pub use operation::{Action, Answer, Key, Observed, Operation, Outcome};
pub use record::{
    Fault, FeedItem, FeedRecord, Happened, Lead, LifeRecord, PASSING_WATCHERS_FROM, PROBE_NAMESPACE, Phase,
    Proxied, Record, StateRecord,
};

/// Microseconds since the run began.
pub type Micros = u64;

/// Everything of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// How it was made.
    pub run: Run,
    /// In the order in which they were noted. An operation is noted when it has ended, or at the end of
    /// the run if it never did.
    pub records: Vec<Record>,
}

/// How a history was made, and what checkers must know of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The command that repeats it, as a person types it.
    pub command: String,
    /// What the faults, the keys and the pace were drawn from.
    pub seed: u64,
    /// Names of the workloads.
    pub workloads: Vec<String>,
    /// Names of the faults.
    pub nemeses: Vec<String>,
    /// How many members the cluster was started with.
    pub members: u64,
    /// The timers that promises are stated in.
    pub timers: Timers,
    /// What a run has to have done, or it shows nothing.
    pub floor: Floor,
    /// Unix time in milliseconds at which the run began, by the same clock that stamps the members'
    /// logs; `None` where there is no such clock (a simulation). Only for people: no verdict reads it.
    #[serde(default)]
    pub began_unix_ms: Option<u64>,
}

/// The timers of the members of a run, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timers {
    /// Silence after which a node is offline.
    pub node_ttl: Micros,
    /// Silence after which a node is deleted.
    pub node_delete_after: Micros,
    /// How often the leader looks for silent nodes.
    pub lease_tick: Micros,
    /// Longest silence after which a member asks to lead.
    pub election_timeout_max: Micros,
}

/// What a run has to have done at least; one that did less is vacuous, and that is a failure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// Acknowledged operations, of all keys together.
    pub acknowledged: u64,
    /// Acknowledged writes of the key that has the fewest of them.
    pub acknowledged_per_key: u64,
    /// Times that another member began to lead.
    pub leader_changes: u64,
    /// Faults that are known to have taken hold.
    pub faults: u64,
    /// Changes that each watcher was told of.
    pub changes_per_watcher: u64,
    /// Requests that went through a gateway.
    pub proxied: u64,
}

impl History {
    /// All operations, in the order in which they ended.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.records.iter().filter_map(|record| match record {
            Record::Operation(operation) => Some(operation),
            _ => None,
        })
    }

    /// What the watcher of this number saw, in order.
    pub fn feed(&self, watcher: u32) -> impl Iterator<Item = &FeedRecord> {
        self.feeds().filter(move |record| record.watcher == watcher)
    }

    /// What all watchers saw, in the order in which it was noted.
    pub fn feeds(&self) -> impl Iterator<Item = &FeedRecord> {
        self.records.iter().filter_map(|record| match record {
            Record::Feed(record) => Some(record),
            _ => None,
        })
    }

    /// All faults, in order.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.records.iter().filter_map(|record| match record {
            Record::Fault(fault) => Some(fault),
            _ => None,
        })
    }

    /// The states that members were seen in.
    pub fn states(&self) -> impl Iterator<Item = &StateRecord> {
        self.records.iter().filter_map(|record| match record {
            Record::State(state) => Some(state),
            _ => None,
        })
    }

    /// Requests through gateways.
    pub fn proxied(&self) -> impl Iterator<Item = &Proxied> {
        self.records.iter().filter_map(|record| match record {
            Record::Proxied(proxied) => Some(proxied),
            _ => None,
        })
    }

    /// Who was seen to lead.
    pub fn leads(&self) -> impl Iterator<Item = &Lead> {
        self.records.iter().filter_map(|record| match record {
            Record::Lead(lead) => Some(lead),
            _ => None,
        })
    }

    /// What became of processes.
    pub fn lives(&self) -> impl Iterator<Item = &LifeRecord> {
        self.records.iter().filter_map(|record| match record {
            Record::Life(life) => Some(life),
            _ => None,
        })
    }
}
