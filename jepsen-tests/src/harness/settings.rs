//! How the members of a test are started.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::clock::Clocks;
use super::disks::Disks;

/// A member's number; the first one is 1.
pub type MemberId = u64;

/// What the tests say differently from `kenger serve`'s defaults, or have to be able to compute with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many members.
    pub members: u64,
    /// The engine that holds the log.
    pub store: &'static str,
    /// Silence after which a node is offline.
    pub node_ttl: Duration,
    /// Silence after which a node is deleted.
    pub node_delete_after: Duration,
    /// How often the leader looks for silent nodes.
    pub lease_tick: Duration,
    /// Raft: shortest silence after which a member asks to lead.
    pub election_timeout_min: Duration,
    /// Raft: longest such silence.
    pub election_timeout_max: Duration,
    /// Entries between two snapshots.
    pub snapshot_after_entries: u64,
    /// Entries that are kept behind a snapshot.
    pub snapshot_keep_entries: u64,
    /// Revisions that a member keeps for subscribers that resume.
    pub feed_ring: u64,
    /// What clients show.
    pub token: String,
    /// What the members show each other.
    pub peer_secret: String,
    /// More environment for each member's process.
    pub environment: Vec<(String, String)>,
    /// Disks of their own for the data directories.
    pub disks: Option<Arc<Disks>>,
    /// Wall clocks of their own.
    pub clocks: Option<Arc<Clocks>>,
    /// Where the members' output is kept; it goes with the cluster if nobody says.
    pub logs: Option<PathBuf>,
}

impl Default for Settings {
    /// Three members with the product's own timers; nodes do not run out of time.
    fn default() -> Self {
        Self {
            members: 3,
            store: "sled",
            node_ttl: Duration::from_secs(3_600),
            node_delete_after: Duration::from_secs(7_200),
            lease_tick: Duration::from_millis(200),
            election_timeout_min: Duration::from_millis(500),
            election_timeout_max: Duration::from_millis(1_000),
            snapshot_after_entries: 20_000,
            snapshot_keep_entries: 5_000,
            feed_ring: 8_192,
            token: "a-token-of-the-tests".to_owned(),
            peer_secret: "a-peer-secret-of-the-tests".to_owned(),
            environment: Vec::new(),
            disks: None,
            clocks: None,
            logs: None,
        }
    }
}

impl Settings {
    /// Snapshots and purges every few dozen entries, so that a short test meets many of them.
    #[must_use]
    pub fn with_frequent_snapshots(mut self) -> Self {
        self.snapshot_after_entries = 60;
        self.snapshot_keep_entries = 10;
        self
    }

    /// Nodes that are offline after `ttl` of silence and deleted after `delete_after`.
    #[must_use]
    pub fn with_node_times(mut self, ttl: Duration, delete_after: Duration) -> Self {
        (self.node_ttl, self.node_delete_after) = (ttl, delete_after);
        self
    }

    pub(super) fn flags(&self) -> Vec<(&'static str, String)> {
        let ms = |time: Duration| format!("{}ms", time.as_millis());
        vec![
            ("--store", self.store.to_owned()),
            ("--node-ttl", ms(self.node_ttl)),
            ("--node-delete-after", ms(self.node_delete_after)),
            ("--lease-tick", ms(self.lease_tick)),
            ("--election-timeout-min", ms(self.election_timeout_min)),
            ("--election-timeout-max", ms(self.election_timeout_max)),
            ("--snapshot-after-entries", self.snapshot_after_entries.to_string()),
            ("--snapshot-keep-entries", self.snapshot_keep_entries.to_string()),
            ("--feed-ring", self.feed_ring.to_string()),
        ]
    }
}
