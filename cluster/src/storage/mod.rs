//! Everything durable. sled and redb are named in this module alone.

use std::io;
use std::sync::Arc;

use kenger_state::{Applied, State};

/// Where an engine keeps one of the few values beside the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MetaKey {
    /// Raft's vote.
    Vote,
    /// The last log id that was known to be committed.
    Committed,
    /// The last log id that was purged.
    Purged,
    /// Which snapshot file counts, and its metadata.
    Snapshot,
}

/// The narrow door to a storage engine. One thread owns it and is the only one that writes.
///
/// Nothing is durable before [`LogEngine::sync`] has returned; then everything before it is.
pub(crate) trait LogEngine: Send {
    /// Adds entries with consecutive indexes.
    fn append(&mut self, first: u64, entries: &[Vec<u8>]) -> io::Result<()>;
    /// Makes everything before this call durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Removes all entries after `index` (`None`: all), from the last one down.
    fn truncate_after(&mut self, index: Option<u64>) -> io::Result<()>;
    /// Removes all entries up to and including `index`.
    fn purge(&mut self, index: u64) -> io::Result<()>;
    /// Calls `visit` with each entry from `first` on, in order.
    fn read(&self, first: u64, visit: &mut dyn FnMut(u64, Vec<u8>) -> io::Result<()>) -> io::Result<()>;
    /// The first and the last index, if there is any entry.
    fn bounds(&self) -> io::Result<Option<(u64, u64)>>;
    /// Sets a value beside the log.
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
