//! The leases of this member while it leads, and the state that they follow.
//!
//! One short lock keeps three things in step: the applied state, the table that was built from it,
//! and whose session the table belongs to. Nothing waits under it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kenger_mutant::{self as mutant, Mutant};
use kenger_state::{Command, LeaseEffect, State};
use kenger_types::NodeId;
use tokio::time::Instant;

use super::clock::{LeaseClock, LeaseTime};
use super::table::{Proposed, Standing, Table};
use super::{EXPIRE_MAX_NODES, LeadTerm, LeaseStats};
use crate::config::LeaseTimes;
use crate::env::Env;
use crate::feed::FeedFilter;

/// Most leases that are looked up for people under one lock.
const LOOKUP_MAX_NODES: usize = 1_000;

/// What `apply` tells the lease keeper, and what the keeper makes of it.
pub(crate) struct Book {
    env: Env,
    times: LeaseTimes,
    pages: Mutex<Pages>,
    /// The number of the session that is open; 0 if none is. Changed under the lock, read without.
    current: AtomicU64,
}

struct Pages {
    /// What has been applied.
    state: Arc<State>,
    open: Option<Open>,
    /// What the last session left behind that its term may still decide.
    left: Option<(LeadTerm, Vec<Proposed>)>,
    /// How many sessions there have been.
    sessions: u64,
    /// How many [`Pause`]s there are.
    pauses: usize,
}

struct Open {
    session: Session,
    clock: LeaseClock,
    table: Table,
}

/// One table of leases: of one term, built once, never taken up again once it was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Session {
    number: u64,
    /// In which this member leads.
    pub(super) term: LeadTerm,
}

/// While it is held, no heartbeat is acknowledged and nothing expires. When it is dropped and the
/// member still leads, its leases begin anew, with a full time to live for every node.
#[derive(Debug)]
#[must_use = "leases go on when it is dropped"]
pub(crate) struct Pause {
    book: Arc<Book>,
}

impl Drop for Pause {
    fn drop(&mut self) {
        self.book.lock().pauses -= 1;
    }
}

impl Book {
    /// For a member that has applied `state`.
    pub(crate) fn new(env: Env, times: LeaseTimes, state: Arc<State>) -> Self {
        let pages = Pages { state, open: None, left: None, sessions: 0, pauses: 0 };
        Self { env, times, pages: Mutex::new(pages), current: AtomicU64::new(0) }
    }

    /// A command was applied: `state` is the state after it. Called from within `apply`, in order,
    /// before anybody is answered; never waits.
    pub(crate) fn observe(&self, state: &Arc<State>, effects: &[LeaseEffect]) {
        let mut pages = self.lock();
        let before = std::mem::replace(&mut pages.state, Arc::clone(state));
        if let Some(open) = &mut pages.open
            && !effects.is_empty()
        {
            let now = self.now();
            let at = open.clock.read(now);
            for effect in effects {
                open.table.observe(*effect, at, now);
            }
        }
        drop(pages);
        drop(before);
    }

    /// The state was replaced by a snapshot: no table can follow that.
    pub(crate) fn replaced(&self, state: &Arc<State>) {
        let mut pages = self.lock();
        let before = std::mem::replace(&mut pages.state, Arc::clone(state));
        let closed = self.close_open(&mut pages);
        drop(pages);
        drop((before, closed));
    }

    /// The session of `term`, with the applied state; it begins now if it has not begun yet. `None`
    /// while leases are paused, or if `term` is over.
    pub(super) fn open(&self, term: LeadTerm) -> Option<(Session, Arc<State>)> {
        let mut pages = self.lock();
        if pages.pauses > 0 || pages.open.as_ref().is_some_and(|open| open.session.term > term) {
            return None;
        }
        let session = match &pages.open {
            Some(open) if open.session.term == term => open.session,
            _ => {
                let _closed = self.close_open(&mut pages);
                self.begin(&mut pages, term)
            }
        };
        Some((session, Arc::clone(&pages.state)))
    }

    fn begin(&self, pages: &mut Pages, term: LeadTerm) -> Session {
        pages.sessions += 1;
        let session = Session { number: pages.sessions, term };
        let clock = LeaseClock::start(self.now(), self.times.tick);
        let mut table = Table::full(&pages.state, LeaseTime::START, self.times);
        // An expiry of an earlier session of the same term may still be on its way into the log.
        if let Some((_, proposed)) = pages.left.take().filter(|(of, _)| *of == term) {
            table.mark_again(&proposed);
        }
        pages.open = Some(Open { session, clock, table });
        self.current.store(session.number, Ordering::SeqCst);
        tracing::info!(
            term = term.0,
            nodes = pages.state.total_counts().0,
            "every node has a full time to live"
        );
        session
    }

    /// This member does not lead any more.
    pub(super) fn close(&self) {
        let mut pages = self.lock();
        let closed = self.close_open(&mut pages);
        drop(pages);
        drop(closed);
    }

    /// Closes the session and begins none while the pause is held.
    pub(super) fn pause(self: &Arc<Self>) -> Pause {
        let mut pages = self.lock();
        pages.pauses += 1;
        let closed = self.close_open(&mut pages);
        drop(pages);
        drop(closed);
        Pause { book: Arc::clone(self) }
    }

    /// What is returned is large: drop it when the lock is free.
    fn close_open(&self, pages: &mut Pages) -> impl Sized + use<> {
        self.current.store(0, Ordering::SeqCst);
        let closed = pages.open.take();
        if let Some(open) = &closed {
            pages.left = Some((open.session.term, open.table.proposed()));
        }
        closed
    }

    pub(super) fn times(&self) -> &LeaseTimes {
        &self.times
    }

    /// Whether the session is still open.
    pub(super) fn is_current(&self, session: Session) -> bool {
        self.current.load(Ordering::SeqCst) == session.number
    }

    /// Records heartbeats; `None` if the session is over.
    pub(super) fn renew(&self, session: Session, ids: &[Option<NodeId>]) -> Option<Vec<Standing>> {
        self.with(session, |open| {
            let now = self.now();
            let at = open.clock.read(now);
            let renew =
                |id: &Option<NodeId>| id.map_or(Standing::Unknown, |id| open.table.renew(id, at, now));
            ids.iter().map(renew).collect()
        })
    }

    /// How a node stands now; `None` if the session is over.
    pub(super) fn standings(&self, session: Session, ids: &[NodeId]) -> Option<Vec<Standing>> {
        self.with(session, |open| ids.iter().map(|id| open.table.standing(*id)).collect())
    }

    /// A tick: whether there is an expiry to propose. `counts`: see [`LeaseClock::tick`].
    pub(super) fn tick(&self, session: Session, counts: bool) -> bool {
        let is_due = self.with(session, |open| {
            let at = open.clock.tick(self.now(), counts);
            open.table.is_due(at)
        });
        is_due.unwrap_or(false)
    }

    /// The next expiry to propose in this session, if there is one: see [`Table::expire`].
    pub(super) fn expire(&self, session: Session) -> Option<Command> {
        self.with(session, |open| {
            let at = open.clock.read(self.now());
            open.table.expire(at, EXPIRE_MAX_NODES)
        })?
    }

    /// Whether an expiry that was proposed in this session has not been observed yet.
    pub(super) fn is_unsettled(&self, session: Session) -> bool {
        self.with(session, |open| open.table.is_unsettled()).unwrap_or(false)
    }

    /// When nodes were last heard from in this session, in milliseconds since 1970 by the wall clock
    /// as it is now; `None` if the session is over.
    pub(super) fn last_heard(&self, session: Session, filter: &FeedFilter) -> Option<HashMap<NodeId, u64>> {
        let state = Arc::clone(&self.lock().state);
        let wanted = state.namespaces().filter(|namespace| filter.wants(&namespace.name));
        let ids: Vec<NodeId> =
            wanted.flat_map(|namespace| state.nodes_of(namespace.id)).map(|node| node.id).collect();
        let (now, unix_ms) = (self.env.now(), self.env.unix_ms());
        let mut heard_at_ms = HashMap::with_capacity(ids.len());
        for ids in ids.chunks(LOOKUP_MAX_NODES) {
            self.with(session, |open| {
                for id in ids {
                    if let Some(heard) = open.table.heard(*id) {
                        let age = now.saturating_duration_since(heard);
                        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
                        heard_at_ms.insert(*id, unix_ms.saturating_sub(age_ms));
                    }
                }
            })?;
        }
        Some(heard_at_ms)
    }

    /// How the leases are; `None` if no session is open.
    pub(super) fn stats(&self) -> Option<LeaseStats> {
        let pages = self.lock();
        let open = pages.open.as_ref()?;
        Some(LeaseStats { given_back: open.clock.given_back(), ..open.table.stats() })
    }

    /// The monotonic time, by which leases go.
    fn now(&self) -> Instant {
        if mutant::is(Mutant::WallClockLeases) {
            return self.env.wall_instant();
        }
        self.env.now()
    }

    fn with<T>(&self, session: Session, act: impl FnOnce(&mut Open) -> T) -> Option<T> {
        let mut pages = self.lock();
        pages.open.as_mut().filter(|open| open.session == session).map(act)
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Book {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Book")
    }
}
