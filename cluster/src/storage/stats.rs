//! What the store has done and holds, for metrics and for deciding when to take a snapshot.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters since the store was opened, and two gauges. Read without a lock, each by itself.
#[derive(Debug, Default)]
pub(crate) struct StorageStats {
    syncs: AtomicU64,
    sync_micros: AtomicU64,
    appended_entries: AtomicU64,
    appended_bytes: AtomicU64,
    log_entries: AtomicU64,
    log_bytes: AtomicU64,
}

impl StorageStats {
    /// How often the log was synced; one sync serves many writes.
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Time spent in these syncs.
    pub(crate) fn sync_time(&self) -> Duration {
        Duration::from_micros(self.sync_micros.load(Ordering::Relaxed))
    }

    /// Entries that were appended and synced.
    pub(crate) fn appended_entries(&self) -> u64 {
        self.appended_entries.load(Ordering::Relaxed)
    }

    /// Their encoded size in bytes.
    pub(crate) fn appended_bytes(&self) -> u64 {
        self.appended_bytes.load(Ordering::Relaxed)
    }

    /// Entries that are in the log and not purged.
    pub(crate) fn log_entries(&self) -> u64 {
        self.log_entries.load(Ordering::Relaxed)
    }

    /// Their encoded size in bytes.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn count_sync(&self, took: Duration, entries: u64, bytes: u64) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.appended_entries.fetch_add(entries, Ordering::Relaxed);
        self.appended_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn set_log(&self, entries: u64, bytes: u64) {
        self.log_entries.store(entries, Ordering::Relaxed);
        self.log_bytes.store(bytes, Ordering::Relaxed);
    }
}
