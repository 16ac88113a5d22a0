//! Who leads, as far as this member knows: Raft's metrics, and when the leader was last heard from.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kenger_types::MemberId;
use kenger_types::cluster::MemberAddress;
use openraft::ServerState;
use openraft::alias::{VoteOf, WatchReceiverOf};
use openraft::async_runtime::{Instant as _, WatchReceiver};
use openraft::vote::RaftLeaderId;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Timing;
use crate::env::Env;
use crate::lease::LeadTerm;
use crate::raft::Raft;
use crate::raft::types::{MemberNode, Metrics, TypeConfig};
use crate::transport::PeerAddress;

/// Who leads, as far as a member knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    /// The leader, if one is known and has been heard from within the election timeout.
    pub leader: Option<MemberAddress>,
    /// Whether it is this member, with everything of earlier terms applied.
    pub is_leader: bool,
    /// How long ago this member last heard from a leader, be it another one than now or one that is
    /// known no more (`Duration::MAX`: never since it was started). On the leader itself, 0 while a
    /// quorum answers it, else how long ago it last did.
    pub lag: Duration,
}

/// How many committed entries a member may have yet to apply and still count as caught up.
const CAUGHT_UP_ENTRIES: u64 = 1_000;

/// Where a request for the leader has to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// This member leads.
    Here,
    /// Another one does.
    To(PeerAddress),
    /// Nobody does, as far as this member knows.
    Nowhere(&'static str),
}

/// When a leader last sent entries or a heartbeat to this member, and when it last led itself.
#[derive(Debug, Default)]
pub(crate) struct Contact(Mutex<Contacts>);

#[derive(Debug, Default)]
struct Contacts {
    /// The vote of the leader that was heard from last.
    heard: Option<(VoteOf<TypeConfig>, Instant)>,
    /// A quorum answered this member as its leader.
    led: Option<Instant>,
}

impl Contact {
    fn lock(&self) -> MutexGuard<'_, Contacts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something came from the leader with this vote, which Raft has accepted.
    pub(crate) fn heard(&self, vote: VoteOf<TypeConfig>, at: Instant) {
        self.lock().heard = Some((vote, at));
    }

    /// Something came from a member with this vote. If Raft accepted that vote before, its leader
    /// was heard from; else that shows only when Raft has answered, after the entries are synced.
    pub(crate) fn arrived(&self, vote: &VoteOf<TypeConfig>, at: Instant) {
        let mut last = self.lock();
        if let Some((_, last)) = last.heard.as_mut().filter(|(accepted, _)| accepted == vote) {
            *last = at;
        }
    }

    fn led(&self, at: Option<Instant>) {
        let mut last = self.lock();
        last.led = last.led.max(at);
    }

    fn last_of(&self, leader: u64) -> Option<Instant> {
        let last = self.lock();
        last.heard.as_ref().filter(|(vote, _)| *vote.leader_id().node_id() == leader).map(|(_, at)| *at)
    }

    fn last(&self) -> Option<Instant> {
        let last = self.lock();
        last.led.max(last.heard.as_ref().map(|(_, at)| *at))
    }
}

/// Reads leadership off Raft's metrics. Clones look at the same member.
#[derive(Clone)]
pub(crate) struct Observer {
    me: MemberId,
    env: Env,
    timing: Timing,
    metrics: WatchReceiverOf<TypeConfig, Metrics>,
    contact: Arc<Contact>,
    /// While it is set, this member leads no more, whatever Raft says: it is handing over.
    steps_down: Arc<AtomicBool>,
    /// Whether everything that was applied before a restart is applied again. Until then this member
    /// may be behind what it has told, and names no leader, so that nothing default is read from it.
    has_recovered: Arc<AtomicBool>,
}

impl Observer {
    pub(crate) fn new(me: MemberId, env: Env, timing: Timing, raft: &Raft, contact: Arc<Contact>) -> Self {
        let metrics = raft.metrics();
        Self { me, env, timing, metrics, contact, steps_down: Arc::default(), has_recovered: Arc::default() }
    }

    /// Raft's metrics as they are now.
    pub(crate) fn metrics(&self) -> Metrics {
        self.metrics.borrow_watched().clone()
    }

    /// From now on this member does not count itself as the leader: it hands over.
    pub(crate) fn step_down(&self) {
        self.steps_down.store(true, Ordering::SeqCst);
    }

    fn has_recovered(&self) -> bool {
        self.has_recovered.load(Ordering::SeqCst)
    }

    /// Waits until everything that this member can have applied before its restart is applied. What
    /// was applied is in its log; how much of the log was committed, only a leader tells.
    pub(crate) async fn recover(self, stop: CancellationToken) {
        let mut metrics = self.metrics.clone();
        let at_start = metrics.borrow_and_update().last_log_index;
        loop {
            {
                let metrics = metrics.borrow_and_update();
                // A tail that no quorum had is cut off; then the log is shorter than at the start.
                let target = at_start.min(metrics.last_log_index);
                let committed = metrics.cluster_committed.as_ref().map(|log_id| log_id.index());
                let applied = metrics.last_applied.as_ref().map(|log_id| log_id.index());
                if target <= committed && target <= applied {
                    self.has_recovered.store(true, Ordering::SeqCst);
                    return;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = metrics.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Whether this member has applied all but the last few of the entries that it knows to be
    /// committed.
    pub(crate) fn is_caught_up(&self) -> bool {
        let metrics = self.metrics.borrow_watched();
        let committed = metrics.cluster_committed.as_ref().map_or(0, |log_id| log_id.index());
        let applied = metrics.last_applied.as_ref().map_or(0, |log_id| log_id.index());
        self.has_recovered() && committed.saturating_sub(applied) <= CAUGHT_UP_ENTRIES
    }

    /// Who leads, as far as this member knows.
    pub(crate) fn leadership(&self) -> Leadership {
        self.leadership_of(&self.metrics.borrow_watched())
    }

    /// Who led when Raft's metrics were these.
    pub(crate) fn leadership_of(&self, metrics: &Metrics) -> Leadership {
        let (leader, since) = match self.route_of(metrics) {
            Route::Here => (Some(self.me), self.quorum_age(metrics)),
            Route::To(peer) => (Some(peer.member), self.contact_age(peer.member)),
            Route::Nowhere(_) => (None, None),
        };
        let is_heard = since.is_some_and(|since| since <= self.timing.election_timeout_max);
        let lag = since.or_else(|| self.contact.last().map(|at| self.age(at))).unwrap_or(Duration::MAX);
        let is_here = leader == Some(self.me);
        Leadership {
            leader: leader
                .filter(|_| is_heard && self.has_recovered())
                .and_then(|id| address_of(metrics, id)),
            is_leader: is_here && is_heard && self.lead_of(metrics).is_some(),
            lag: if is_here && is_heard { Duration::ZERO } else { lag },
        }
    }

    /// The term in which this member leads with everything of earlier terms applied.
    pub(crate) fn lead(&self) -> Option<LeadTerm> {
        self.lead_of(&self.metrics.borrow_watched())
    }

    fn lead_of(&self, metrics: &Metrics) -> Option<LeadTerm> {
        let leads = metrics.state == ServerState::Leader
            && has_applied_earlier_terms(metrics)
            && !self.steps_down.load(Ordering::SeqCst);
        leads.then_some(LeadTerm(metrics.current_term))
    }

    /// Where a request for the leader has to go.
    pub(crate) fn route(&self) -> Route {
        self.route_of(&self.metrics.borrow_watched())
    }

    fn route_of(&self, metrics: &Metrics) -> Route {
        let Some(leader) = metrics.current_leader else { return Route::Nowhere("none is known") };
        if leader == self.me.0 {
            return match metrics.state {
                ServerState::Leader => Route::Here,
                _ => Route::Nowhere("this member does not lead any more"),
            };
        }
        match metrics.membership_config.membership().get_node(&leader) {
            Some(node) => Route::To(peer_address(leader, node)),
            None => Route::Nowhere("the leader is not in the membership that this member knows"),
        }
    }

    /// Whether this member leads in `term` and a quorum has answered what it sent within the last
    /// shortest election timeout: until then no other member can have been elected.
    pub(crate) fn quorum_is_fresh(&self, term: LeadTerm) -> bool {
        let metrics = self.metrics.borrow_watched();
        self.lead_of(&metrics) == Some(term)
            && self.quorum_age(&metrics).is_some_and(|age| age < self.timing.election_timeout_min)
    }

    /// How long ago what a quorum has answered was sent to it; `None` if this member does not lead
    /// or no quorum has answered since it began to.
    fn quorum_age(&self, metrics: &Metrics) -> Option<Duration> {
        if metrics.state != ServerState::Leader {
            return None;
        }
        let mut voters = metrics.membership_config.membership().voter_ids();
        if voters.next() == Some(self.me.0) && voters.next().is_none() {
            return Some(Duration::ZERO);
        }
        metrics.last_quorum_acked.as_ref().map(|acked| acked.elapsed())
    }

    fn contact_age(&self, leader: MemberId) -> Option<Duration> {
        self.contact.last_of(leader.0).map(|at| self.age(at))
    }

    fn age(&self, at: Instant) -> Duration {
        self.env.now().saturating_duration_since(at)
    }

    /// Tells `changes` of each change of leader, until `stop`. That a leader has fallen silent shows
    /// by time alone, so time is looked at, too.
    pub(crate) async fn watch(self, changes: Arc<LeadershipChanges>, stop: CancellationToken) {
        let mut metrics = self.metrics.clone();
        loop {
            // Seen before it is looked at, so that no change is missed.
            let age = self.quorum_age(&metrics.borrow_and_update());
            // Raft forgets it when this member ceases to lead.
            self.contact.led(age.and_then(|age| self.env.now().checked_sub(age)));
            changes.tell(self.leadership(), self.lead());
            let settles = tokio::time::sleep(self.timing.heartbeat_interval);
            tokio::select! {
                () = stop.cancelled() => return,
                changed = metrics.changed() => if changed.is_err() { return },
                () = settles => {}
            }
        }
    }
}

/// Whoever wants to hear of changes of leader.
#[derive(Debug)]
pub(crate) struct LeadershipChanges {
    leadership: watch::Sender<Leadership>,
    lead: watch::Sender<Option<LeadTerm>>,
}

impl LeadershipChanges {
    pub(crate) fn new(first: Leadership) -> Self {
        Self { leadership: watch::Sender::new(first), lead: watch::Sender::new(None) }
    }

    /// Another leader, or none.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Leadership> {
        self.leadership.subscribe()
    }

    /// The term in which this member leads.
    pub(crate) fn subscribe_lead(&self) -> watch::Receiver<Option<LeadTerm>> {
        self.lead.subscribe()
    }

    fn tell(&self, leadership: Leadership, lead: Option<LeadTerm>) {
        self.lead.send_if_modified(|known| std::mem::replace(known, lead) != lead);
        let mut is_other_leader = false;
        self.leadership.send_if_modified(|known| {
            is_other_leader = known.leader != leadership.leader;
            let is_news = is_other_leader || known.is_leader != leadership.is_leader;
            *known = leadership;
            is_news
        });
        if is_other_leader {
            match &self.leadership.borrow().leader {
                Some(leader) => tracing::info!(leader = %leader.id, "the cluster has a leader"),
                None => tracing::warn!("no leader is known"),
            }
        }
    }
}

/// A new leader's first entry is of its own term: with it, everything before it is applied.
fn has_applied_earlier_terms(metrics: &Metrics) -> bool {
    let applied = metrics.last_applied.as_ref();
    applied.is_some_and(|applied| *applied.committed_leader_id() == metrics.vote.leader_id().to_committed())
}

fn address_of(metrics: &Metrics, id: MemberId) -> Option<MemberAddress> {
    let node = metrics.membership_config.membership().get_node(&id.0)?;
    Some(MemberAddress { id, api: node.api.clone() })
}

/// Where Raft's node is reached, and by which data directory.
pub(crate) fn peer_address(id: u64, node: &MemberNode) -> PeerAddress {
    PeerAddress { member: MemberId(id), address: node.peer.clone(), incarnation: Some(node.incarnation) }
}

#[cfg(test)]
mod tests;
