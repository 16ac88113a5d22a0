//! The HTTP API of a member.
//!
//! `routes` lists every path with what it needs; `gate` stands before each of them (token, limits,
//! time, metrics); a handler extracts, makes one call to the [`Member`] and maps the answer. Errors
//! become HTTP in `error` alone.

mod answer;
mod auth;
mod body;
mod cluster;
mod error;
mod feed;
mod gate;
mod heartbeat;
mod metrics;
mod namespace;
mod node;
mod query;
mod routes;
mod server;
mod sync;
mod watch;

use std::sync::Arc;

use kenger_cluster::Member;
use kenger_types::{ClusterId, ErrorCode};
use tokio_util::sync::CancellationToken;

use crate::token::Token;
use error::Failure;
use gate::Gates;
use metrics::Metrics;

pub use server::{Listener, serve};

/// What the API is told by the configuration.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// Who may do what; without any, everybody may do everything.
    pub tokens: Vec<Arc<Token>>,
    /// Whether registering a node makes its namespace if there is none.
    pub auto_create_namespace: bool,
    /// Whether `/metrics` is open to everybody.
    pub metrics_without_token: bool,
}

/// Everything that handlers share. Clones are handles to the same.
#[derive(Clone)]
pub struct Api(Arc<Shared>);

struct Shared {
    member: Member,
    config: ApiConfig,
    gates: Gates,
    metrics: Metrics,
    stopping: CancellationToken,
}

impl Api {
    /// The API of `member`. When `stopping` is cancelled, the member is not ready any more and streams
    /// end.
    pub fn new(member: Member, config: ApiConfig, stopping: CancellationToken) -> Self {
        let gates = Gates::new();
        let metrics = Metrics::new(member.clone(), gates.watchers());
        Self(Arc::new(Shared { member, config, gates, metrics, stopping }))
    }

    fn member(&self) -> &Member {
        &self.0.member
    }

    fn config(&self) -> &ApiConfig {
        &self.0.config
    }

    fn gates(&self) -> &Gates {
        &self.0.gates
    }

    fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }

    /// Before a read: waits until this member's state has everything that was acknowledged before,
    /// unless the reader takes it as it is. Before there is a cluster, nobody is told that nothing is
    /// registered: that is not known.
    async fn barrier(&self, stale: bool) -> Result<(), Failure> {
        if !stale {
            self.member().read_barrier().await?;
        }
        self.cluster_id().map(|_| ())
    }

    /// Whose history this member has.
    fn cluster_id(&self) -> Result<ClusterId, Failure> {
        let not_started = || Failure::new(ErrorCode::NotReady, "the cluster has not been started yet");
        self.member().cluster_id().ok_or_else(not_started)
    }
}
