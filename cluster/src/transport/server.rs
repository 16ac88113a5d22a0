//! The answering side: takes connections, lets nobody in without a proof, and serves their requests.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::frame::{self, FrameReader, FrameWriter};
use super::handshake::{self, Hello, PeerIdentity, Secret};
use super::{Request, Response};
use crate::codec::Kind;
use crate::env::{BoxStream, Env, Listener};

/// How long whoever connects may take to prove who it is.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// Most connections that have not proved yet who they are; further ones are closed at once.
pub(super) const HANDSHAKES_MAX: usize = 64;

/// Most connections of other members; each opens one for each purpose.
const CONNECTIONS_MAX: usize = 256;

/// Most requests of one connection that are worked on at once; further ones stay unread.
const REQUESTS_IN_WORK_MAX: usize = 1024;

/// Most answers that wait to be written to one connection.
const OUTBOX_FRAMES: usize = 64;

/// Pause after the listener failed, for instance because there were no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// An answer that is being worked out.
pub(crate) type BoxAnswer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A decision that is being made: the service of the connection, or why there is none.
pub(crate) type BoxDecision<'a> = Pin<Box<dyn Future<Output = Result<Box<dyn Service>, String>> + Send + 'a>>;

/// Whoever serves the other members.
pub(crate) trait Admission: Send + Sync + 'static {
    /// Who this member is, as it tells in handshakes.
    fn identity(&self) -> PeerIdentity;

    /// Decides about a member that has proved that it knows the secret. An `Err` is told to it.
    fn admit<'a>(&'a self, hello: &'a Hello) -> BoxDecision<'a>;
}

/// Serves one connection; dropped with it.
pub(crate) trait Service: Send {
    /// Begins to work on a request. Calls come in the order of the requests, and each answer is
    /// polled once before the next call, so that what it does first is done in order.
    fn call(&mut self, request: Request) -> BoxAnswer;
}

/// Takes connections until it is stopped.
pub(crate) struct Server {
    env: Env,
    secret: Secret,
    admission: Arc<dyn Admission>,
    handshakes: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Server {
    /// Serves with `admission` whoever knows `secret`.
    pub(crate) fn new(
        env: Env,
        secret: &[u8],
        admission: Arc<dyn Admission>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            env,
            secret: Secret::new(secret),
            admission,
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            stop,
        }
    }

    /// Runs until it is stopped.
    pub(crate) async fn run(self, mut listener: Box<dyn Listener>) {
        let server = Arc::new(self);
        loop {
            let accepted = tokio::select! {
                () = server.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => Arc::clone(&server).spawn(stream, address.to_string()),
                Err(error) => {
                    tracing::warn!("a peer connection could not be taken: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn spawn(self: Arc<Self>, stream: BoxStream, address: String) {
        let Ok(handshake) = Arc::clone(&self.handshakes).try_acquire_owned() else {
            tracing::warn!(
                "{address} is turned away: {HANDSHAKES_MAX} connections have not proved yet who they are"
            );
            return;
        };
        tokio::spawn(async move {
            let (mut reader, mut writer) = frame::split(stream);
            let admitted = timeout(HANDSHAKE_TIMEOUT, self.admit(&mut reader, &mut writer)).await;
            drop(handshake);
            let (hello, service) = match admitted {
                Ok(Ok(admitted)) => admitted,
                Ok(Err(error)) => return tracing::info!("{address} was not let in: {error}"),
                Err(_) => return tracing::info!("{address} was not let in: its handshake took too long"),
            };
            let Ok(_place) = Arc::clone(&self.connections).try_acquire_owned() else {
                return tracing::warn!(
                    "{address} is turned away: there are {CONNECTIONS_MAX} connections already"
                );
            };
            let ended = tokio::select! {
                () = self.stop.cancelled() => Ok(()),
                ended = serve(&hello, service, reader, writer) => ended,
            };
            if let Err(error) = ended {
                let (member, purpose) = (hello.from.member, hello.purpose);
                tracing::debug!("connection of member {member} for {purpose:?} ended: {error}");
            }
        });
    }

    async fn admit(
        &self,
        reader: &mut FrameReader,
        writer: &mut FrameWriter,
    ) -> io::Result<(Hello, Box<dyn Service>)> {
        let identity = self.admission.identity();
        let answering = handshake::answer(&self.env, &self.secret, identity, (reader, writer)).await?;
        match self.admission.admit(&answering.hello).await {
            Ok(service) => Ok((answering.accept().await?, service)),
            Err(reason) => {
                answering.refuse(reason.clone()).await?;
                Err(io::Error::new(io::ErrorKind::PermissionDenied, reason))
            }
        }
    }
}

async fn serve(
    hello: &Hello,
    mut service: Box<dyn Service>,
    mut reader: FrameReader,
    writer: FrameWriter,
) -> io::Result<()> {
    let (outbox, frames) = mpsc::channel(OUTBOX_FRAMES);
    let in_work = Arc::new(Semaphore::new(REQUESTS_IN_WORK_MAX));
    let mut writing = std::pin::pin!(frame::write_all(writer, frames));
    let reading = async {
        loop {
            let frame = frame::receive(&mut reader).await?;
            let (id, request): (u64, Request) = frame::unseal(Kind::PeerRequest, &frame)?;
            let Ok(place) = Arc::clone(&in_work).acquire_owned().await else { return Ok(()) };
            if !request.fits(hello.purpose) {
                let reason =
                    format!("{} does not belong on a {:?} connection", request.name(), hello.purpose);
                answer(&outbox, id, Response::Refused(reason)).await;
                continue;
            }
            let mut work = service.call(request);
            // The first step is taken here: entries reach Raft in the order in which they came.
            match first_step(&mut work) {
                Poll::Ready(response) => answer(&outbox, id, response).await,
                Poll::Pending => {
                    let outbox = outbox.clone();
                    tokio::spawn(async move {
                        let response = work.await;
                        drop(place);
                        answer(&outbox, id, response).await;
                    });
                }
            }
        }
    };
    tokio::select! {
        ended = &mut writing => ended,
        ended = reading => ended,
    }
}

/// Polls without a waker: whoever takes the work over polls again.
fn first_step(work: &mut BoxAnswer) -> Poll<Response> {
    work.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// An answer that nobody waits for any more is dropped.
async fn answer(outbox: &mpsc::Sender<Bytes>, id: u64, response: Response) {
    let frame = frame::seal(Kind::PeerResponse, &(id, &response)).or_else(|error| {
        let reason = format!("the answer ({}) is too large: {error}", response.name());
        frame::seal(Kind::PeerResponse, &(id, &Response::Refused(reason)))
    });
    match frame {
        Ok(frame) => {
            let _ = outbox.send(frame).await;
        }
        Err(error) => tracing::error!("an answer could not be encoded: {error}"),
    }
}
