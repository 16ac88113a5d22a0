//! Looks for the leader while another member tells, or while the leader says nothing.
//!
//! A member that is cut off from the others goes on to answer, and has nothing to tell: a watch that
//! has come to listen to it, because no leader could be reached for a while, would never hear of
//! anything again. A leader that stands still, or that the network has lost, ends no stream. So the
//! leader is looked for beside the stream, which goes on until the leader tells.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use kenger_types::{ClusterId, Revision};
use tokio::time::Instant;

use super::route::{Route, Target};
use super::stream::{self, FeedEvent, OpenFailed, Request, Stream};
use crate::Client;

/// The wait between two searches: longer than an election takes.
const SEEK_EVERY: Duration = Duration::from_secs(2);

/// A stream of the leader that has begun.
pub(super) struct Found {
    pub(super) target: Target,
    pub(super) stream: Stream,
    /// What it told first.
    pub(super) first: FeedEvent,
}

/// A search, with all that it needs.
pub(super) type Search = Pin<Box<dyn Future<Output = Option<Found>> + Send>>;

/// The searches that go with one stream.
pub(super) enum Seek {
    Resting(Instant),
    Searching(Search),
}

impl Seek {
    pub(super) fn new() -> Self {
        Self::Resting(Instant::now() + SEEK_EVERY)
    }

    /// Looks whenever it is time and `begin` wants it, until the leader is found. Cancel-safe.
    pub(super) async fn next(&mut self, begin: impl Fn() -> Option<Search>) -> Found {
        loop {
            let found = match self {
                Self::Resting(until) => {
                    tokio::time::sleep_until(*until).await;
                    if let Some(search) = begin() {
                        *self = Self::Searching(search);
                        continue;
                    }
                    None
                }
                Self::Searching(search) => search.await,
            };
            *self = Self::new();
            if let Some(found) = found {
                return found;
            }
        }
    }
}

/// Asks for the leader's feed as `route` says, after `after`, until a member of the cluster tells it.
pub(super) fn search(
    client: Client,
    request: Request,
    mut route: Route,
    cluster: Option<ClusterId>,
    after: Option<Revision>,
) -> Search {
    Box::pin(async move {
        while let Some(target) = route.next() {
            match stream::open(client.wire().clone(), request.build(&client, &target, after)).await {
                Ok(mut stream) => match stream.next().await {
                    Ok(first) if is_of(cluster, &first) => return Some(Found { target, stream, first }),
                    // It lost the lead at once, or is none of ours.
                    Ok(_) | Err(_) => {}
                },
                Err(OpenFailed::Redirected(leader)) => {
                    route.redirected(leader);
                }
                Err(OpenFailed::NotConnected(_)) => route.unreachable(&target),
                Err(OpenFailed::Other(_)) => {}
            }
        }
        None
    })
}

/// Whether a stream that begins so can be listened to.
fn is_of(cluster: Option<ClusterId>, first: &FeedEvent) -> bool {
    let found = match first {
        FeedEvent::Snapshot(event) => event.cluster_id,
        FeedEvent::Bookmark(event) => event.cluster_id,
        FeedEvent::Change(_) | FeedEvent::Leader(_) => return false,
    };
    cluster.is_none_or(|expected| expected == found)
}
