//! The Kenger gateway: follows the registry's feed and proxies traffic to nodes by weight.
//!
//! * [`config`]: what it is told at its start;
//! * `discovery`: from the feed, or the disk, to a view of the registry;
//! * `routing`: from that view and the health checks to one immutable table for each namespace;
//! * `proxy`: the data plane, one worker for each core, which reads the tables;
//! * `health`: active health checks;
//! * `admin` and `metrics`: what can be seen of all this.
//!
//! Two rules hold everywhere. *Unknown is not empty*: only a committed change of the own cluster
//! removes a node from a table. And a proxied request loads its table once, takes no lock that
//! another core could hold, and calls no registry.

mod admin;
mod clock;
pub mod config;
mod discovery;
mod gateway;
mod health;
mod metrics;
mod proxy;
mod routing;
#[cfg(test)]
mod testing;

pub use config::{Config, ConfigError, GatewayArgs};
pub use gateway::{Gateway, RunError, run};
