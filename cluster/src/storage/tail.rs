//! The unpurged end of the log in memory, from which everything is read.
//!
//! Raft reads an entry back several times within milliseconds (to apply it and to send it to each
//! follower), and requires it to be readable before it is on the disk.

use std::collections::VecDeque;
use std::io;
use std::ops::{Bound, RangeBounds};

use openraft::alias::{EntryOf, LogIdOf};

use crate::raft::types::TypeConfig;

pub(super) type Entry = EntryOf<TypeConfig>;
pub(super) type LogId = LogIdOf<TypeConfig>;

/// Consecutive entries with their encoded sizes.
#[derive(Debug, Default)]
pub(super) struct Tail {
    first: u64,
    records: VecDeque<Record>,
    bytes: u64,
}

#[derive(Debug)]
struct Record {
    entry: Entry,
    bytes: u64,
}

impl Tail {
    /// Adds the next entry, of `bytes` bytes when encoded.
    ///
    /// # Errors
    /// It does not follow the last one.
    pub(super) fn push(&mut self, entry: Entry, bytes: u64) -> io::Result<()> {
        let index = entry.log_id.index();
        if self.records.is_empty() {
            self.first = index;
        } else if index != self.end() {
            let reason = format!("entry {index} does not follow entry {}", self.end() - 1);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        self.records.push_back(Record { entry, bytes });
        self.bytes += bytes;
        Ok(())
    }

    /// Removes the entries from `index` on.
    pub(super) fn truncate_from(&mut self, index: u64) {
        while self.records.back().is_some_and(|record| record.entry.log_id.index() >= index) {
            let removed = self.records.pop_back();
            self.bytes -= removed.map_or(0, |record| record.bytes);
        }
    }

    /// Removes the entries up to and including `index`.
    pub(super) fn purge_through(&mut self, index: u64) {
        while self.records.front().is_some_and(|record| record.entry.log_id.index() <= index) {
            let removed = self.records.pop_front();
            self.bytes -= removed.map_or(0, |record| record.bytes);
            self.first += 1;
        }
        if self.records.capacity() > 4 * self.records.len().max(1_024) {
            self.records.shrink_to(2 * self.records.len());
        }
    }

    /// All entries within `range` that there are.
    pub(super) fn range(&self, range: &impl RangeBounds<u64>) -> Vec<Entry> {
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
        self.records(start, end).map(|record| record.entry.clone()).collect()
    }

    /// The entries from `start` to before `end`, as many as fit into `max_bytes`, but at least one if
    /// there is any.
    pub(super) fn limited(&self, start: u64, end: u64, max_bytes: u64) -> Vec<Entry> {
        let mut bytes = 0;
        let fits = |record: &&Record| {
            let fits = bytes == 0 || bytes + record.bytes <= max_bytes;
            bytes += record.bytes;
            fits
        };
        self.records(start, end).take_while(fits).map(|record| record.entry.clone()).collect()
    }

    /// The last entry's log id.
    pub(super) fn last(&self) -> Option<LogId> {
        self.records.back().map(|record| record.entry.log_id)
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> u64 {
        self.records.len() as u64
    }

    /// Their encoded size.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn end(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    fn records(&self, start: u64, end: u64) -> impl Iterator<Item = &Record> {
        let from = start.clamp(self.first, self.end()) - self.first;
        let to = end.clamp(self.first, self.end()) - self.first;
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let to = usize::try_from(to).unwrap_or(usize::MAX);
        self.records.range(from..to.max(from))
    }
}
