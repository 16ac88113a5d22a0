//! Follows the registry: the leader's feed while there is a leader, any member's otherwise, and the
//! disk until the first one answers.
//!
//! Whom to ask, redirects, waits and resuming are the SDK's; what is believed is decided here and in
//! the view. Whatever goes wrong, the tables stay as they are.

pub(crate) mod cache;
mod status;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kenger_mutant::{self as mutant, Mutant};
use kenger_sdk::{Client, DisconnectReason, Watch, WatchEvent, WatchOptions};
use kenger_types::{ClusterId, Revision};
use tokio::time::Instant;

use crate::clock::wall_clock_now;
use crate::routing::{FeedUpdate, Router};
pub(crate) use status::FeedStatus;

/// How many events that are there already are applied together, so that a burst makes one table.
const EVENTS_PER_TABLE_MAX: usize = 512;
/// Wait before a snapshot is asked for because an event did not fit.
const RESUBSCRIBE_WAIT: Duration = Duration::from_secs(1);

/// Fills the tables from the cache. A cache that cannot be used is told and left alone.
pub(crate) fn load_cache(path: &Path, router: &Router, status: &FeedStatus) {
    match cache::load(path) {
        Ok(None) => tracing::info!(file = %path.display(), "there is no cache yet"),
        Err(error) => tracing::warn!(file = %path.display(), %error, "the cache is not used"),
        Ok(Some(cached)) => {
            let age_ms = wall_clock_now().unix_ms().saturating_sub(cached.saved_at.unix_ms());
            let (revision, cluster_id) = (cached.snapshot.revision, cached.snapshot.cluster_id);
            match router.apply([FeedUpdate::Snapshot(cached.snapshot)]) {
                Ok(()) => {
                    status.loaded_cache(Duration::from_millis(age_ms));
                    tracing::info!(%revision, %cluster_id, age_ms, "serving from the cache until the registry answers");
                }
                Err(error) => tracing::warn!(file = %path.display(), %error, "the cache is not used"),
            }
        }
    }
}

/// Follows the feed. Never ends.
///
/// # Errors
/// The SDK refuses the namespaces.
pub(crate) async fn follow(
    client: Client,
    router: Arc<Router>,
    status: Arc<FeedStatus>,
) -> Result<(), kenger_sdk::Error> {
    let mut position = router.position();
    loop {
        let mut watch = client.watch(options(&router, position))?;
        follow_watch(&mut watch, &router, &status).await;
        // Begin anew with a snapshot of the same cluster.
        position = router.position().map(|(cluster_id, _)| (cluster_id, Revision(0)));
        tokio::time::sleep(RESUBSCRIBE_WAIT).await;
    }
}

fn options(router: &Router, position: Option<(ClusterId, Revision)>) -> WatchOptions {
    WatchOptions {
        namespaces: router.namespaces().cloned().collect(),
        from_leader: true,
        last_revision: position.map(|(_, revision)| revision).filter(|revision| revision.0 > 0),
        expected_cluster: position.map(|(cluster_id, _)| cluster_id),
        // A member without a leader knows more than a gateway that knows nothing.
        stale: true,
        seed: None,
    }
}

/// Applies what a watch tells, until an event does not fit.
async fn follow_watch(watch: &mut Watch, router: &Router, status: &FeedStatus) {
    loop {
        let first = watch.next().await;
        let arrived = Instant::now();
        let mut updates = Vec::new();
        let mut next = Some(first);
        while let Some(event) = next {
            if matches!(event, WatchEvent::Disconnected(_)) && mutant::is(Mutant::GatewayEmptiesTable) {
                updates.extend(router.emptied());
            }
            take(event, status, &mut updates);
            next = if updates.len() < EVENTS_PER_TABLE_MAX { ready_now(watch).await } else { None };
        }
        if updates.is_empty() {
            continue;
        }
        let applied = router.apply(updates);
        status.event_to_table.record(arrived.elapsed());
        if let Err(error) = applied {
            status.refused.increment();
            tracing::warn!(%error, "an event of the feed was refused; the tables stay as they are");
            status.disconnected(error.to_string());
            return;
        }
    }
}

/// The next event, if it is there already.
async fn ready_now(watch: &mut Watch) -> Option<WatchEvent> {
    tokio::select! {
        biased;
        event = watch.next() => Some(event),
        () = std::future::ready(()) => None,
    }
}

fn take(event: WatchEvent, status: &FeedStatus, updates: &mut Vec<FeedUpdate>) {
    match event {
        WatchEvent::Connected(connected) => {
            tracing::info!(endpoint = %connected.endpoint, "following the feed");
            status.connected(connected.endpoint.to_string(), connected.is_leader());
            return status.heard();
        }
        WatchEvent::Disconnected(disconnected) => {
            if matches!(disconnected.reason, DisconnectReason::ForeignCluster { .. }) {
                status.foreign_clusters.increment();
            }
            let (endpoint, reason) = (&disconnected.endpoint, &disconnected.reason);
            if status.disconnected(format!("{endpoint}: {reason}")) {
                tracing::warn!(%endpoint, %reason, "no feed from this member; the tables stay as they are");
            }
            return;
        }
        WatchEvent::Snapshot(event) => {
            status.snapshots.increment();
            updates.push(FeedUpdate::Snapshot(event));
        }
        WatchEvent::Change(event) => {
            status.changes.increment();
            updates.push(FeedUpdate::Change(event));
        }
        WatchEvent::Bookmark(event) => {
            status.bookmarks.increment();
            status.is_told_by_leader(event.is_from_leader());
            updates.push(FeedUpdate::Reached(event.revision));
        }
    }
    status.heard();
}
