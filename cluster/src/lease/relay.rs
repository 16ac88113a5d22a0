//! Followers pass heartbeats on to the leader: those of a few milliseconds in one message.

use std::sync::Arc;

use kenger_types::api::NodeAddress;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::keeper::Leader;
use super::{RELAY_BATCH_MAX_NODES, RELAY_GATHER, RELAY_IN_FLIGHT_MAX, RELAY_QUEUE_MAX_NODES};
use crate::error::ReadError;
use crate::member::HeartbeatOutcome;

type Answer = Result<Vec<HeartbeatOutcome>, ReadError>;

/// The way in.
pub(super) struct Relay {
    queue: mpsc::UnboundedSender<Request>,
    /// What bounds the queue and what is under way: one permit for each node in it.
    room: Arc<Semaphore>,
}

struct Request {
    nodes: Vec<NodeAddress>,
    done: oneshot::Sender<Answer>,
    /// Given back when the request is dropped.
    _room: OwnedSemaphorePermit,
}

/// Works off the queue.
pub(super) struct RelayWorker {
    queue: mpsc::UnboundedReceiver<Request>,
    /// Came out of the queue and did not fit into the last message.
    left_over: Option<Request>,
    leader: Arc<Leader>,
}

impl Relay {
    pub(super) fn new(leader: Arc<Leader>) -> (Self, RelayWorker) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(RELAY_QUEUE_MAX_NODES));
        (Self { queue: sender, room }, RelayWorker { queue: receiver, left_over: None, leader })
    }

    /// The leader's answer, in the order of `nodes`.
    pub(super) async fn pass_on(&self, nodes: Vec<NodeAddress>) -> Answer {
        let count = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(count) else {
            return Err(ReadError::TooMany(RELAY_QUEUE_MAX_NODES - self.room.available_permits()));
        };
        let (done, answer) = oneshot::channel();
        self.queue.send(Request { nodes, done, _room: room }).map_err(|_| ReadError::Stopping)?;
        answer.await.map_err(|_| ReadError::Stopping)?
    }
}

impl RelayWorker {
    /// Works until the way in is gone.
    pub(super) async fn run(mut self) {
        let in_flight = Arc::new(Semaphore::new(RELAY_IN_FLIGHT_MAX));
        while let Some(requests) = self.gather().await {
            // Never closed.
            let Ok(slot) = Arc::clone(&in_flight).acquire_owned().await else { return };
            let leader = Arc::clone(&self.leader);
            tokio::spawn(async move {
                send(&leader, requests).await;
                drop(slot);
            });
        }
    }

    /// The requests of the next message: what comes within [`RELAY_GATHER`] of the first one, as far
    /// as it fits.
    async fn gather(&mut self) -> Option<Vec<Request>> {
        let first = match self.left_over.take() {
            Some(request) => request,
            None => self.queue.recv().await?,
        };
        let mut count = first.nodes.len();
        let mut requests = vec![first];
        let fill = async {
            while count < RELAY_BATCH_MAX_NODES
                && let Some(request) = self.queue.recv().await
            {
                if count + request.nodes.len() > RELAY_BATCH_MAX_NODES {
                    self.left_over = Some(request);
                    return;
                }
                count += request.nodes.len();
                requests.push(request);
            }
        };
        // Full, or the time is over: both are fine.
        let _ = timeout(RELAY_GATHER, fill).await;
        Some(requests)
    }
}

/// The leader's answer; this member's own if it becomes the leader meanwhile. Then some may be
/// recorded twice, which is as good as once.
async fn answer(leader: &Leader, nodes: Vec<NodeAddress>) -> Answer {
    let mut lead = leader.cluster().watch_lead();
    let leads = async { lead.wait_for(Option::is_some).await.is_ok() && leader.leads() };
    tokio::select! {
        biased;
        true = leads => leader.heartbeat(&nodes).await,
        answer = leader.cluster().relay(nodes.clone()) => answer,
    }
}

async fn send(leader: &Leader, mut requests: Vec<Request>) {
    let counts: Vec<usize> = requests.iter().map(|request| request.nodes.len()).collect();
    let nodes: Vec<_> = requests.iter_mut().flat_map(|request| std::mem::take(&mut request.nodes)).collect();
    let expected = nodes.len();
    let answer = answer(leader, nodes).await;
    let answer = answer.and_then(|outcomes| match outcomes.len() {
        n if n == expected => Ok(outcomes),
        n => Err(ReadError::NoLeader(format!("the leader answered {n} of {expected} heartbeats"))),
    });
    let mut outcomes = answer.map(Vec::into_iter);
    for (request, count) in requests.into_iter().zip(counts) {
        let share = match &mut outcomes {
            Ok(outcomes) => Ok(outcomes.by_ref().take(count).collect()),
            Err(error) => Err(error.clone()),
        };
        // Who asked may have gone; the leader has the heartbeat nevertheless.
        let _ = request.done.send(share);
    }
}
