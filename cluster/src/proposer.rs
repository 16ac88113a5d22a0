//! The way of a write to the log: here if this member leads, else by one hop to the leader.
//!
//! A command is sent again only while it certainly has not been appended anywhere: no leader was
//! known, it could not be reached, or it refused. Once a command may have been appended, whatever
//! goes wrong makes its outcome *unknown*.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kenger_mutant::{self as mutant, Mutant};
use kenger_state::{Applied, Command, Proposal};
use openraft::errors::{ClientWriteError, ForwardReason};
use openraft::impls::ProgressResponder;
use openraft::impls::leader_id_adv::LeaderId;
use openraft::raft::ClientWriteResult;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::Timing;
use crate::env::Env;
use crate::error::ProposeError;
use crate::leadership::{Leadership, Observer, Route};
use crate::lease::LeadTerm;
use crate::member::Committed;
use crate::raft::Raft;
use crate::raft::types::{Reply, TypeConfig};
use crate::transport::{PeerAddress, Peers, Purpose, Request, Response};

/// Most proposals of a member that are under way at once, those that others forwarded to it
/// included, and those whose proposers have given up.
pub(crate) const PROPOSALS_IN_FLIGHT_MAX: usize = 8_192;

/// Most of them that are for the lease keeper alone, whatever else goes on.
const LEASE_PROPOSALS_IN_FLIGHT_MAX: usize = 64;

/// Pause before another try when nothing has told of a new leader.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// How much longer the asking member waits than the leader: the leader's answer should win.
const HOP_ALLOWANCE: Duration = Duration::from_millis(500);

/// Proposes commands. Shared by all who do.
pub(crate) struct Proposer {
    me: u64,
    env: Env,
    timing: Timing,
    raft: Raft,
    observer: Observer,
    peers: Peers,
    changes: watch::Receiver<Leadership>,
    places: Arc<Semaphore>,
    lease_places: Arc<Semaphore>,
    stopping: CancellationToken,
    unknown_total: AtomicU64,
}

/// What a proposer works with.
pub(crate) struct ProposerParts {
    pub(crate) env: Env,
    pub(crate) timing: Timing,
    pub(crate) raft: Raft,
    pub(crate) observer: Observer,
    pub(crate) peers: Peers,
    pub(crate) changes: watch::Receiver<Leadership>,
    /// Nothing more is proposed once it is cancelled.
    pub(crate) stopping: CancellationToken,
}

type Answer = oneshot::Receiver<ClientWriteResult<TypeConfig>>;

impl Proposer {
    pub(crate) fn new(parts: ProposerParts) -> Self {
        let ProposerParts { env, timing, raft, observer, peers, changes, stopping } = parts;
        Self {
            me: *raft.node_id(),
            env,
            timing,
            raft,
            observer,
            peers,
            changes,
            places: Arc::new(Semaphore::new(PROPOSALS_IN_FLIGHT_MAX)),
            lease_places: Arc::new(Semaphore::new(LEASE_PROPOSALS_IN_FLIGHT_MAX)),
            stopping,
            unknown_total: AtomicU64::new(0),
        }
    }

    /// Carries out a command, here or on the leader.
    pub(crate) async fn propose(&self, command: Command) -> Result<Committed, ProposeError> {
        let deadline = self.env.now() + self.timing.leader_wait;
        let mut changes = self.changes.clone();
        let mut command = command;
        loop {
            if self.stopping.is_cancelled() {
                return Err(ProposeError::Stopping);
            }
            // Seen before the route is read, so that no change is missed while it is tried.
            changes.borrow_and_update();
            let refusal = match self.observer.route() {
                Route::Here => match self.propose_here(command.clone(), None).await {
                    Err(ProposeError::NoLeader(reason)) => reason,
                    outcome => return outcome,
                },
                Route::To(leader) => match self.forward(&leader, command).await {
                    Forwarded::Done(outcome) => return outcome,
                    Forwarded::Refused(reason, unchanged) => {
                        command = unchanged;
                        reason
                    }
                },
                Route::Nowhere(reason) => reason.to_owned(),
            };
            if !self.wait_for_another_try(deadline, &mut changes).await {
                return Err(ProposeError::NoLeader(refusal));
            }
        }
    }

    /// Waits for news of a leader, or a moment; false if the time is over.
    async fn wait_for_another_try(
        &self,
        deadline: Instant,
        changes: &mut watch::Receiver<Leadership>,
    ) -> bool {
        let until = deadline.min(self.env.now() + RETRY_PAUSE);
        let _ = timeout_at(until, changes.changed()).await;
        self.env.now() < deadline
    }

    /// Carries out a command on this member, which must lead (in `term`, if one is given). Never
    /// forwards.
    pub(crate) async fn propose_here(
        &self,
        command: Command,
        term: Option<LeadTerm>,
    ) -> Result<Committed, ProposeError> {
        let places = if term.is_some() { &self.lease_places } else { &self.places };
        // Before a place is asked for: a member that stops takes all of them, see `drained`.
        if self.stopping.is_cancelled() && term.is_none() {
            return Err(ProposeError::Stopping);
        }
        let place = Arc::clone(places).try_acquire_owned().map_err(|_| too_many(term))?;
        let (responder, answer) = ProgressResponder::complete_only();
        let proposal = Proposal { proposed_at_ms: self.env.unix_ms(), command };
        let guess = mutant::is(Mutant::AcknowledgeBeforeCommit).then(|| proposal.clone());
        let mut write = self.raft.write(proposal).responder(responder);
        if let Some(LeadTerm(term)) = term {
            write = write.with_leader(LeaderId { term, node_id: self.me });
        }
        // Held from here on, even if this future is dropped: what is in the log is under way.
        let mut pending = Pending { answer: Some(answer), place: Some(place) };
        if let Err(fatal) = write.await {
            return Err(self.unknown(format!("Raft has stopped: {fatal}")));
        }
        if let Some(proposal) = guess {
            return self.guess(proposal).await;
        }
        match timeout(self.timing.commit_timeout, pending.wait()).await {
            Ok(Ok(result)) => self.outcome(result),
            Ok(Err(_)) => Err(self.unknown("Raft has stopped".to_owned())),
            Err(_) => {
                let waited = self.timing.commit_timeout.as_millis();
                Err(self.unknown(format!("a quorum did not confirm it within {waited} ms")))
            }
        }
    }

    /// What a mutant answers instead of waiting for a quorum: what the command would do now.
    async fn guess(&self, proposal: Proposal) -> Result<Committed, ProposeError> {
        let guess =
            self.raft.with_state_machine(move |machine| Box::pin(machine.would_apply(proposal))).await;
        match guess {
            Ok(Applied { revision, result, .. }) => Ok(Committed { revision, output: result? }),
            Err(fatal) => Err(self.unknown(format!("Raft has stopped: {fatal}"))),
        }
    }

    fn outcome(&self, result: ClientWriteResult<TypeConfig>) -> Result<Committed, ProposeError> {
        match result {
            Ok(response) => match response.data {
                Reply::Command { revision, result } => Ok(Committed { revision, output: result? }),
                Reply::None => Err(self.unknown("an entry that is no command answered".to_owned())),
            },
            // Refused before it was appended.
            Err(ClientWriteError::ForwardToLeader(forward)) => {
                Err(ProposeError::NoLeader(match forward.reason {
                    ForwardReason::NotLeader => "this member does not lead".to_owned(),
                    ForwardReason::LeadershipTransfer => "this member is handing over the lead".to_owned(),
                    ForwardReason::LeaseExpired => {
                        "this member leads, but a quorum does not answer it".to_owned()
                    }
                }))
            }
            Err(ClientWriteError::PreconditionFailed(reason)) => {
                Err(ProposeError::NoLeader(reason.to_string()))
            }
            Err(
                error @ (ClientWriteError::LogEntryDiscarded(_) | ClientWriteError::ChangeMembershipError(_)),
            ) => Err(self.unknown(error.to_string())),
        }
    }

    async fn forward(&self, leader: &PeerAddress, command: Command) -> Forwarded {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let Ok(_place) = place else {
            let is_stopping = self.stopping.is_cancelled();
            return Forwarded::Done(Err(if is_stopping { ProposeError::Stopping } else { too_many(None) }));
        };
        let limit = self.timing.commit_timeout + HOP_ALLOWANCE;
        let request = Request::Propose(command);
        let answer = self.peers.call(leader, Purpose::Client, &request, limit).await;
        let Request::Propose(command) = request else {
            return Forwarded::Done(Err(self.unknown("the request changed".to_owned())));
        };
        match answer {
            Ok(Response::Proposed(Err(ProposeError::NoLeader(reason)))) => {
                Forwarded::Refused(reason, command)
            }
            Ok(Response::Proposed(Err(error @ ProposeError::Stopping))) => {
                Forwarded::Refused(format!("member {}: {error}", leader.member), command)
            }
            Ok(Response::Proposed(outcome)) => Forwarded::Done(outcome),
            Ok(other) => {
                Forwarded::Done(Err(self.unknown(format!("the leader answered with {}", other.name()))))
            }
            Err(error) if error.nothing_happened() => Forwarded::Refused(error.to_string(), command),
            Err(error) => Forwarded::Done(Err(self.unknown(format!("member {}: {error}", leader.member)))),
        }
    }

    fn unknown(&self, reason: String) -> ProposeError {
        self.unknown_total.fetch_add(1, Ordering::Relaxed);
        ProposeError::Unknown(reason)
    }

    /// Proposals that are under way.
    pub(crate) fn in_flight(&self) -> usize {
        PROPOSALS_IN_FLIGHT_MAX - self.places.available_permits()
    }

    /// Proposals whose outcome was not known in the end, since the start.
    pub(crate) fn unknown_total(&self) -> u64 {
        self.unknown_total.load(Ordering::Relaxed)
    }

    /// Waits until nothing is under way.
    pub(crate) async fn drained(&self) {
        let all = u32::try_from(PROPOSALS_IN_FLIGHT_MAX).unwrap_or(u32::MAX);
        let _ = self.places.acquire_many(all).await;
    }
}

/// What came of the hop to the leader.
enum Forwarded {
    Done(Result<Committed, ProposeError>),
    /// The leader has not acted on it; the command comes back.
    Refused(String, Command),
}

/// A write that Raft has. It keeps its place until Raft answers, whoever waits for it: otherwise a
/// leader without a quorum would gather writes without a bound.
struct Pending {
    answer: Option<Answer>,
    place: Option<OwnedSemaphorePermit>,
}

impl Pending {
    async fn wait(&mut self) -> Result<ClientWriteResult<TypeConfig>, oneshot::error::RecvError> {
        let Some(answer) = self.answer.as_mut() else { return std::future::pending().await };
        let result = answer.await;
        self.answer = None;
        result
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let (Some(answer), Some(place), Ok(runtime)) =
            (self.answer.take(), self.place.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(async move {
                let _ = answer.await;
                drop(place);
            });
        }
    }
}

const fn too_many(term: Option<LeadTerm>) -> ProposeError {
    ProposeError::TooMany(match term {
        Some(_) => LEASE_PROPOSALS_IN_FLIGHT_MAX,
        None => PROPOSALS_IN_FLIGHT_MAX,
    })
}
