//! Raft's log over the storage thread: reads come from memory, writes go through the queue.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{Stream, stream};
use kenger_mutant::{self as mutant, Mutant};
use openraft::alias::VoteOf;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};

use super::recovery::Recovered;
use super::tail::{Entry, LogId, Tail};
use super::writer::Writer;
use super::{Failure, MetaKey, StorageStats};
use crate::codec::{self, Kind};
use crate::raft::types::TypeConfig;

/// Most bytes of entries in one message to a follower, unless a single entry is larger.
const REPLICATION_MAX_BYTES: u64 = 1 << 20;
/// How many entries are copied at once for `apply`.
const APPLY_CHUNK_ENTRIES: u64 = 256;

type Vote = VoteOf<TypeConfig>;

/// The log and the vote. Clones are handles to the same ones.
#[derive(Clone)]
pub(crate) struct LogStore {
    log: Arc<Mutex<Log>>,
    writer: Writer,
    stats: Arc<StorageStats>,
    failure: Failure,
}

/// Reads the log and the vote.
#[derive(Clone)]
pub(crate) struct LogReader {
    log: Arc<Mutex<Log>>,
}

struct Log {
    tail: Tail,
    purged: Option<LogId>,
    vote: Option<Vote>,
    committed: Option<LogId>,
}

impl LogStore {
    pub(super) fn new(
        recovered: Recovered,
        writer: Writer,
        stats: Arc<StorageStats>,
        failure: Failure,
    ) -> Self {
        let Recovered { tail, purged, vote, committed, .. } = recovered;
        stats.set_log(tail.len(), tail.bytes());
        let log = Arc::new(Mutex::new(Log { tail, purged, vote, committed }));
        Self { log, writer, stats, failure }
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        lock(&self.log)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Log) -> T) -> T {
        let mut log = self.lock();
        let outcome = change(&mut log);
        self.stats.set_log(log.tail.len(), log.tail.bytes());
        outcome
    }

    /// The failure is final: entries that are only in memory must not be taken for stored ones.
    fn still_works(&self) -> io::Result<()> {
        match self.failure.reason() {
            Some(_) => Err(self.failure.error()),
            None => Ok(()),
        }
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let log = self.lock();
        Ok(LogState { last_purged_log_id: log.purged, last_log_id: log.tail.last().or(log.purged) })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader { log: Arc::clone(&self.log) }
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let bytes = codec::encode(Kind::Vote, vote)?;
        if !mutant::is(Mutant::ForgetVote) {
            self.writer.put_meta(MetaKey::Vote, bytes).await?;
        }
        self.lock().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        // Raft begins with none and never goes back to it.
        let Some(log_id) = committed else { return Ok(()) };
        self.writer.committed(codec::encode(Kind::LogId, &log_id)?)?;
        self.lock().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.still_works()?;
        let entries: Vec<Entry> = entries.into_iter().collect();
        let Some(first) = entries.first().map(|entry| entry.log_id.index()) else {
            callback.io_completed(Ok(()));
            return Ok(());
        };
        let encoded: Vec<Vec<u8>> =
            entries.iter().map(|entry| codec::encode(Kind::LogEntry, entry)).collect::<Result<_, _>>()?;
        let bytes = encoded.iter().map(|entry| entry.len() as u64).sum();
        let room = self.writer.room(bytes).await?;
        self.change(|log| {
            entries
                .into_iter()
                .zip(&encoded)
                .try_for_each(|(entry, bytes)| log.tail.push(entry, bytes.len() as u64))
        })?;
        self.writer.append(first, encoded, room, callback)
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        self.still_works()?;
        let after = last_log_id.map(|log_id| log_id.index());
        let from = after.map_or(0, |after| after.saturating_add(1));
        self.change(|log| log.tail.truncate_from(from));
        self.writer.truncate_after(after).await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        self.still_works()?;
        let bytes = codec::encode(Kind::LogId, &log_id)?;
        self.change(|log| {
            log.tail.purge_through(log_id.index());
            log.purged = log.purged.max(Some(log_id));
        });
        self.writer.purge(log_id.index(), bytes)
    }
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        Ok(lock(&self.log).tail.range(&range))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        Ok(lock(&self.log).tail.limited(start, end, REPLICATION_MAX_BYTES))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(lock(&self.log).vote)
    }

    /// Copies a few entries at a time, so that a long catch-up neither holds the lock nor fills the
    /// memory. Only committed entries are read this way, so what is still to come does not change.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        let chunk = Vec::new().into_iter();
        Box::pin(stream::unfold((Arc::clone(&self.log), start, chunk), move |(log, mut at, mut chunk)| {
            let next = chunk.next().or_else(|| {
                let until = end.min(at.saturating_add(APPLY_CHUNK_ENTRIES));
                chunk = lock(&log).tail.range(&(at..until)).into_iter();
                chunk.next()
            });
            let item = next.map(|entry: Entry| {
                at = entry.log_id.index() + 1;
                (Ok(entry), (log, at, chunk))
            });
            std::future::ready(item)
        }))
    }
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    // A panic elsewhere leaves the log as it was between two changes.
    log.lock().unwrap_or_else(PoisonError::into_inner)
}
