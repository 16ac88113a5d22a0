//! The replicated state machine: pure and synchronous.
//!
//! [`State::apply`] is the only thing that changes a [`State`], and a function of the state and the
//! command alone: no clock, no randomness, no IO. Members that applied the same commands are equal.
//! Copies are cheap (persistent maps), so that a reader or a snapshot never stops a writer.

mod apply;
mod apply_namespace;
mod apply_node;
pub mod command;
mod expiry;
pub mod outcome;
pub mod record;
mod state;
mod stored;

pub use command::{Command, NamespaceKey, Proposal, Seen};
pub use outcome::{Applied, LeaseEffect, Output, Rejection};
pub use record::{NamespaceRecord, NodeRecord};
pub use state::State;
