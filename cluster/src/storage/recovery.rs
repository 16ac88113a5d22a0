//! What an engine holds when it is opened, checked before anything stands on it.

use std::io;

use openraft::alias::VoteOf;
use serde::de::DeserializeOwned;

use super::snapshot::SnapshotPointer;
use super::tail::{Entry, LogId, Tail};
use super::{LogEngine, MetaKey};
use crate::codec::{self, Kind};
use crate::raft::types::TypeConfig;

/// The log as it was left.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) tail: Tail,
    pub(super) purged: Option<LogId>,
    pub(super) vote: Option<VoteOf<TypeConfig>>,
    pub(super) committed: Option<LogId>,
    pub(super) snapshot: Option<SnapshotPointer>,
    /// A purge that was not finished: its log id is stored, but entries of it are still there.
    pub(super) purge_through: Option<u64>,
    /// How often the engine was synced, by its own count.
    pub(super) syncs: u64,
}

/// Reads everything.
///
/// # Errors
/// Something is damaged, or something that was acknowledged is missing.
pub(super) fn recover(engine: &dyn LogEngine) -> io::Result<Recovered> {
    let purged: Option<LogId> = meta(engine, MetaKey::Purged, Kind::LogId)?;
    let vote = meta(engine, MetaKey::Vote, Kind::Vote)?;
    let committed: Option<LogId> = meta(engine, MetaKey::Committed, Kind::LogId)?;
    let snapshot: Option<SnapshotPointer> = meta(engine, MetaKey::Snapshot, Kind::SnapshotPointer)?;

    let begin = purged.map_or(0, |purged| purged.index() + 1);
    let mut tail = Tail::default();
    engine.read(begin, &mut |index, bytes| {
        let entry: Entry = codec::decode(Kind::LogEntry, &bytes)?;
        let expected = tail.last().map_or(begin, |last| last.index() + 1);
        if index != expected || entry.log_id.index() != index {
            return Err(damaged(format!("entry {expected} is missing: the next one is {index}")));
        }
        tail.push(entry, bytes.len() as u64)
    })?;

    let included = snapshot.as_ref().and_then(SnapshotPointer::last_log_id);
    if purged > included {
        return Err(damaged("entries were purged that no snapshot includes".into()));
    }
    let first = engine.bounds()?.map(|(first, _)| first);
    let purge_through =
        purged.map(|purged| purged.index()).filter(|purged| first.is_some_and(|first| first <= *purged));
    // The committed log id is a hint that may be ahead of what this member has: Raft stores it before
    // a snapshot from the leader is installed.
    let committed = committed.min(tail.last().or(purged));
    let syncs = engine.get_meta(MetaKey::Syncs)?.and_then(|bytes| bytes.try_into().ok());
    let syncs = syncs.map_or(0, u64::from_be_bytes);
    Ok(Recovered { tail, purged, vote, committed, snapshot, purge_through, syncs })
}

fn meta<T: DeserializeOwned>(engine: &dyn LogEngine, key: MetaKey, kind: Kind) -> io::Result<Option<T>> {
    match engine.get_meta(key)? {
        Some(bytes) => Ok(Some(codec::decode(kind, &bytes)?)),
        None => Ok(None),
    }
}

fn damaged(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
