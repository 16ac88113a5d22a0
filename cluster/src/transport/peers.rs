//! The other members, as this one calls them: a lazily opened connection for each purpose.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kenger_types::{Incarnation, MemberId};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::connection::{CallError, Connection, PendingAnswer};
use super::handshake::{self, Call, Purpose, Secret};
use super::{Request, Response, frame};
use crate::env::Env;
use crate::identity::LocalIdentity;

/// How long connecting and proving may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause after the first failure to connect; doubled with each further one.
const RECONNECT_PAUSE_MIN: Duration = Duration::from_millis(50);

/// Longest pause between two attempts to connect.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_millis(500);

/// Where a member is, and which data directory it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerAddress {
    /// Which member.
    pub(crate) member: MemberId,
    /// `host:port`.
    pub(crate) address: String,
    /// Its data directory as the cluster knows it; `None` for a probe.
    pub(crate) incarnation: Option<Incarnation>,
}

/// The way to the other members. Clones share their connections.
#[derive(Clone)]
pub(crate) struct Peers(Arc<Shared>);

struct Shared {
    env: Env,
    secret: Secret,
    identity: Arc<LocalIdentity>,
    links: Mutex<BTreeMap<(MemberId, Purpose), Arc<Link>>>,
    stop: CancellationToken,
}

impl Peers {
    /// No connection is opened before the first request.
    pub(crate) fn new(
        env: Env,
        secret: &[u8],
        identity: Arc<LocalIdentity>,
        stop: CancellationToken,
    ) -> Self {
        let links = Mutex::default();
        Self(Arc::new(Shared { env, secret: Secret::new(secret), identity, links, stop }))
    }

    /// Asks another member and waits for the answer, `limit` in all.
    pub(crate) async fn call(
        &self,
        to: &PeerAddress,
        purpose: Purpose,
        request: &Request,
        limit: Duration,
    ) -> Result<Response, CallError> {
        let deadline = self.0.env.now() + limit;
        let sending = timeout_at(deadline, self.send(to, purpose, request)).await;
        let mut answer = sending.map_err(|_| CallError::NotSent("no connection in time".to_owned()))??;
        timeout_at(deadline, answer.wait()).await.map_err(|_| CallError::TimedOut(limit))?
    }

    /// Hands a request to the connection without waiting for its answer.
    pub(crate) async fn send(
        &self,
        to: &PeerAddress,
        purpose: Purpose,
        request: &Request,
    ) -> Result<PendingAnswer, CallError> {
        debug_assert!(request.fits(purpose), "{} on a {purpose:?} connection", request.name());
        let connection = self.link(to, purpose).connection().await.map_err(CallError::NotSent)?;
        connection.send(request).await
    }

    fn link(&self, to: &PeerAddress, purpose: Purpose) -> Arc<Link> {
        let mut links = self.0.links.lock().unwrap_or_else(PoisonError::into_inner);
        let link = links.get(&(to.member, purpose)).filter(|link| link.to == *to);
        if let Some(link) = link {
            return Arc::clone(link);
        }
        let link = Arc::new(Link {
            to: to.clone(),
            purpose,
            shared: SharedParts::of(&self.0),
            state: Mutex::new(State::Down { failures: 0, not_before: None, reason: String::new() }),
        });
        links.insert((to.member, purpose), Arc::clone(&link));
        link
    }
}

/// What a link needs of [`Shared`]; the links themselves are in there, so it is not held whole.
struct SharedParts {
    env: Env,
    secret: Secret,
    identity: Arc<LocalIdentity>,
    stop: CancellationToken,
}

impl SharedParts {
    fn of(shared: &Shared) -> Self {
        Self {
            env: shared.env.clone(),
            secret: shared.secret.clone(),
            identity: Arc::clone(&shared.identity),
            stop: shared.stop.clone(),
        }
    }
}

/// One purpose of one member: at most one connection, opened when it is needed.
struct Link {
    to: PeerAddress,
    purpose: Purpose,
    shared: SharedParts,
    state: Mutex<State>,
}

enum State {
    Down { failures: u32, not_before: Option<Instant>, reason: String },
    Connecting(watch::Receiver<Option<Outcome>>),
    Up(Arc<Connection>),
}

type Outcome = Result<Arc<Connection>, String>;

impl Link {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection; opens it if there is none. All who wait share one attempt, which goes on when
    /// they give up: a heartbeat waits for less time than a handshake may take.
    async fn connection(self: &Arc<Self>) -> Outcome {
        let mut attempt = {
            let mut state = self.lock();
            match &*state {
                State::Up(connection) if !connection.is_closed() => return Ok(Arc::clone(connection)),
                State::Connecting(attempt) => attempt.clone(),
                State::Down { not_before: Some(time), reason, .. } if self.shared.env.now() < *time => {
                    return Err(reason.clone());
                }
                State::Up(_) | State::Down { .. } => {
                    let failures = if let State::Down { failures, .. } = &*state { *failures } else { 0 };
                    let (sender, receiver) = watch::channel(None);
                    *state = State::Connecting(receiver.clone());
                    tokio::spawn(Arc::clone(self).attempt(failures, sender));
                    receiver
                }
            }
        };
        match attempt.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            Ok(None) | Err(_) => Err("the member is stopping".to_owned()),
        }
    }

    async fn attempt(self: Arc<Self>, failures: u32, result: watch::Sender<Option<Outcome>>) {
        let connected = tokio::select! {
            () = self.shared.stop.cancelled() => Err(io::Error::other("this member is stopping")),
            connected = timeout(CONNECT_TIMEOUT, self.connect()) => {
                connected.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))
            }
        };
        let outcome = {
            let mut state = self.lock();
            match connected {
                Ok(connection) => {
                    let connection = Arc::new(connection);
                    *state = State::Up(Arc::clone(&connection));
                    Ok(connection)
                }
                Err(error) => {
                    let reason = format!("member {} at {}: {error}", self.to.member, self.to.address);
                    self.report(failures, &reason, &error);
                    let not_before = Some(self.shared.env.now() + self.pause_after(failures));
                    *state = State::Down {
                        failures: failures.saturating_add(1),
                        not_before,
                        reason: reason.clone(),
                    };
                    Err(reason)
                }
            }
        };
        let _ = result.send(Some(outcome));
    }

    /// A refusal is somebody's mistake and worth a warning each time the pause has grown to its
    /// longest; an unreachable member is worth one line.
    fn report(&self, failures: u32, reason: &str, error: &io::Error) {
        if error.kind() == io::ErrorKind::PermissionDenied && failures.is_multiple_of(16) {
            tracing::warn!(purpose = ?self.purpose, "no connection to {reason}");
        } else if failures == 0 {
            tracing::info!(purpose = ?self.purpose, "no connection to {reason}");
        }
    }

    async fn connect(&self) -> io::Result<Connection> {
        let stream = self.shared.env.connect(&self.to.address).await?;
        let (mut reader, mut writer) = frame::split(stream);
        let call = Call {
            purpose: self.purpose,
            from: self.shared.identity.peer_identity(),
            to_member: self.to.member,
            to_incarnation: self.to.incarnation,
        };
        let halves = (&mut reader, &mut writer);
        handshake::ask(&self.shared.env, &self.shared.secret, &call, halves).await?;
        Ok(Connection::start((reader, writer), silence_limit(self.purpose), &self.shared.stop))
    }

    /// Doubles with each failure; a quarter of it is random, so that members do not keep step.
    fn pause_after(&self, failures: u32) -> Duration {
        let pause = RECONNECT_PAUSE_MIN.saturating_mul(1 << failures.min(10)).min(RECONNECT_PAUSE_MAX);
        pause.mul_f64(0.75 + (self.shared.env.random_u64() % 256) as f64 / 1024.0)
    }
}

/// How long a connection may say nothing at all although something was asked. Longer than the
/// slowest honest answer of its purpose (of clients: a write that waits to be committed), and not much longer: a
/// member whose way to the leader leads into nothing serves nobody for so long.
const fn silence_limit(purpose: Purpose) -> Duration {
    Duration::from_secs(match purpose {
        Purpose::Probe | Purpose::Control => 2,
        Purpose::Log => 5,
        Purpose::Snapshot => 60,
        Purpose::Client | Purpose::Lease => 8,
    })
}
