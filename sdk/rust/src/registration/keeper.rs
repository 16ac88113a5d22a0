//! The loop behind a registration. Knows the registry by three calls, so that it can be tested without
//! one, in simulated time.

use std::future::Future;
use std::time::Duration;

use kenger_types::api::{HeartbeatAck, NodeAddress, NodeDeregister, NodeRegister};
use kenger_types::{Node, TtlSeconds};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{KeepOptions, Phase, RegistrationStatus};
use crate::backoff::Backoff;
use crate::{Client, Error};

/// The time to live that is assumed until the registry has told the node's.
const TTL_ASSUMED: Duration = Duration::from_secs(30);
/// A node that does not ask for a time to live learns the cluster's with its first heartbeat, which
/// therefore comes soon.
const FIRST_HEARTBEAT_AFTER: Duration = Duration::from_millis(500);
/// Heartbeats in a time to live, unless an interval is given.
const HEARTBEATS_PER_TTL: u32 = 3;
/// The least number of heartbeats in a time to live, whatever interval is given.
const HEARTBEATS_PER_TTL_MIN: u32 = 2;
/// The first wait after a failed attempt.
const RETRY_MIN: Duration = Duration::from_millis(200);
/// Retries within an interval, at the least.
const RETRIES_PER_INTERVAL: u32 = 4;
/// Within an interval this many endpoints can hang before one that answers is asked.
const ATTEMPTS_PER_INTERVAL: u32 = 2;
/// The largest jitter, as a share of the interval.
const JITTER_MAX: f64 = 0.5;

/// What the loop needs of a registry. `attempt` is how long one endpoint has to answer.
pub(super) trait Registry: Send + Sync + 'static {
    fn register(
        &self,
        node: &NodeRegister,
        attempt: Duration,
    ) -> impl Future<Output = Result<Node, Error>> + Send;
    fn heartbeat(
        &self,
        node: &NodeAddress,
        attempt: Duration,
    ) -> impl Future<Output = Result<HeartbeatAck, Error>> + Send;
    fn deregister(&self, node: &NodeDeregister) -> impl Future<Output = Result<(), Error>> + Send;
}

impl Registry for Client {
    async fn register(&self, node: &NodeRegister, attempt: Duration) -> Result<Node, Error> {
        self.with_attempt_timeout(attempt).register(node).await
    }

    async fn heartbeat(&self, node: &NodeAddress, attempt: Duration) -> Result<HeartbeatAck, Error> {
        self.with_attempt_timeout(attempt).heartbeat(node).await
    }

    async fn deregister(&self, node: &NodeDeregister) -> Result<(), Error> {
        Client::deregister(self, node).await
    }
}

pub(super) struct Keeper<R> {
    registry: R,
    node: NodeRegister,
    address: NodeAddress,
    interval: Option<Duration>,
    jitter: f64,
    random: fastrand::Rng,
    retry: Backoff,
    ttl: Option<Duration>,
    registered: bool,
    status: watch::Sender<RegistrationStatus>,
}

/// What to do next.
enum Then {
    AtOnce,
    After(Duration),
}

impl<R: Registry> Keeper<R> {
    pub(super) fn new(
        registry: R,
        node: NodeRegister,
        options: &KeepOptions,
        status: watch::Sender<RegistrationStatus>,
    ) -> Self {
        let address = NodeAddress { ns: node.ns.clone(), host: node.host.clone(), port: node.port };
        let ttl = node.ttl_seconds.map(ttl_duration);
        Self {
            registry,
            node,
            address,
            interval: options.interval,
            jitter: options.jitter.clamp(0.0, JITTER_MAX),
            random: options.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed),
            retry: Backoff::new(RETRY_MIN, TTL_ASSUMED, options.seed),
            ttl,
            registered: false,
            status,
        }
    }

    /// Keeps the node registered until `stop`, then deregisters it.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<(), Error> {
        while !stop.is_cancelled() {
            // What is under way is finished even when it is time to stop: a registration that arrived
            // after the deregistration would bring the node back.
            let then = if self.registered { self.heartbeat().await } else { self.register().await };
            if let Then::After(wait) = then {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
        let NodeAddress { ns, host, port } = self.address.clone();
        let deregistered =
            self.registry.deregister(&NodeDeregister { ns, host, port, if_revision: None }).await;
        self.status.send_modify(|status| status.phase = Phase::Stopped);
        match deregistered {
            Err(error) if error.is_not_found() => Ok(()),
            outcome => outcome,
        }
    }

    async fn register(&mut self) -> Then {
        match self.registry.register(&self.node, self.attempt_timeout()).await {
            Ok(node) => {
                self.registered = true;
                self.node.if_revision = None;
                self.ttl = node.ttl_seconds.map(ttl_duration).or(self.ttl);
                self.confirmed();
                self.status.send_modify(|status| status.registrations += 1);
                match self.ttl {
                    Some(_) => Then::After(self.next_heartbeat()),
                    None => Then::After(FIRST_HEARTBEAT_AFTER),
                }
            }
            Err(error) => self.failed(error),
        }
    }

    async fn heartbeat(&mut self) -> Then {
        match self.registry.heartbeat(&self.address, self.attempt_timeout()).await {
            Ok(ack) => {
                self.ttl = Some(Duration::from_secs(ack.ttl_seconds.max(1).into()));
                self.confirmed();
                Then::After(self.next_heartbeat())
            }
            Err(error) if error.is_not_found() => {
                tracing::warn!(node = ?self.address, "the registry does not know this node any more: registering again");
                self.registered = false;
                self.status.send_modify(|status| status.phase = Phase::Registering);
                Then::AtOnce
            }
            Err(error) => self.failed(error),
        }
    }

    fn confirmed(&mut self) {
        self.retry.reset();
        let ttl = self.ttl;
        self.status.send_modify(|status| {
            status.phase = Phase::Registered;
            status.ttl = ttl;
            status.confirmed_at = Some(Instant::now());
            status.failures = 0;
            status.last_error = None;
        });
    }

    fn failed(&mut self, error: Error) -> Then {
        let wait = if error.is_retryable() {
            self.retry.set_max(self.interval() / RETRIES_PER_INTERVAL);
            self.retry.next()
        } else {
            // It will not pass by itself, so there is no hurry.
            self.next_heartbeat()
        };
        tracing::warn!(node = ?self.address, %error, ?wait, "the registry did not confirm this node");
        self.status.send_modify(|status| {
            status.failures = status.failures.saturating_add(1);
            status.last_error = Some(error);
        });
        Then::After(wait)
    }

    fn interval(&self) -> Duration {
        let ttl = self.ttl.unwrap_or(TTL_ASSUMED);
        self.interval.map_or(ttl / HEARTBEATS_PER_TTL, |interval| interval.min(ttl / HEARTBEATS_PER_TTL_MIN))
    }

    fn attempt_timeout(&self) -> Duration {
        self.interval() / ATTEMPTS_PER_INTERVAL
    }

    fn next_heartbeat(&mut self) -> Duration {
        let factor = 1.0 + self.jitter * (2.0 * self.random.f64() - 1.0);
        self.interval().mul_f64(factor)
    }
}

fn ttl_duration(ttl: TtlSeconds) -> Duration {
    Duration::from_secs(ttl.get().into())
}

#[cfg(test)]
mod tests;
