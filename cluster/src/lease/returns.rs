//! Brings nodes back through the log: those that were heard from while they were offline, or about
//! to be. One command for all that came while the last one was under way.

use std::collections::BTreeSet;
use std::sync::Arc;

use kenger_state::Command;
use kenger_types::NodeId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::book::{Book, Session};
use super::table::Standing;
use super::{Cluster, RETURN_MAX_NODES, RETURN_QUEUE_MAX_NODES};
use crate::error::{ProposeError, ReadError};

/// The way in. Clones lead to the same queue.
#[derive(Clone)]
pub(super) struct Returns {
    queue: mpsc::UnboundedSender<Request>,
    /// What bounds the queue: one permit for each node in it.
    room: Arc<Semaphore>,
}

struct Request {
    session: Session,
    ids: Vec<NodeId>,
    done: oneshot::Sender<Result<(), ProposeError>>,
    /// Given back when the request is dropped.
    _room: OwnedSemaphorePermit,
}

/// Works off the queue.
pub(super) struct ReturnWorker {
    queue: mpsc::UnboundedReceiver<Request>,
    book: Arc<Book>,
    cluster: Arc<dyn Cluster>,
}

impl Returns {
    pub(super) fn new(book: Arc<Book>, cluster: Arc<dyn Cluster>) -> (Self, ReturnWorker) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(RETURN_QUEUE_MAX_NODES));
        (Self { queue: sender, room }, ReturnWorker { queue: receiver, book, cluster })
    }

    /// Completes when it was tried to bring the nodes back: how they stand then is in the book. An
    /// error says why some of them may not have come back.
    pub(super) async fn bring_back(
        &self,
        session: Session,
        ids: Vec<NodeId>,
    ) -> Result<Result<(), ProposeError>, ReadError> {
        let count = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(count) else {
            return Err(ReadError::TooMany(RETURN_QUEUE_MAX_NODES - self.room.available_permits()));
        };
        let (done, answer) = oneshot::channel();
        let request = Request { session, ids, done, _room: room };
        self.queue.send(request).map_err(|_| ReadError::Stopping)?;
        answer.await.map_err(|_| ReadError::Stopping)
    }
}

impl ReturnWorker {
    /// Works until all ways in are gone.
    pub(super) async fn run(mut self) {
        while let Some(first) = self.queue.recv().await {
            let mut requests = vec![first];
            while requests.iter().map(|request| request.ids.len()).sum::<usize>() < RETURN_MAX_NODES {
                match self.queue.try_recv() {
                    Ok(request) => requests.push(request),
                    Err(_) => break,
                }
            }
            let result = self.bring_back(&requests).await;
            for request in requests {
                // Who asked may have gone; the node is back nevertheless.
                let _ = request.done.send(result.clone());
            }
        }
    }

    async fn bring_back(&self, requests: &[Request]) -> Result<(), ProposeError> {
        let mut result = Ok(());
        // Sessions that are over need nothing: their heartbeats are refused anyway.
        let Some(session) =
            requests.iter().map(|request| request.session).find(|session| self.book.is_current(*session))
        else {
            return result;
        };
        let of_session = requests.iter().filter(|request| request.session == session);
        let ids: BTreeSet<NodeId> = of_session.flat_map(|request| request.ids.iter().copied()).collect();
        let ids: Vec<NodeId> = ids.into_iter().collect();
        for ids in ids.chunks(RETURN_MAX_NODES) {
            let nodes = self.still_away(session, ids);
            if nodes.is_empty() {
                continue;
            }
            let count = nodes.len();
            match self.cluster.propose_in_term(session.term, Command::Return { nodes }).await {
                Ok(_) => tracing::info!(count, "silent nodes were heard from again"),
                Err(error) => {
                    tracing::warn!(count, %error, "nodes were heard from again, but are not back");
                    result = Err(error);
                }
            }
        }
        result
    }

    /// The last command may have brought some of them back already.
    fn still_away(&self, session: Session, ids: &[NodeId]) -> Vec<NodeId> {
        let standings = self.book.standings(session, ids).unwrap_or_default();
        let away = ids.iter().zip(standings).filter(|(_, standing)| *standing == Standing::MustReturn);
        away.map(|(id, _)| *id).collect()
    }
}
