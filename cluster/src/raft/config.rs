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
    let election = Election::of(timing);
    let config = Config {
        cluster_name: "kenger".to_owned(),
        heartbeat_interval: millis(timing.heartbeat_interval),
        election_timeout_min: millis(election.timeout_min),
        election_timeout_max: millis(election.lease),
        // A member that was cut off must not disturb a leader that works when it comes back.
        enable_pre_vote: Some(true),
        // A restarted leader stands for election: the committed log id is only a hint on disk, so
        // that it could otherwise serve reads below what it had acknowledged.
        enable_leader_restore: Some(false),
        // A leader without a quorum falls silent for this long, so that those who hear it, and can
        // reach each other, elect another one: as long as the longest silence before an election.
        quorum_loss_probe_interval: Some(2 * millis(election.lease)),
        install_snapshot_timeout: millis(SNAPSHOT_TIMEOUT),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(compaction.snapshot_after_entries),
        max_in_snapshot_log_to_keep: compaction.keep_entries,
        // A member that is further behind gets a snapshot. Below the snapshot threshold the snapshot
        // might be older than what the log still has.
        replication_lag_threshold: compaction.snapshot_after_entries.saturating_add(compaction.keep_entries),
        max_payload_entries: PAYLOAD_MAX_ENTRIES,
        max_append_entries: Some(APPEND_BATCH_ENTRIES),
        api_batch_capacity: APPEND_BATCH_ENTRIES,
        // A member that has lost what it acknowledged (an old copy of its directory was put back) gets it
        // again. Without this a leader panics in a debug build, and in others has a wrong picture of it:
        // one member's mistake would take the lead from one leader after the other.
        allow_log_reversion: Some(true),
        backoff: REPLICATION_BACKOFF.to_owned(),
        ..Config::default()
    };
    config
        .validate()
        .map(Arc::new)
        .map_err(|error| StartError::Raft(format!("the timers do not fit: {error}")))
}

/// How openraft counts the silence of a leader: first the lease, during which a follower helps nobody
/// else to lead, then a random time before it asks to lead itself. Its one setting for both the lease
/// and the longest random time is `election_timeout_max`.
struct Election {
    /// Lease, and longest random time after it: together the longest silence.
    lease: Duration,
    /// Shortest random time after the lease. It bounds how long a vote may take, too, so it is not as
    /// short as the shortest silence would allow.
    timeout_min: Duration,
}

impl Election {
    fn of(timing: &Timing) -> Self {
        let lease = timing.election_timeout_max / 2;
        let timeout_min = timing.election_timeout_min.saturating_sub(lease).max(lease / 2);
        Self { lease, timeout_min }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::config;
    use crate::config::{Compaction, Timing};

    #[test]
    fn the_silence_before_an_election_is_within_what_was_configured() {
        let timing = Timing::default();
        let config = config(&timing, &Compaction::default()).unwrap();
        let lease = config.election_timeout_max;
        assert!(u128::from(lease + config.election_timeout_min) >= timing.election_timeout_min.as_millis());
        assert_eq!(u128::from(2 * lease), timing.election_timeout_max.as_millis());
        // What a leader may rely on after a quorum has answered it.
        assert!(u128::from(lease) >= timing.election_timeout_min.as_millis());
    }

    #[test]
    fn timers_that_contradict_each_other_are_refused() {
        let timing = Timing { heartbeat_interval: Duration::from_secs(2), ..Timing::default() };
        assert!(config(&timing, &Compaction::default()).is_err());
    }
}
