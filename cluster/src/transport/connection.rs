//! The asking side of one connection: many requests under way at once, answers in any order.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::frame::{self, FrameReader, FrameWriter};
use super::{Request, Response};
use crate::codec::Kind;

/// Most requests that wait for their answers on one connection; further ones wait for their turn.
const REQUESTS_IN_FLIGHT_MAX: usize = 1024;

/// Most frames that wait to be written.
const OUTBOX_FRAMES: usize = 64;

/// How often a connection is checked for silence.
const SILENCE_CHECK: Duration = Duration::from_millis(500);

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum CallError {
    /// There was no connection: the request did not leave this member.
    #[error("{0}")]
    NotSent(String),
    /// The other member says that it did not act on the request.
    #[error("refused: {0}")]
    Refused(String),
    /// The request is larger than a frame and did not leave this member.
    #[error("the request is too large: {0}")]
    TooLarge(String),
    /// The connection broke before the answer came.
    #[error("the connection broke before the answer: {0}")]
    Lost(String),
    /// No answer in time.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// An answer to another question.
    #[error("{asked} was answered with {answered}")]
    Mismatch {
        /// What was asked.
        asked: &'static str,
        /// What came.
        answered: &'static str,
    },
}

impl CallError {
    /// Whether the other member has certainly not acted on the request.
    pub(crate) const fn nothing_happened(&self) -> bool {
        match self {
            CallError::NotSent(_) | CallError::Refused(_) | CallError::TooLarge(_) => true,
            CallError::Lost(_) | CallError::TimedOut(_) | CallError::Mismatch { .. } => false,
        }
    }
}

/// An authenticated connection to another member, for one purpose.
pub(super) struct Connection {
    next_id: AtomicU64,
    outbox: mpsc::Sender<Bytes>,
    in_flight: Arc<Semaphore>,
    pending: Arc<Pending>,
    closed: CancellationToken,
}

impl Connection {
    /// Takes over a stream after its handshake. The connection ends when `stop` is cancelled, when
    /// the stream breaks, or when nothing has come for `silence_limit` although something was asked.
    pub(super) fn start(
        (reader, writer): (FrameReader, FrameWriter),
        silence_limit: Duration,
        stop: &CancellationToken,
    ) -> Self {
        let (outbox, frames) = mpsc::channel(OUTBOX_FRAMES);
        let closed = stop.child_token();
        let pending = Arc::new(Pending::default());
        tokio::spawn({
            let (pending, closed) = (Arc::clone(&pending), closed.clone());
            async move {
                let reason = tokio::select! {
                    () = closed.cancelled() => "closed on this side".to_owned(),
                    result = frame::write_all(writer, frames) => match result {
                        Ok(()) => "closed on this side".to_owned(),
                        Err(error) => error.to_string(),
                    },
                    error = read_answers(reader, &pending, silence_limit) => error.to_string(),
                };
                pending.close(reason);
                closed.cancel();
            }
        });
        Self {
            next_id: AtomicU64::new(0),
            outbox,
            in_flight: Arc::new(Semaphore::new(REQUESTS_IN_FLIGHT_MAX)),
            pending,
            closed,
        }
    }

    /// Whether it is of no use any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Hands a request to the connection; waits while too many are under way. Requests of one
    /// caller leave in the order in which this returns. When the future is dropped, nothing has
    /// been sent.
    pub(super) async fn send(&self, request: &Request) -> Result<PendingAnswer, CallError> {
        let turn = Arc::clone(&self.in_flight).acquire_owned().await;
        let turn = turn.map_err(|_| CallError::NotSent("the connection is closed".to_owned()))?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let frame = frame::seal(Kind::PeerRequest, &(id, request))
            .map_err(|error| CallError::TooLarge(error.to_string()))?;
        let answer = self.pending.register(id, turn)?;
        let slot = self.outbox.reserve().await;
        slot.map_err(|_| CallError::NotSent(self.pending.close_reason()))?.send(frame);
        self.pending.asked();
        Ok(answer)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

async fn read_answers(mut reader: FrameReader, pending: &Pending, silence_limit: Duration) -> io::Error {
    loop {
        let frame = match tokio::time::timeout(SILENCE_CHECK, frame::receive(&mut reader)).await {
            Ok(Ok(frame)) => frame,
            Ok(Err(error)) => return error,
            Err(_) if pending.silent_for() > silence_limit => {
                return io::Error::new(io::ErrorKind::TimedOut, "the other side has fallen silent");
            }
            Err(_) => continue,
        };
        match frame::unseal::<(u64, Response)>(Kind::PeerResponse, &frame) {
            Ok((id, response)) => pending.answer(id, response),
            Err(error) => return error,
        }
    }
}

/// A request that was sent. Dropping it forgets the request; its answer is then ignored.
pub(crate) struct PendingAnswer {
    id: u64,
    receiver: oneshot::Receiver<Response>,
    pending: Arc<Pending>,
    _turn: OwnedSemaphorePermit,
}

impl PendingAnswer {
    /// Waits for the answer. Cancel-safe.
    pub(crate) async fn wait(&mut self) -> Result<Response, CallError> {
        match (&mut self.receiver).await {
            Ok(Response::Refused(reason)) => Err(CallError::Refused(reason)),
            Ok(response) => Ok(response),
            Err(_) => Err(CallError::Lost(self.pending.close_reason())),
        }
    }
}

impl Drop for PendingAnswer {
    fn drop(&mut self) {
        self.pending.lock().answers.remove(&self.id);
    }
}

#[derive(Default)]
struct Pending(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// In the order in which they were asked, which is the order in which they are given up.
    answers: BTreeMap<u64, oneshot::Sender<Response>>,
    /// Since when something has been asked and nothing at all has come.
    unanswered_since: Option<Instant>,
    closed: Option<String>,
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(self: &Arc<Self>, id: u64, turn: OwnedSemaphorePermit) -> Result<PendingAnswer, CallError> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.lock();
        if let Some(reason) = &waiting.closed {
            return Err(CallError::NotSent(reason.clone()));
        }
        waiting.answers.insert(id, sender);
        Ok(PendingAnswer { id, receiver, pending: Arc::clone(self), _turn: turn })
    }

    fn asked(&self) {
        self.lock().unanswered_since.get_or_insert_with(Instant::now);
    }

    fn answer(&self, id: u64, response: Response) {
        let sender = {
            let mut waiting = self.lock();
            waiting.unanswered_since = None;
            waiting.answers.remove(&id)
        };
        // Whoever asked may have given up: then nobody wants the answer.
        if let Some(sender) = sender {
            let _ = sender.send(response);
        }
    }

    fn silent_for(&self) -> Duration {
        self.lock().unanswered_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Ends the wait of everyone who waits: their answers will not come.
    fn close(&self, reason: String) {
        let mut waiting = self.lock();
        waiting.closed.get_or_insert(reason);
        waiting.answers.clear();
    }

    fn close_reason(&self) -> String {
        self.lock().closed.clone().unwrap_or_else(|| "the connection is closed".to_owned())
    }
}
