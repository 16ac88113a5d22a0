//! openraft, tied to Kenger's types. No type of openraft leaves this crate.

pub(crate) mod config;
pub(crate) mod machine;
pub(crate) mod network;
pub(crate) mod types;

use std::future::Future;

use machine::Machine;
use types::{Runtime, TypeConfig};

/// Raft over Kenger's state machine.
pub(crate) type Raft = openraft::Raft<TypeConfig, Machine>;

/// Runs what makes or starts a Raft node with `seed` as the source of its randomness. Tasks that are
/// spawned within inherit it; a Raft node that is made outside would panic at its first draw.
pub(crate) fn seeded<F: Future>(seed: u64, start: F) -> impl Future<Output = F::Output> {
    Runtime::scope(seed, start)
}
