//! Everything else that is noted: the feed, faults, states, leaders, processes, traffic.

use kenger_types::{Namespace, Node};
use serde::{Deserialize, Serialize};

use super::{Micros, Operation};

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// A request to the API.
    Operation(Operation),
    /// Something a watcher was told.
    Feed(FeedRecord),
    /// A fault began, or ended.
    Fault(Fault),
    /// The whole state of a member.
    State(StateRecord),
    /// Who leads.
    Lead(Lead),
    /// What became of a process.
    Life(LifeRecord),
    /// A request through a gateway.
    Proxied(Proxied),
}

/// Watchers from this number on come and go with a fault: what they are told has to be right, and they
/// need not have been told of everything in the end.
pub const PASSING_WATCHERS_FROM: u32 = 1_000_000;
/// What is written here after the last fault shows when writes are acknowledged again, whatever the workloads
/// do; it does not count as something that a run did.
pub const PROBE_NAMESPACE: &str = "recovery";

/// Something a watcher was told, or did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeedRecord {
    /// When it had arrived.
    pub at: Micros,
    /// Who watches: one cursor that resumes on one member after the other.
    pub watcher: u32,
    /// Whose feed it is.
    pub member: u64,
    /// What it was.
    pub item: FeedItem,
}

/// What came from the feed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "item", rename_all = "snake_case")]
pub enum FeedItem {
    /// A stream was opened.
    Opened {
        /// `Last-Event-ID`; `None`: from the beginning.
        after: Option<u64>,
        /// The filter; empty: everything.
        namespaces: Vec<String>,
    },
    /// An event `snapshot`.
    Snapshot {
        /// The event's id.
        id: Option<u64>,
        /// Its body, as it came.
        body: String,
    },
    /// An event `change`.
    Change {
        /// The event's id.
        id: Option<u64>,
        /// Its body, as it came.
        body: String,
    },
    /// An event `bookmark`.
    Bookmark {
        /// The event's id.
        id: Option<u64>,
        /// Its body, as it came.
        body: String,
    },
    /// An event `leader`: the stream is about to end.
    Leader {
        /// Its body, as it came.
        body: String,
    },
    /// The stream ended, or the watcher left it.
    Ended {
        /// Why, for people.
        reason: String,
    },
}

/// A fault, at its beginning or its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// When it was in force, or over.
    pub at: Micros,
    /// Which: `kill`, `pause`, `partition`, …
    pub name: String,
    /// Numbers faults, so that the end of one is told apart from that of another of the same name.
    pub number: u32,
    /// The members that it was done to.
    pub members: Vec<u64>,
    /// Its beginning or its end.
    pub phase: Phase,
    /// How it is known that it took hold, for people; `None` where it did not. Of the end: that it is
    /// over.
    pub evidence: Option<String>,
    /// More about it, for people: `one way from 2 to 1 and 3`.
    pub detail: String,
}

/// Which end of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// From now on.
    Begin,
    /// No longer.
    End,
}

/// Everything that a member had applied at one moment (a stale read of all of it).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateRecord {
    /// When it was asked for: what anybody was told before is in it, if its member has caught up.
    pub asked: Micros,
    /// When the answer had come.
    pub at: Micros,
    /// Whose state it is.
    pub member: u64,
    /// Up to which revision it goes.
    pub revision: u64,
    /// All namespaces, without their counts.
    pub namespaces: Vec<Namespace>,
    /// All nodes, without the time of the last heartbeat, which is not replicated.
    pub nodes: Vec<Node>,
    /// Read after all faults were over and all members agreed, or should have.
    pub is_final: bool,
}

/// Who leads, as one member says; noted when it differs from what that member said before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lead {
    /// When the answer had come.
    pub at: Micros,
    /// Who says so.
    pub member: u64,
    /// The term.
    pub term: u64,
    /// Who leads; `None`: nobody is known to.
    pub leader: Option<u64>,
}

/// What became of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifeRecord {
    /// When.
    pub at: Micros,
    /// `member 1`, `gateway 1`, …
    pub process: String,
    /// What.
    pub happened: Happened,
}

/// What becomes of processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    /// It was started.
    Started,
    /// It answered that it is ready for the first time since it was started.
    Ready,
    /// A fault ended it.
    Killed,
    /// It ended by itself.
    Ended {
        /// With which status, and the last lines that it logged.
        how: String,
        /// A fault that was under way lets it end (a full disk, a flipped bit).
        is_expected: bool,
    },
}

/// A request through a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxied {
    /// When it was about to be sent.
    pub called: Micros,
    /// When it had been answered, or had failed.
    pub returned: Micros,
    /// Which gateway.
    pub gateway: u32,
    /// The HTTP status; `None` if there was none.
    pub status: Option<u16>,
    /// Which node answered, as `host:port`, if one did.
    pub node: Option<String>,
    /// What went wrong, if something did.
    pub error: Option<String>,
}
