//! What a member is told at its start. Values are checked by whoever reads them from flags and
//! files; here they are taken as they are.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use kenger_types::MemberId;

/// Which engine holds the log. The data directory remembers which one made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// sled 0.34, the default.
    Sled,
    /// redb.
    Redb,
}

/// One member of the static list that a cluster is first started from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticMember {
    /// 1 or more, unique.
    pub id: MemberId,
    /// `host:port` where the other members reach it.
    pub peer: String,
    /// `host:port` of its HTTP API, as the other members and clients reach it.
    pub api: String,
}

/// How a member takes part in the cluster.
#[derive(Clone)]
pub struct MemberConfig {
    /// This member.
    pub id: MemberId,
    /// All members, this one among them; the same list on each.
    pub members: Vec<StaticMember>,
    /// Where everything durable lies.
    pub data_dir: PathBuf,
    /// Which engine holds the log.
    pub store: StoreKind,
    /// What the members prove to each other at each connection. Never sent.
    pub peer_secret: Vec<u8>,
    /// Raft's timers.
    pub timing: Timing,
    /// When to take snapshots and what to keep of the log.
    pub compaction: Compaction,
    /// When nodes go offline and are deleted.
    pub lease: LeaseTimes,
    /// How many revisions of the feed are kept for subscribers that resume.
    pub feed_ring_revisions: usize,
}

/// Without the secret.
impl fmt::Debug for MemberConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberConfig")
            .field("id", &self.id)
            .field("members", &self.members)
            .field("data_dir", &self.data_dir)
            .field("store", &self.store)
            .field("timing", &self.timing)
            .field("compaction", &self.compaction)
            .field("lease", &self.lease)
            .field("feed_ring_revisions", &self.feed_ring_revisions)
            .finish_non_exhaustive()
    }
}

/// Raft's timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats of the leader.
    pub heartbeat_interval: Duration,
    /// Shortest silence of the leader after which a follower asks to lead.
    pub election_timeout_min: Duration,
    /// Longest such silence.
    pub election_timeout_max: Duration,
    /// How long a request waits for a leader to be known before it fails with "no leader".
    pub leader_wait: Duration,
    /// How long a request that was handed to Raft may take before its outcome is unknown.
    pub commit_timeout: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_millis(100),
            election_timeout_min: Duration::from_millis(500),
            election_timeout_max: Duration::from_millis(1_000),
            leader_wait: Duration::from_secs(3),
            commit_timeout: Duration::from_secs(5),
        }
    }
}

/// When to take snapshots and what to keep of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compaction {
    /// A snapshot after this many entries.
    pub snapshot_after_entries: u64,
    /// A snapshot after this many bytes of entries.
    pub snapshot_after_bytes: u64,
    /// A snapshot after this long, if anything was applied since the last one.
    pub snapshot_after: Duration,
    /// How many entries that a snapshot includes are kept for followers that are a little behind.
    pub keep_entries: u64,
}

impl Default for Compaction {
    fn default() -> Self {
        Self {
            snapshot_after_entries: 20_000,
            snapshot_after_bytes: 32 << 20,
            snapshot_after: Duration::from_secs(3_600),
            keep_entries: 5_000,
        }
    }
}

/// When nodes go offline and are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTimes {
    /// Silence after which a node that asks for no other time is offline.
    pub ttl: Duration,
    /// Silence after which a node is deleted, counted from its last heartbeat; longer than `ttl`. A
    /// node with a longer time to live of its own is deleted that much later.
    pub delete_after: Duration,
    /// How often leases are looked at.
    pub tick: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(30),
            delete_after: Duration::from_secs(120),
            tick: Duration::from_millis(500),
        }
    }
}
