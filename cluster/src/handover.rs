//! How a leader gives up the lead before it stops, so that the others need not wait for an election
//! timeout.

use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::{Instant, ServerState};
use tokio::time::timeout;

use crate::config::Timing;
use crate::raft::Raft;
use crate::raft::types::Metrics;

/// How many members are asked to take over, one after the other.
const TRIES: usize = 2;

/// Gives the lead to the other voter that is furthest, and waits until this member leads no more;
/// `false` if nobody took over in time. Does nothing on a follower or a single member.
pub(crate) async fn hand_over(raft: &Raft, timing: &Timing) -> bool {
    let mut metrics = raft.metrics();
    let candidates = candidates(&metrics.borrow_and_update(), timing.election_timeout_min);
    if candidates.is_empty() {
        return metrics.borrow_watched().state != ServerState::Leader;
    }
    for candidate in candidates.into_iter().take(TRIES) {
        if raft.trigger().transfer_leader(candidate).await.is_err() {
            return false;
        }
        tracing::info!(to = candidate, "handing over the lead");
        let given_up = async {
            while metrics.borrow_and_update().state == ServerState::Leader {
                if metrics.changed().await.is_err() {
                    return;
                }
            }
        };
        if timeout(timing.election_timeout_max, given_up).await.is_ok() {
            return true;
        }
    }
    false
}

/// The other voters that have answered lately, the one with the longest log first. Empty if this
/// member does not lead.
fn candidates(metrics: &Metrics, heard_within: Duration) -> Vec<u64> {
    let (Some(replication), Some(heartbeat)) = (&metrics.replication, &metrics.heartbeat) else {
        return Vec::new();
    };
    let has_answered = |id: &u64| {
        let last = heartbeat.get(id).and_then(Option::as_ref);
        last.is_some_and(|last| last.elapsed() < heard_within)
    };
    let voters = metrics.membership_config.membership().voter_ids();
    let mut candidates: Vec<_> = voters
        .filter(|id| *id != metrics.id && has_answered(id))
        .map(|id| {
            (replication.get(&id).and_then(|matched| matched.as_ref().map(|log_id| log_id.index())), id)
        })
        .collect();
    candidates.sort_unstable();
    candidates.into_iter().rev().map(|(_, id)| id).collect()
}
