//! What a gateway is told at its start, checked as a whole before a port is bound.
//!
//! [`GatewayArgs`] is what stands in flags, environment and file; [`GatewayArgs::load`] makes a
//! [`Config`] of it or names every field that is wrong.

mod settings;
#[cfg(test)]
mod tests;
mod validate;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use kenger_types::NamespaceName;

pub use settings::{GatewayArgs, RawListener};
pub use validate::{ConfigError, FieldError};

/// Everything that a gateway needs to know. Valid if it was made by [`GatewayArgs::load`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The registry.
    pub registry: RegistryConfig,
    /// What is listened at; at least one.
    pub listeners: Vec<ListenerConfig>,
    /// Where the admin API listens.
    pub admin: SocketAddr,
    /// Where the last known state of the registry is kept for a start without it.
    pub cache_file: Option<PathBuf>,
    /// The active health checks.
    pub health: HealthConfig,
    /// The data plane.
    pub proxy: ProxyConfig,
    /// How many threads serve requests.
    pub workers: usize,
}

/// How the registry is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryConfig {
    /// Members, as `http://HOST:PORT`; tried in this order until one names the leader.
    pub endpoints: Vec<String>,
    /// What proves who the gateway is.
    pub token: Option<String>,
}

impl fmt::Debug for RegistryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token_set = self.token.is_some();
        f.debug_struct("RegistryConfig")
            .field("endpoints", &self.endpoints)
            .field("token_set", &token_set)
            .finish()
    }
}

/// An address and the namespace whose nodes serve what comes in there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Where it listens; port 0 takes any free port.
    pub address: SocketAddr,
    /// Whose nodes serve.
    pub namespace: NamespaceName,
}

/// The active health checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthConfig {
    /// Without them every online node counts as healthy.
    pub is_on: bool,
    /// From the beginning of one check of a node to the next.
    pub interval: Duration,
    /// How long a check may take.
    pub timeout: Duration,
    /// The status that a healthy node answers.
    pub expected_status: u16,
    /// How many good checks in a row make a node healthy.
    pub rise: u32,
    /// How many bad checks in a row make it unhealthy.
    pub fall: u32,
}

/// The data plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyConfig {
    /// Towards clients.
    pub client: ClientConfig,
    /// Towards nodes.
    pub upstream: UpstreamConfig,
    /// How long what is in flight may take to finish when the gateway stops.
    pub shutdown_grace: Duration,
}

/// Towards clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// How long the head of a request may take, counted from the end of the one before: it also
    /// bounds how long an idle connection is kept.
    pub header_timeout: Duration,
    /// How long a client may take nothing of what is sent to it.
    pub io_timeout: Duration,
    /// How long nothing may move in a tunnel.
    pub tunnel_idle_timeout: Duration,
    /// Largest head of a request, in bytes.
    pub header_bytes_max: usize,
    /// Most connections of one worker; further ones wait in the kernel's queue.
    pub connections_per_worker_max: usize,
    /// What is believed of what a client says about where a request comes from.
    pub forwarded: ForwardedTrust,
}

/// Towards nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long an exchange may stand still: before the head of the response, and between the pieces
    /// of either body.
    pub response_timeout: Duration,
    /// Most idle connections that one worker keeps to one node.
    pub idle_per_node_max: usize,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// Largest head of a response, in bytes.
    pub header_bytes_max: usize,
    /// Most nodes that one request is tried on.
    pub attempts_max: usize,
}

/// What is believed of the `X-Forwarded-*` and `X-Real-IP` headers that a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedTrust {
    /// The client's address is added to its `X-Forwarded-For`; all others are replaced. What nginx
    /// does by its usual configuration.
    Append,
    /// All are kept where they are there; for a gateway behind another proxy.
    Keep,
    /// All are replaced.
    Replace,
}
