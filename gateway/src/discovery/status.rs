//! How the gateway stands with the registry, for the admin API and the metrics.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::metrics::{Counter, Histogram};

/// Reasons of one outage that are remembered as told.
const REASONS_MAX: usize = 32;

/// What the feed and the cache report. Counters are written by one task each.
#[derive(Debug, Default)]
pub(crate) struct FeedStatus {
    state: Mutex<State>,
    pub(crate) snapshots: Counter,
    pub(crate) changes: Counter,
    pub(crate) bookmarks: Counter,
    pub(crate) disconnects: Counter,
    /// Members of another cluster that were asked; nothing of them was taken.
    pub(crate) foreign_clusters: Counter,
    /// Events that did not fit what was known; a snapshot was asked for.
    pub(crate) refused: Counter,
    /// From an event's arrival to the tables that it made.
    pub(crate) event_to_table: Histogram,
    pub(crate) cache_writes: Counter,
    pub(crate) cache_write_errors: Counter,
}

#[derive(Debug, Default)]
struct State {
    /// Who tells the feed at the moment.
    member: Option<String>,
    is_leader: bool,
    /// When the registry was last heard, or what the cache said of it: when it was read, and its age
    /// then.
    heard: Option<(Instant, Duration)>,
    from_cache: bool,
    last_error: Option<String>,
    /// Why nobody could tell the feed since somebody last did.
    reasons: BTreeSet<String>,
}

/// How the gateway stands with the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FeedReport {
    /// The member that tells the feed, if one does.
    pub(crate) member: Option<String>,
    pub(crate) is_leader: bool,
    /// How old the knowledge is; `None` if there is none.
    pub(crate) age: Option<Duration>,
    /// What is known comes from the disk; the registry was not heard since the start.
    pub(crate) from_cache: bool,
    pub(crate) last_error: Option<String>,
}

impl FeedReport {
    /// Nobody tells the feed: what is known may be out of date.
    pub(crate) fn is_stale(&self) -> bool {
        self.member.is_none()
    }
}

impl FeedStatus {
    /// The cache was read, which was written this long ago.
    pub(crate) fn loaded_cache(&self, age: Duration) {
        let mut state = self.lock();
        state.heard = Some((Instant::now(), age));
        state.from_cache = true;
    }

    /// A member tells the feed.
    pub(crate) fn connected(&self, member: String, is_leader: bool) {
        let mut state = self.lock();
        (state.member, state.is_leader, state.last_error) = (Some(member), is_leader, None);
        state.reasons.clear();
    }

    /// The member that tells the feed said whether it leads.
    pub(crate) fn is_told_by_leader(&self, is_leader: bool) {
        self.lock().is_leader = is_leader;
    }

    /// An event came.
    pub(crate) fn heard(&self) {
        let mut state = self.lock();
        state.heard = Some((Instant::now(), Duration::ZERO));
        state.from_cache = false;
    }

    /// Nobody tells the feed, or not yet. Whether this reason is new: attempts go on for as long as the
    /// registry is away, and fail for the same reasons again and again.
    pub(crate) fn disconnected(&self, why: String) -> bool {
        self.disconnects.increment();
        let mut state = self.lock();
        (state.member, state.is_leader, state.last_error) = (None, false, Some(why.clone()));
        state.reasons.len() < REASONS_MAX && state.reasons.insert(why)
    }

    /// How things stand.
    pub(crate) fn report(&self) -> FeedReport {
        let state = self.lock();
        FeedReport {
            member: state.member.clone(),
            is_leader: state.is_leader,
            age: state.heard.map(|(at, age)| at.elapsed() + age),
            from_cache: state.from_cache,
            last_error: state.last_error.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_new_once_in_an_outage() {
        let status = FeedStatus::default();
        let refused = |member: u32| format!("http://192.0.2.{member}:5000: connection refused");
        assert!(status.disconnected(refused(1)));
        assert!(status.disconnected(refused(2)), "another member");
        assert!(!status.disconnected(refused(1)));
        status.connected("http://192.0.2.1:5000".to_owned(), true);
        assert!(status.disconnected(refused(1)), "another outage");
        let news = (0..1_000).filter(|member| status.disconnected(refused(*member))).count();
        assert!(news < REASONS_MAX, "what is remembered is bounded");
        assert_eq!(status.report().last_error, Some(refused(999)), "the last one is known all the same");
    }
}
