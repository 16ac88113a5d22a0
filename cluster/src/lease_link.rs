//! What the lease keeper sees of the member: Raft's lead, the proposer, and the way to the leader.

use std::sync::Arc;
use std::time::Duration;

use kenger_state::{Command, Output};
use kenger_types::api::NodeAddress;
use tokio::sync::watch;
use tokio::time::timeout_at;

use crate::config::Timing;
use crate::env::Env;
use crate::error::{ProposeError, ReadError};
use crate::leadership::{LeadershipChanges, Observer, Route};
use crate::lease::{BoxFuture, Cluster, LeadTerm};
use crate::member::HeartbeatOutcome;
use crate::proposer::Proposer;
use crate::transport::{Peers, Purpose, Request, Response};

/// Pause before heartbeats are passed on again when nothing has told of a new leader.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct LeaseLink {
    pub(crate) env: Env,
    pub(crate) timing: Timing,
    pub(crate) observer: Observer,
    pub(crate) changes: Arc<LeadershipChanges>,
    pub(crate) proposer: Arc<Proposer>,
    pub(crate) peers: Peers,
}

impl LeaseLink {
    /// One try. A heartbeat that is recorded twice is recorded once, so any failure may be retried.
    async fn relay_once(&self, request: &Request) -> Result<Vec<HeartbeatOutcome>, ReadError> {
        let leader = match self.observer.route() {
            Route::To(leader) => leader,
            Route::Here => {
                return Err(ReadError::NoLeader("this member is only beginning to lead".to_owned()));
            }
            Route::Nowhere(reason) => return Err(ReadError::NoLeader(reason.to_owned())),
        };
        let limit = self.timing.election_timeout_max * 2;
        match self.peers.call(&leader, Purpose::Lease, request, limit).await {
            Ok(Response::Heartbeats(answer)) => answer,
            Ok(other) => Err(ReadError::NoLeader(format!("the leader answered with {}", other.name()))),
            Err(error) => Err(ReadError::NoLeader(error.to_string())),
        }
    }
}

impl Cluster for LeaseLink {
    fn lead(&self) -> Option<LeadTerm> {
        self.observer.lead()
    }

    fn watch_lead(&self) -> watch::Receiver<Option<LeadTerm>> {
        self.changes.subscribe_lead()
    }

    fn quorum_is_fresh(&self, term: LeadTerm) -> bool {
        self.observer.quorum_is_fresh(term)
    }

    fn propose_in_term(
        &self,
        term: LeadTerm,
        command: Command,
    ) -> BoxFuture<'_, Result<Output, ProposeError>> {
        Box::pin(async move { Ok(self.proposer.propose_here(command, Some(term)).await?.output) })
    }

    fn relay(&self, nodes: Vec<NodeAddress>) -> BoxFuture<'_, Result<Vec<HeartbeatOutcome>, ReadError>> {
        Box::pin(async move {
            let request = Request::Heartbeats(nodes);
            let deadline = self.env.now() + self.timing.leader_wait;
            let mut changes = self.changes.subscribe();
            loop {
                // Seen before the route is read, so that no change is missed while it is tried.
                changes.borrow_and_update();
                let error = match self.relay_once(&request).await {
                    Err(error @ ReadError::NoLeader(_)) => error,
                    outcome => return outcome,
                };
                let until = deadline.min(self.env.now() + RETRY_PAUSE);
                let _ = timeout_at(until, changes.changed()).await;
                if self.env.now() >= deadline {
                    return Err(error);
                }
            }
        })
    }
}
