//! Everything durable. sled and redb are named in this module alone.
//!
//! One thread ([`writer`]) owns an engine behind [`LogEngine`] and is the only one that writes to it:
//! it takes what is queued, writes it in order, syncs once and answers in order. What Raft reads comes
//! from memory ([`tail`]); the engine is read only when the store is opened ([`recovery`]). Snapshots
//! are files ([`snapshot`]), the engine only remembers which one counts.

use std::io;
use std::sync::Arc;

use kenger_state::{Applied, State};

mod failure;
pub(crate) mod files;
mod log_store;
pub(crate) mod manifest;
mod mark;
#[cfg(test)]
mod memory;
mod open;
mod recovery;
mod redb;
mod sled;
mod sled_sync;
mod snapshot;
mod stats;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use failure::Failure;
pub(crate) use log_store::LogStore;
pub(crate) use open::{Opened, StoreCloser, StoreOptions, open};
pub(crate) use snapshot::{SnapshotFile, SnapshotMeta, SnapshotReceiver, Snapshots};
pub(crate) use stats::StorageStats;

/// Where an engine keeps one of the few values beside the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MetaKey {
    /// Raft's vote.
    Vote,
    /// The last log id that was known to be committed.
    Committed,
    /// The last log id that was purged.
    Purged,
    /// Which snapshot file counts.
    Snapshot,
    /// How often the store was opened.
    Opens,
    /// How often the engine was synced.
    Syncs,
}

impl MetaKey {
    /// The name that the value is stored under. Never changes.
    const fn name(self) -> &'static str {
        match self {
            MetaKey::Vote => "vote",
            MetaKey::Committed => "committed",
            MetaKey::Purged => "purged",
            MetaKey::Snapshot => "snapshot",
            MetaKey::Opens => "opens",
            MetaKey::Syncs => "syncs",
        }
    }
}

/// Why an engine could not be opened.
#[derive(Debug)]
enum EngineOpenError {
    /// The machine is at fault (permissions, a full disk, a lock): another try may work.
    Environment(String),
    /// What lies there is at fault.
    Damaged(String),
}

/// Longest value beside the log that every engine takes, in bytes.
pub(crate) const META_MAX_BYTES: usize = 4 << 10;

/// The narrow door to a storage engine. One thread owns it and is the only one that writes.
///
/// Nothing is durable before [`LogEngine::sync`] has returned; then everything before it is. After a
/// crash there is a prefix of the operations in the order in which they were made, at least up to
/// the last sync. After an error the engine is not used again.
pub(crate) trait LogEngine: Send {
    /// Adds entries with consecutive indexes.
    fn append(&mut self, first: u64, entries: &[Vec<u8>]) -> io::Result<()>;
    /// Makes everything before this call durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Removes all entries after `index` (`None`: all), from the last one down.
    fn truncate_after(&mut self, index: Option<u64>) -> io::Result<()>;
    /// Removes entries up to and including `index`, from the first one up, but no more than about
    /// `max_entries` of them. Returns whether none is left.
    fn purge(&mut self, index: u64, max_entries: usize) -> io::Result<bool>;
    /// Calls `visit` with each entry from `first` on, in order.
    fn read(&self, first: u64, visit: &mut dyn FnMut(u64, Vec<u8>) -> io::Result<()>) -> io::Result<()>;
    /// The first and the last index, if there is any entry.
    fn bounds(&self) -> io::Result<Option<(u64, u64)>>;
    /// Sets a value beside the log, of at most [`META_MAX_BYTES`].
    fn put_meta(&mut self, key: MetaKey, value: &[u8]) -> io::Result<()>;
    /// A value beside the log.
    fn get_meta(&self, key: MetaKey) -> io::Result<Option<Vec<u8>>>;
}

/// Who hears of what has been applied, in order, from within `apply`. Must be quick and never block.
pub(crate) trait ApplySink: Send + Sync {
    /// A command was applied; `state` is the state after it.
    fn applied(&self, state: &Arc<State>, applied: &mut Applied);
    /// The state was replaced by a snapshot.
    fn replaced(&self, state: &Arc<State>);
}
