//! Keeps a node registered for as long as its service runs.

mod keeper;

use std::time::Duration;

use kenger_types::api::NodeRegister;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Client, Error};
use keeper::Keeper;

/// The longest that [`Registration::stop`] takes, unless set otherwise.
const STOP_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// How far a wait between heartbeats may lie from the interval, so that services that started
/// together do not go on together.
const JITTER_DEFAULT: f64 = 0.1;

/// How to keep a registration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KeepOptions {
    /// Between two heartbeats; a third of the node's time to live if absent, at most half of it.
    pub interval: Option<Duration>,
    /// How far a wait may lie from the interval, as a share of it: 0.1 is ±10%. At most 0.5.
    pub jitter: f64,
    /// The longest that [`Registration::stop`] takes.
    pub stop_timeout: Duration,
    /// Makes the waits repeatable.
    pub seed: Option<u64>,
}

impl Default for KeepOptions {
    fn default() -> Self {
        Self { interval: None, jitter: JITTER_DEFAULT, stop_timeout: STOP_TIMEOUT_DEFAULT, seed: None }
    }
}

/// Where a registration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The registry has not confirmed it yet, or does not know the node any more.
    Registering,
    /// The registry knows the node.
    Registered,
    /// The loop has ended.
    Stopped,
}

/// What is known about a registration.
#[derive(Debug, Clone)]
pub struct RegistrationStatus {
    /// Where it stands.
    pub phase: Phase,
    /// How long the node may be silent, once the registry has said so.
    pub ttl: Option<Duration>,
    /// When a member last confirmed a registration or a heartbeat.
    pub confirmed_at: Option<Instant>,
    /// How often the node has been registered: more than once if the registry had forgotten it.
    pub registrations: u64,
    /// Attempts that failed since the last that did not.
    pub failures: u32,
    /// Why the last attempt failed; `None` after one that did not.
    pub last_error: Option<Error>,
}

impl RegistrationStatus {
    fn new() -> Self {
        Self {
            phase: Phase::Registering,
            ttl: None,
            confirmed_at: None,
            registrations: 0,
            failures: 0,
            last_error: None,
        }
    }
}

impl Client {
    /// Registers a node and keeps it registered in a task of its own: sends heartbeats with jitter,
    /// tries again soon when one fails, and registers again when the registry has forgotten the node.
    /// Returns at once; a registry that cannot be reached yet is no error.
    ///
    /// `if_revision` counts for the first registration alone.
    ///
    /// # Panics
    /// If it is called outside a Tokio runtime.
    pub fn register_and_keep(&self, node: NodeRegister, options: KeepOptions) -> Registration {
        Registration::start(self.clone(), node, options)
    }
}

/// A registration that is being kept.
///
/// [`stop`](Self::stop) it when the service ends, so that it gets no traffic any more. Dropping it
/// stops the heartbeats without deregistering: the node then goes offline when its time to live is
/// over.
#[derive(Debug)]
pub struct Registration {
    status: watch::Receiver<RegistrationStatus>,
    stop: CancellationToken,
    stop_timeout: Duration,
    task: JoinHandle<Result<(), Error>>,
}

impl Registration {
    fn start<R: keeper::Registry>(registry: R, node: NodeRegister, options: KeepOptions) -> Self {
        let (sender, status) = watch::channel(RegistrationStatus::new());
        let (stop, stop_timeout) = (CancellationToken::new(), options.stop_timeout);
        let keeper = Keeper::new(registry, node, &options, sender);
        Self { status, task: tokio::spawn(keeper.run(stop.clone())), stop, stop_timeout }
    }

    /// What is known about it; changes can be awaited.
    pub fn status(&self) -> watch::Receiver<RegistrationStatus> {
        self.status.clone()
    }

    /// Waits until the registry has confirmed the node for the first time.
    ///
    /// # Errors
    /// An attempt failed in a way that will not pass by itself: a refused token or value. The task
    /// goes on trying nevertheless, so that a corrected token is enough.
    pub async fn registered(&self) -> Result<(), Error> {
        let mut status = self.status.clone();
        let lasting =
            |status: &RegistrationStatus| status.last_error.clone().filter(|error| !error.is_retryable());
        let settled = |status: &RegistrationStatus| status.registrations > 0 || lasting(status).is_some();
        // The sender lives as long as the task, which only `stop` ends, and that consumes `self`.
        match status.wait_for(settled).await {
            Ok(status) if status.registrations > 0 => Ok(()),
            Ok(status) => lasting(&status).map_or(Ok(()), Err),
            Err(_) => Err(Error::StopTimedOut(Duration::ZERO)),
        }
    }

    /// Stops the heartbeats, waits for the request that is under way, and deregisters the node.
    ///
    /// # Errors
    /// The node could not be deregistered in time; it goes offline when its time to live is over.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.stop.cancel();
        match tokio::time::timeout(self.stop_timeout, &mut self.task).await {
            Ok(Ok(deregistered)) => deregistered,
            Ok(Err(_)) | Err(_) => Err(Error::StopTimedOut(self.stop_timeout)),
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.task.abort();
    }
}
