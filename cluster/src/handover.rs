//! How a leader gives up the lead before it stops, so that the others need not wait for an election
//! timeout.

use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::{Instant, ServerState};
use tokio::time::timeout;

use crate::config::Timing;
use crate::leadership::peer_address;
use crate::raft::Raft;
use crate::raft::types::Metrics;
use crate::transport::{Peers, Purpose, Request};

/// How many members are asked to take over, one after the other.
const TRIES: usize = 2;

/// How long a member may take to say that it is there to take over.
const ASK_TIMEOUT: Duration = Duration::from_millis(300);

/// Gives the lead to the other voter that is furthest, and waits until this member leads no more;
/// `false` if nobody took over in time. Does nothing on a follower or a single member.
pub(crate) async fn hand_over(raft: &Raft, peers: &Peers, timing: &Timing) -> bool {
    let mut metrics = raft.metrics();
    let seen = metrics.borrow_and_update().clone();
    if seen.state != ServerState::Leader {
        return true;
    }
    for candidate in candidates(&seen, timing.election_timeout_min).into_iter().take(TRIES) {
        // Raft sends no heartbeats while it hands over: no time for a member that stops, too.
        if !is_there(candidate, &seen, peers).await {
            continue;
        }
        tracing::info!(to = candidate, "handing over the lead");
        if raft.trigger().transfer_leader(candidate).await.is_err() {
            return false;
        }
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
    seen.membership_config.membership().voter_ids().count() == 1
}

/// A member that is stopping refuses to tell.
async fn is_there(candidate: u64, metrics: &Metrics, peers: &Peers) -> bool {
    let Some(node) = metrics.membership_config.membership().get_node(&candidate) else { return false };
    let address = peer_address(candidate, node);
    peers.call(&address, Purpose::Client, &Request::Status, ASK_TIMEOUT).await.is_ok()
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
