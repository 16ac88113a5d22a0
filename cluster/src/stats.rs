//! Plain numbers about a member, for metrics.

use std::time::Duration;

use kenger_types::Revision;

use crate::feed::FeedStats;
use crate::lease::LeaseStats;

/// How a member is doing. Totals count since the member started.
#[derive(Debug, Clone)]
pub struct MemberStats {
    /// Raft's term.
    pub term: u64,
    /// Whether this member leads, with everything of earlier terms applied.
    pub is_leader: bool,
    /// Whether everything is applied that was before a restart, and about all that is committed.
    pub is_caught_up: bool,
    /// Last log index that is stored.
    pub last_log_index: u64,
    /// Last log index that is known to be committed by a quorum.
    pub committed_index: u64,
    /// Last log index that is applied.
    pub applied_index: u64,
    /// Last log index that the current snapshot includes.
    pub snapshot_index: u64,
    /// Last log index that was purged.
    pub purged_index: u64,
    /// The applied revision.
    pub revision: Revision,
    /// Nodes in the applied state.
    pub nodes: u64,
    /// Those of them that are online.
    pub nodes_online: u64,
    /// Entries that are in the log.
    pub log_entries: u64,
    /// Bytes of entries that are in the log.
    pub log_bytes: u64,
    /// How often the log was synced.
    pub syncs_total: u64,
    /// Time spent in these syncs.
    pub sync_time: Duration,
    /// Entries that were appended and synced.
    pub appended_entries_total: u64,
    /// Bytes of these entries.
    pub appended_bytes_total: u64,
    /// Snapshots that were built or installed.
    pub snapshots_total: u64,
    /// Since the last snapshot was begun or installed, or since the start.
    pub snapshot_age: Duration,
    /// Proposals that are under way here, forwarded ones included.
    pub proposals_in_flight: usize,
    /// Proposals whose outcome was not known in the end.
    pub proposals_unknown_total: u64,
    /// The change feed.
    pub feed: FeedStats,
    /// The leases; `None` if this member does not keep them.
    pub leases: Option<LeaseStats>,
}
