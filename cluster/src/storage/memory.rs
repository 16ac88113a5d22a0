//! An engine for tests, with a volatile and a durable part: a crash drops what was not synced.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{LogEngine, MetaKey};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Content {
    log: BTreeMap<u64, Vec<u8>>,
    meta: BTreeMap<MetaKey, Vec<u8>>,
}

#[derive(Debug, Default)]
struct Disk {
    durable: Content,
    volatile: Content,
    syncs: u64,
    fail_after_syncs: Option<u64>,
    panic_at_append: bool,
    held: bool,
}

/// The disk, which outlives the engine.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryDisk {
    disk: Arc<(Mutex<Disk>, std::sync::Condvar)>,
}

impl MemoryDisk {
    /// What is not durable is gone.
    pub(super) fn crash(&self) {
        let mut disk = self.lock();
        disk.volatile = disk.durable.clone();
    }

    /// Every sync after the next `syncs` ones fails.
    pub(super) fn fail_after_syncs(&self, syncs: u64) {
        let mut disk = self.lock();
        disk.fail_after_syncs = Some(disk.syncs + syncs);
    }

    /// The next append panics.
    pub(super) fn panic_at_append(&self) {
        self.lock().panic_at_append = true;
    }

    /// Makes the next sync wait until [`MemoryDisk::release`].
    pub(super) fn hold(&self) {
        self.lock().held = true;
    }

    /// Lets a held sync go on.
    pub(super) fn release(&self) {
        self.lock().held = false;
        self.disk.1.notify_all();
    }

    /// How many syncs there were.
    pub(super) fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// The engine on this disk.
    pub(super) fn engine(&self) -> MemoryEngine {
        MemoryEngine { disk: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct MemoryEngine {
    disk: MemoryDisk,
}

impl LogEngine for MemoryEngine {
    fn append(&mut self, first: u64, entries: &[Vec<u8>]) -> io::Result<()> {
        let mut disk = self.disk.lock();
        assert!(!disk.panic_at_append, "told to panic");
        disk.volatile.log.extend((first..).zip(entries.iter().cloned()));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.disk.lock();
        while disk.held {
            disk = self.disk.disk.1.wait(disk).unwrap_or_else(PoisonError::into_inner);
        }
        if disk.fail_after_syncs.is_some_and(|last| disk.syncs >= last) {
            return Err(io::Error::other("told to fail"));
        }
        disk.syncs += 1;
        disk.durable = disk.volatile.clone();
        Ok(())
    }

    fn truncate_after(&mut self, index: Option<u64>) -> io::Result<()> {
        let from = index.map_or(0, |index| index + 1);
        self.disk.lock().volatile.log.split_off(&from);
        Ok(())
    }

    fn purge(&mut self, index: u64, max_entries: usize) -> io::Result<bool> {
        let mut disk = self.disk.lock();
        for _ in 0..max_entries {
            match disk.volatile.log.first_entry() {
                Some(first) if *first.key() <= index => drop(first.remove()),
                _ => return Ok(true),
            }
        }
        Ok(disk.volatile.log.first_key_value().is_none_or(|(first, _)| *first > index))
    }

    fn read(&self, first: u64, visit: &mut dyn FnMut(u64, Vec<u8>) -> io::Result<()>) -> io::Result<()> {
        let log = self.disk.lock().volatile.log.clone();
        log.range(first..).try_for_each(|(index, entry)| visit(*index, entry.clone()))
    }

    fn bounds(&self) -> io::Result<Option<(u64, u64)>> {
        let disk = self.disk.lock();
        let first = disk.volatile.log.first_key_value().map(|(index, _)| *index);
        Ok(first.zip(disk.volatile.log.last_key_value().map(|(index, _)| *index)))
    }

    fn put_meta(&mut self, key: MetaKey, value: &[u8]) -> io::Result<()> {
        self.disk.lock().volatile.meta.insert(key, value.to_vec());
        Ok(())
    }

    fn get_meta(&self, key: MetaKey) -> io::Result<Option<Vec<u8>>> {
        Ok(self.disk.lock().volatile.meta.get(&key).cloned())
    }
}
