//! Rust client of the Kenger registry.
//!
//! A [`Client`] knows several members and asks the one that answered last; [`Client::watch`] follows
//! the change feed and survives failover; [`Client::register_and_keep`] keeps a node registered for
//! as long as the service runs.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use kenger_sdk::{Client, KeepOptions};
//! use kenger_sdk::types::{Metadata, Weight, api::NodeRegister};
//!
//! let client = Client::builder()
//!     .endpoints(["http://192.0.2.1:5000", "http://192.0.2.2:5000", "http://192.0.2.3:5000"])
//!     .token("…")
//!     .build()?;
//! let node = NodeRegister {
//!     ns: "payments".parse()?,
//!     host: "192.0.2.17".parse()?,
//!     port: 8080.try_into()?,
//!     weight: Weight::default(),
//!     health_path: None,
//!     metadata: Metadata::default(),
//!     ttl_seconds: None,
//!     if_revision: None,
//! };
//! let registration = client.register_and_keep(node, KeepOptions::default());
//! registration.registered().await?;
//! // … serve …
//! registration.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! What the client promises:
//!
//! * A request that may have been carried out is never sent a second time, unless a second arrival
//!   does no harm: reads, and `register`, `heartbeat` and `deregister` without `if_revision`, which
//!   are idempotent by the registry's contract.
//! * It connects directly: proxy settings of the environment are not used, because a registry is on
//!   the same network and a proxy would break the watch.
//! * It follows no HTTP redirect; only the watch goes to the leader that a member names.
//! * Every wait, body and retry has a bound.
//!
//! There is no TLS yet: endpoints are `http://HOST:PORT`.

mod backoff;
mod client;
mod endpoint;
mod error;
mod registration;
mod sse;
mod transport;
mod watch;

pub use client::{
    ATTEMPT_TIMEOUT_DEFAULT, Answer, CONNECT_TIMEOUT_DEFAULT, Client, ClientBuilder, Consistency, NodeQuery,
    RESPONSE_MAX_BYTES, SyncAnswer, SyncQuery, TIMEOUT_DEFAULT,
};
pub use endpoint::Endpoint;
pub use error::{Error, Failure};
pub use kenger_types as types;
pub use registration::{KeepOptions, Phase, Registration, RegistrationStatus};
pub use transport::{Arriving, BoxFuture, Chunks, Transport, TransportError};
pub use watch::{Connected, DisconnectReason, Disconnected, Watch, WatchEvent, WatchOptions};
