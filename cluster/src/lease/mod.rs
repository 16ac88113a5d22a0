//! Who is alive: the leader's leases, and how heartbeats reach them.
//!
//! A node is alive as long as the leader hears from it within its time to live. What the leader heard
//! is in its memory alone; only what follows from it goes through the log: a node that was silent for
//! too long is marked offline and later deleted (`Expire`), one that is heard from again comes back
//! (`Return`).
//!
//! What is promised: a node whose heartbeats were acknowledged at intervals under its time to live is
//! never marked offline, whatever happens to the members. It rests on these rules, each in one place:
//!
//! - Leases count *lease time* ([`clock`]), which stands still while this member was stopped (its
//!   ticks came late) or could not acknowledge heartbeats (no quorum answered it). No wall clock.
//! - A table of leases belongs to one *session* ([`book`]): this member leading in one term, with
//!   everything of earlier terms applied. It begins with a full time to live for every node.
//! - A heartbeat is recorded first; *then* it is checked that the session still is the current one
//!   and that a quorum answered lately ([`keeper`]). At that moment no other leader existed, so any
//!   other one begins later, and gives a full time to live that is counted from later.
//! - `Expire` is proposed in the session's term or not at all, and names the epochs that were seen.
//!   Before it is proposed, its nodes are marked; a marked node's heartbeat is not recorded but waits
//!   for a `Return` to be applied, which gives the node a new epoch ([`table`], [`returns`]).
//!   The marks outlive the session as long as its term may still put the entry into the log.
//! - Before the lead is handed over, the session ends ([`Keeper::pause`]).

mod book;
mod clock;
mod expiry;
mod keeper;
mod relay;
mod returns;
mod table;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use kenger_state::{Command, Output};
use kenger_types::api::NodeAddress;
use tokio::sync::watch;

use crate::error::{ProposeError, ReadError};
use crate::member::HeartbeatOutcome;

pub(crate) use book::Book;
pub(crate) use keeper::Keeper;
pub use table::LeaseStats;

/// Most nodes in one `Expire` command.
pub(crate) const EXPIRE_MAX_NODES: usize = 1_000;
/// Most nodes in one `Return` command.
pub(crate) const RETURN_MAX_NODES: usize = 1_000;
/// Most nodes whose heartbeats wait for a `Return` at a time; more are refused.
pub(crate) const RETURN_QUEUE_MAX_NODES: usize = 100_000;
/// How long a follower gathers heartbeats for one message to the leader.
pub(crate) const RELAY_GATHER: Duration = Duration::from_millis(2);
/// Most nodes in one message of heartbeats to the leader; not less than a client may send at once.
pub(crate) const RELAY_BATCH_MAX_NODES: usize = kenger_types::limits::HEARTBEAT_BATCH_MAX_NODES;
/// Most messages of heartbeats to the leader that are not answered yet.
pub(crate) const RELAY_IN_FLIGHT_MAX: usize = 4;
/// Most nodes whose heartbeats wait for the leader at a time; more are refused.
pub(crate) const RELAY_QUEUE_MAX_NODES: usize = 100_000;

/// One stretch of leading: a member never leads twice in the same term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LeadTerm(pub(crate) u64);

/// A future in a box.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the lease keeper needs of the rest of the member.
pub(crate) trait Cluster: Send + Sync + 'static {
    /// The term in which this member leads; `None` if it does not, or has not yet applied everything
    /// of earlier terms *and* told the [`Book`] of it.
    fn lead(&self) -> Option<LeadTerm>;

    /// Changes whenever [`Cluster::lead`] may have changed.
    fn watch_lead(&self) -> watch::Receiver<Option<LeadTerm>>;

    /// Whether this member leads in `term`, and a quorum has answered requests that it *sent* in this
    /// term within the last shortest election timeout, as of now. Must be false if nothing is known.
    fn quorum_is_fresh(&self, term: LeadTerm) -> bool;

    /// Proposes on this member, in this term or not at all: never forwarded, and not appended if the
    /// member leads in another term by now (checked where the entry gets its place in the log). When
    /// it has answered with success, the command is applied and the [`Book`] has observed it. Bounded
    /// in time.
    fn propose_in_term(
        &self,
        term: LeadTerm,
        command: Command,
    ) -> BoxFuture<'_, Result<Output, ProposeError>>;

    /// Hands heartbeats to the leader, whose [`Keeper::heartbeat_as_leader`] answers. Bounded in
    /// time.
    fn relay(&self, nodes: Vec<NodeAddress>) -> BoxFuture<'_, Result<Vec<HeartbeatOutcome>, ReadError>>;
}
