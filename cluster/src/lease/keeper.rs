//! The way of a heartbeat on the leader, and the tasks that keep the leases.

use std::collections::HashMap;
use std::sync::Arc;

use kenger_mutant::{self as mutant, Mutant};
use kenger_types::api::NodeAddress;
use kenger_types::{NodeId, NodeStatus};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::book::{Book, Pause, Session};
use super::expiry::Expiry;
use super::relay::Relay;
use super::returns::{ReturnWorker, Returns};
use super::table::Standing;
use super::{Cluster, LeaseStats};
use crate::error::{ProposeError, ReadError};
use crate::feed::FeedFilter;
use crate::member::HeartbeatOutcome;

/// Takes heartbeats and expires the nodes whose heartbeats do not come. Dropping it ends its tasks.
pub(crate) struct Keeper {
    leader: Arc<Leader>,
    relay: Relay,
    _tasks: JoinSet<()>,
}

/// What a member does with heartbeats while it leads.
pub(super) struct Leader {
    book: Arc<Book>,
    cluster: Arc<dyn Cluster>,
    returns: Returns,
}

impl Keeper {
    /// Begins to take heartbeats, and to look at leases at each tick. Call it within a tokio runtime.
    pub(crate) fn start(book: Arc<Book>, cluster: Arc<dyn Cluster>) -> Self {
        let mut tasks = JoinSet::new();
        let (leader, expiry, returns) = Leader::new(book, cluster);
        let leader = Arc::new(leader);
        tasks.spawn(returns.run());
        tasks.spawn(expiry.clone().run());
        tasks.spawn(run_ticks(Arc::clone(&leader), expiry));
        let (relay, worker) = Relay::new(Arc::clone(&leader));
        tasks.spawn(worker.run());
        Self { leader, relay, _tasks: tasks }
    }

    /// Heartbeats of this member's own clients: recorded here if it leads, else passed on to the
    /// leader. Answers in the order of `nodes`.
    ///
    /// # Errors
    /// No leader that a quorum has answered lately, or too much is under way: nothing counts as
    /// heard.
    pub(crate) async fn heartbeat(
        &self,
        nodes: Vec<NodeAddress>,
    ) -> Result<Vec<HeartbeatOutcome>, ReadError> {
        match () {
            () if nodes.is_empty() => Ok(Vec::new()),
            () if self.leader.leads() => self.leader.heartbeat(&nodes).await,
            () => self.relay.pass_on(nodes).await,
        }
    }

    /// Heartbeats that another member passed on. They go no further.
    ///
    /// # Errors
    /// As [`Keeper::heartbeat`].
    pub(crate) async fn heartbeat_as_leader(
        &self,
        nodes: &[NodeAddress],
    ) -> Result<Vec<HeartbeatOutcome>, ReadError> {
        self.leader.heartbeat(nodes).await
    }

    /// When this leader last heard from nodes, in milliseconds since 1970, for people.
    ///
    /// # Errors
    /// This member does not lead.
    pub(crate) fn last_heard(&self, filter: &FeedFilter) -> Result<HashMap<NodeId, u64>, ReadError> {
        let Leader { book, cluster, .. } = &*self.leader;
        let term = cluster.lead().ok_or_else(not_leading)?;
        let (session, _) = book.open(term).ok_or_else(not_leading)?;
        book.last_heard(session, filter).ok_or_else(not_leading)
    }

    /// Takes no more heartbeats and expires nothing, as long as the pause is held. To be called before
    /// the lead is handed over: when it returns, no heartbeat is acknowledged any more that the next
    /// leader would not know of.
    pub(crate) fn pause(&self) -> Pause {
        self.leader.book.pause()
    }

    /// How the leases are; `None` if this member does not keep them.
    pub(crate) fn stats(&self) -> Option<LeaseStats> {
        self.leader.book.stats()
    }
}

impl Leader {
    /// With what works for it.
    pub(super) fn new(book: Arc<Book>, cluster: Arc<dyn Cluster>) -> (Self, Expiry, ReturnWorker) {
        let (returns, worker) = Returns::new(Arc::clone(&book), Arc::clone(&cluster));
        let expiry = Expiry::new(Arc::clone(&book), Arc::clone(&cluster));
        (Self { book, cluster, returns }, expiry, worker)
    }

    pub(super) fn leads(&self) -> bool {
        self.cluster.lead().is_some()
    }

    pub(super) fn cluster(&self) -> &dyn Cluster {
        &*self.cluster
    }

    /// Records heartbeats, brings back who has to be, and answers if this member may.
    pub(super) async fn heartbeat(&self, nodes: &[NodeAddress]) -> Result<Vec<HeartbeatOutcome>, ReadError> {
        let term = self.cluster.lead().ok_or_else(not_leading)?;
        let (session, state) = self.book.open(term).ok_or_else(not_leading)?;
        // Outside the lock. A node that registers from now on has not been answered yet.
        let ids: Vec<Option<NodeId>> = nodes
            .iter()
            .map(|node| state.node(&node.ns, &node.host, node.port).map(|node| node.id))
            .collect();
        drop(state);
        let mut standings = self.book.renew(session, &ids).ok_or_else(not_leading)?;
        if standings.contains(&Standing::MustReturn) {
            self.bring_back(session, &ids, &mut standings).await?;
        }
        let outcomes = standings.into_iter().map(outcome).collect::<Result<_, _>>()?;
        // Last of all: what is recorded counts only if no other leader can have begun before.
        self.confirm(session)?;
        Ok(outcomes)
    }

    async fn bring_back(
        &self,
        session: Session,
        ids: &[Option<NodeId>],
        standings: &mut [Standing],
    ) -> Result<(), ReadError> {
        let away: Vec<usize> =
            (0..ids.len()).filter(|place| standings[*place] == Standing::MustReturn).collect();
        let away_ids: Vec<NodeId> = away.iter().filter_map(|place| ids[*place]).collect();
        let tried = self.returns.bring_back(session, away_ids.clone()).await?;
        let after = self.book.standings(session, &away_ids).ok_or_else(not_leading)?;
        if after.contains(&Standing::MustReturn) {
            return Err(not_back(tried));
        }
        for (place, standing) in away.into_iter().zip(after) {
            standings[place] = standing;
        }
        Ok(())
    }

    /// Whether what was recorded in the session may be acknowledged: nobody else can have been elected
    /// before the quorum was asked for, nor can the lead have been handed over before the session was
    /// found to be open.
    fn confirm(&self, session: Session) -> Result<(), ReadError> {
        if !self.cluster.quorum_is_fresh(session.term) && !mutant::is(Mutant::HeartbeatWithoutQuorum) {
            return Err(ReadError::NoLeader("this member is not sure that it still leads".to_owned()));
        }
        if !self.book.is_current(session) {
            return Err(not_leading());
        }
        Ok(())
    }

    /// Follows the lead, lets lease time go on, and tells whether an expiry is due.
    pub(super) fn tick(&self) -> bool {
        match self.cluster.lead() {
            None => {
                self.book.close();
                false
            }
            Some(term) => self.book.open(term).is_some_and(|(session, _)| {
                let may_acknowledge = self.cluster.quorum_is_fresh(term);
                self.book.tick(session, may_acknowledge)
            }),
        }
    }
}

async fn run_ticks(leader: Arc<Leader>, expiry: Expiry) {
    let mut lead = leader.cluster.watch_lead();
    let mut ticks = tokio::time::interval(leader.book.times().tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            // So that a new leader's leases begin when it begins to lead.
            changed = lead.changed() => if changed.is_err() { return },
        }
        if leader.tick() {
            expiry.due();
        }
    }
}

fn outcome(standing: Standing) -> Result<HeartbeatOutcome, ReadError> {
    match standing {
        Standing::Alive { ttl } => Ok(HeartbeatOutcome::Alive {
            status: NodeStatus::Online,
            ttl_seconds: u32::try_from(ttl.as_secs().max(1)).unwrap_or(u32::MAX),
        }),
        Standing::MustReturn => Err(not_back(Ok(()))),
        Standing::Unknown => Ok(HeartbeatOutcome::NotFound),
    }
}

fn not_leading() -> ReadError {
    ReadError::NoLeader("this member does not lead".to_owned())
}

/// Why nodes that were heard from again are not online.
fn not_back(tried: Result<(), ProposeError>) -> ReadError {
    match tried {
        Err(ProposeError::TooMany(under_way)) => ReadError::TooMany(under_way),
        Err(ProposeError::Stopping) => ReadError::Stopping,
        Err(error) => ReadError::NoLeader(format!("a silent node could not be brought back: {error}")),
        Ok(()) => ReadError::NoLeader("a silent node came back and was lost again".to_owned()),
    }
}
