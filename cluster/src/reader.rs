//! Linearizable reads (Raft's ReadIndex): learn from the leader which index counts, wait until it is
//! applied here.
//!
//! Readers share rounds: while one is under way, those who come wait for the next, and all of them
//! get its answer. A round that began before a reader came could miss a write that was acknowledged
//! in between, so nobody joins a round that has begun.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kenger_mutant::{self as mutant, Mutant};
use openraft::LinearizerOption;
use openraft::errors::{LinearizableReadError, RaftError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::Timing;
use crate::env::Env;
use crate::error::ReadError;
use crate::leadership::{Leadership, Observer, Route};
use crate::raft::Raft;
use crate::transport::{PeerAddress, Peers, Purpose, Request, Response};

/// Most readers that wait for a round.
const READS_WAITING_MAX: usize = 16_384;

/// Pause before another try when nothing has told of a new leader.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// What a reader works with.
#[derive(Clone)]
pub(crate) struct ReaderParts {
    pub(crate) env: Env,
    pub(crate) timing: Timing,
    pub(crate) raft: Raft,
    pub(crate) observer: Observer,
    pub(crate) peers: Peers,
    pub(crate) changes: watch::Receiver<Leadership>,
    /// Nothing more is read once it is cancelled.
    pub(crate) stopping: CancellationToken,
}

/// Makes reads linearizable. Shared by all who read.
pub(crate) struct Reader {
    parts: ReaderParts,
    /// Rounds with Raft, if this member leads. Other members' rounds come here.
    here: Rounds,
    /// Rounds of this member's own readers, here or with the leader.
    anywhere: Rounds,
}

impl Reader {
    /// Call it within a tokio runtime: the rounds are made by tasks.
    pub(crate) fn start(parts: ReaderParts) -> Self {
        let here = {
            let parts = parts.clone();
            Rounds::start(move || Box::pin(index_here(parts.clone())))
        };
        let anywhere = {
            let (parts, here) = (parts.clone(), here.clone());
            Rounds::start(move || Box::pin(index_anywhere(parts.clone(), here.clone())))
        };
        Self { parts, here, anywhere }
    }

    /// Waits until what is applied here includes everything that was acknowledged anywhere before.
    pub(crate) async fn barrier(&self) -> Result<(), ReadError> {
        if mutant::is(Mutant::ReadWithoutIndex) {
            return Ok(());
        }
        let index = self.anywhere.next().await?;
        if mutant::is(Mutant::ReadBeforeApplied) {
            return Ok(());
        }
        self.wait_until_applied(index).await
    }

    /// The index that must be applied, if this member leads. Never asks another member.
    pub(crate) async fn index_as_leader(&self) -> Result<u64, ReadError> {
        self.here.next().await
    }

    async fn wait_until_applied(&self, index: u64) -> Result<(), ReadError> {
        let mut progress = self.parts.raft.watch_apply_progress();
        let applied =
            progress.wait_until(|applied| applied.as_ref().is_some_and(|applied| applied.index() >= index));
        match timeout(self.parts.timing.commit_timeout, applied).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ReadError::Stopping),
            Err(_) => Err(ReadError::Behind(millis(self.parts.timing.commit_timeout))),
        }
    }
}

async fn index_here(parts: ReaderParts) -> Result<u64, ReadError> {
    // The bound on the wait; without a quorum there is no answer.
    let option = LinearizerOption::new(Some(Duration::ZERO), true)
        .with_wait_timeout(parts.timing.election_timeout_max);
    match parts.raft.get_read_linearizer(option).await {
        Ok(linearizer) => Ok(linearizer.read_log_id().index()),
        Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(_))) => {
            Err(ReadError::NoLeader("this member does not lead".to_owned()))
        }
        Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {
            Err(ReadError::NoLeader("this member leads, but a quorum does not answer it".to_owned()))
        }
        Err(RaftError::Fatal(_)) => Err(ReadError::Stopping),
    }
}

async fn index_anywhere(parts: ReaderParts, here: Rounds) -> Result<u64, ReadError> {
    let deadline = parts.env.now() + parts.timing.leader_wait;
    let mut changes = parts.changes.clone();
    loop {
        if parts.stopping.is_cancelled() {
            return Err(ReadError::Stopping);
        }
        // Seen before the route is read, so that no change is missed while it is tried.
        changes.borrow_and_update();
        let answer = match parts.observer.route() {
            Route::Here => here.next().await,
            Route::To(leader) => ask(&parts, &leader).await,
            Route::Nowhere(reason) => Err(ReadError::NoLeader(reason.to_owned())),
        };
        let Err(error) = answer else { return answer };
        let until = deadline.min(parts.env.now() + RETRY_PAUSE);
        let _ = timeout_at(until, changes.changed()).await;
        if parts.env.now() >= deadline {
            return Err(error);
        }
    }
}

async fn ask(parts: &ReaderParts, leader: &PeerAddress) -> Result<u64, ReadError> {
    // Reading changes nothing: any failure may be tried again.
    let limit = parts.timing.election_timeout_max * 2;
    match parts.peers.call(leader, Purpose::Client, &Request::ReadIndex, limit).await {
        Ok(Response::ReadIndex(answer)) => answer,
        Ok(other) => Err(ReadError::NoLeader(format!("the leader answered with {}", other.name()))),
        Err(error) => Err(ReadError::NoLeader(error.to_string())),
    }
}

type Waiter = oneshot::Sender<Result<u64, ReadError>>;
type RoundFuture = Pin<Box<dyn Future<Output = Result<u64, ReadError>> + Send>>;

/// Shares the rounds of one kind. The task ends with the last clone.
#[derive(Clone)]
struct Rounds {
    waiters: mpsc::Sender<Waiter>,
}

impl Rounds {
    fn start(round: impl Fn() -> RoundFuture + Send + Sync + 'static) -> Self {
        let (waiters, mut queue) = mpsc::channel::<Waiter>(READS_WAITING_MAX);
        let round: Arc<dyn Fn() -> RoundFuture + Send + Sync> = Arc::new(round);
        tokio::spawn(async move {
            let mut batch = Vec::new();
            // Whoever is in the queue now came before the round begins.
            while queue.recv_many(&mut batch, READS_WAITING_MAX).await > 0 {
                batch.retain(|waiter| !waiter.is_closed());
                if batch.is_empty() {
                    continue;
                }
                let answer = round().await;
                for waiter in batch.drain(..) {
                    let _ = waiter.send(answer.clone());
                }
            }
        });
        Self { waiters }
    }

    /// The answer of the next round that begins.
    async fn next(&self) -> Result<u64, ReadError> {
        let (waiter, answer) = oneshot::channel();
        self.waiters.try_send(waiter).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ReadError::TooMany(READS_WAITING_MAX),
            mpsc::error::TrySendError::Closed(_) => ReadError::Stopping,
        })?;
        answer.await.map_err(|_| ReadError::Stopping)?
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::sync::Notify;

    use super::Rounds;

    /// Rounds that answer with their number when they are let go.
    fn numbered() -> (Rounds, Arc<AtomicU64>, Arc<Notify>) {
        let (begun, go) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
        let rounds = {
            let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
            Rounds::start(move || {
                let number = begun.fetch_add(1, Ordering::SeqCst) + 1;
                let go = Arc::clone(&go);
                Box::pin(async move {
                    go.notified().await;
                    Ok(number)
                })
            })
        };
        (rounds, begun, go)
    }

    #[tokio::test]
    async fn nobody_joins_a_round_that_has_begun_and_all_who_wait_share_the_next() {
        let (rounds, begun, go) = numbered();
        let ask = |rounds: &Rounds| {
            let rounds = rounds.clone();
            tokio::spawn(async move { rounds.next().await.unwrap() })
        };
        let first = ask(&rounds);
        while begun.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let later: Vec<_> = (0..100).map(|_| ask(&rounds)).collect();
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        go.notify_one();
        assert_eq!(first.await.unwrap(), 1);
        go.notify_one();
        for reader in later {
            assert_eq!(reader.await.unwrap(), 2);
        }
        assert_eq!(begun.load(Ordering::SeqCst), 2);
    }
}
