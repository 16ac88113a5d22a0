//! When to take a snapshot beyond what Raft itself decides by the number of entries: after so many
//! bytes, and after so much time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::config::Compaction;
use crate::env::Env;
use crate::raft::Raft;
use crate::raft::machine::MachineStats;

/// How often the bounds are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Asks Raft for a snapshot whenever one is due, until `stop`.
pub(crate) async fn run(
    env: Env,
    compaction: Compaction,
    raft: Raft,
    stats: Arc<MachineStats>,
    stop: CancellationToken,
) {
    let mut checks = tokio::time::interval(CHECK_INTERVAL);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = checks.tick() => {}
        }
        let age = env.now().saturating_duration_since(stats.last_snapshot_at());
        let is_due = stats.bytes_since_snapshot() >= compaction.snapshot_after_bytes
            || age >= compaction.snapshot_after;
        if is_due && stats.applied_since_snapshot() > 0 && raft.trigger().snapshot().await.is_err() {
            return;
        }
    }
}
