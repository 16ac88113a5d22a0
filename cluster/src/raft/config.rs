//! How openraft is set up. Each choice that is not its default has its reason here.

use std::sync::Arc;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};

use crate::config::{Compaction, Timing};
use crate::error::StartError;

/// How long the members may take for a piece of a snapshot, and for installing it.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(30);

/// Most entries in one message between members. With the largest command it still fits a frame; see
/// the split in `network` for what does not.
const PAYLOAD_MAX_ENTRIES: u64 = 512;

/// Most writes that are appended to the log at once.
const APPEND_BATCH_ENTRIES: u64 = 4_096;

/// Pauses of replication to a member that cannot be reached; the links have their own, shorter ones.
const REPLICATION_BACKOFF: &str = "50ms 100ms ..500ms";

/// openraft's configuration for these timers and this compaction.
///
/// # Errors
/// The timers contradict each other.
pub(crate) fn config(timing: &Timing, compaction: &Compaction) -> Result<Arc<Config>, StartError> {
    let config = Config {
        cluster_name: "kenger".to_owned(),
        heartbeat_interval: millis(timing.heartbeat_interval),
        election_timeout_min: millis(timing.election_timeout_min),
        election_timeout_max: millis(timing.election_timeout_max),
        // A member that was cut off must not disturb a leader that works when it comes back.
        enable_pre_vote: Some(true),
        // A restarted leader stands for election: the committed log id is only a hint on disk, so
        // that it could otherwise serve reads below what it had acknowledged.
        enable_leader_restore: Some(false),
        // A leader without a quorum falls silent for this long, so that those who hear it, and can
        // reach each other, elect another one. Not less than lease plus longest election timeout.
        quorum_loss_probe_interval: Some(2 * millis(timing.election_timeout_max)),
        install_snapshot_timeout: millis(SNAPSHOT_TIMEOUT),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(compaction.snapshot_after_entries),
        max_in_snapshot_log_to_keep: compaction.keep_entries,
        // A member that is further behind gets a snapshot. Below the snapshot threshold the snapshot
        // might be older than what the log still has.
        replication_lag_threshold: compaction.snapshot_after_entries.saturating_add(compaction.keep_entries),
        max_payload_entries: PAYLOAD_MAX_ENTRIES,
        max_append_entries: Some(APPEND_BATCH_ENTRIES),
        api_batch_capacity: APPEND_BATCH_ENTRIES,
        backoff: REPLICATION_BACKOFF.to_owned(),
        ..Config::default()
    };
    config
        .validate()
        .map(Arc::new)
        .map_err(|error| StartError::Raft(format!("the timers do not fit: {error}")))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
