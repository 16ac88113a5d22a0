//! The log in sled 0.34, with the rules under which sled keeps what it acknowledged (DESIGN §7).
//!
//! An entry is cut into chunks, because sled puts large values into files of their own that it never
//! syncs: key = index and chunk number, both big-endian; the first chunk begins with the number of
//! chunks. Chunks are written in order, so only the last entry can be incomplete after a crash; it was
//! never acknowledged and is removed at the next open.

use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use super::{EngineOpenError, LogEngine, META_MAX_BYTES, MetaKey, files, sled_sync};
use crate::env::{Disk, NativeDisk};

/// sled keeps no value larger than this in a file of its own that it does not sync; ours are smaller.
const VALUE_MAX_BYTES: usize = 4 << 10;
const COUNT_BYTES: usize = 2;
const FIRST_CHUNK_BYTES: usize = VALUE_MAX_BYTES - COUNT_BYTES;
const KEY_BYTES: usize = 10;
/// What sled keeps of its pages in memory; the log is read at open only, so it needs little.
const CACHE_BYTES: u64 = 64 << 20;
/// sled frees segments in its background flush and nowhere else.
const FLUSH_EVERY_MS: u64 = 500;
const LOCK_TRIES_MAX: u32 = 250;
const LOCK_PAUSE: Duration = Duration::from_millis(20);
const DATA_FILE: &str = "db";
const PROBE_KEY: &str = "sync_probe";

const _: () = assert!(META_MAX_BYTES <= VALUE_MAX_BYTES);

pub(super) struct SledEngine {
    log: sled::Tree,
    meta: sled::Tree,
    db: sled::Db,
    /// Another open file on sled's data file, to be told of failed syncs that sled only logs.
    watched: File,
}

impl SledEngine {
    /// Opens, or makes, the store at `path`, and proves that its syncs are real.
    pub(super) fn open(path: &Path) -> Result<Self, EngineOpenError> {
        Self::open_counting(path, sled_sync::calls)
    }

    /// As [`SledEngine::open`]; `syncs` tells how many syncs went through to `fdatasync` so far.
    fn open_counting(path: &Path, syncs: fn() -> u64) -> Result<Self, EngineOpenError> {
        files::create_directory(&NativeDisk, path).map_err(environment)?;
        remove_half_written_snapshots(path).map_err(environment)?;
        files::sync_leftovers(&NativeDisk, &path.join(DATA_FILE)).map_err(environment)?;
        // sled panics on some kinds of damage.
        let opened = catch_unwind(AssertUnwindSafe(|| open_when_unlocked(path)));
        let (db, log, meta) = match opened {
            Ok(opened) => opened?,
            Err(panic) => return Err(EngineOpenError::Damaged(panic_message(&*panic))),
        };
        let watched = File::open(path.join(DATA_FILE)).map_err(environment)?;
        NativeDisk.sync_directory(path).map_err(environment)?;
        let mut engine = Self { log, meta, db, watched };
        engine.prove_sync(syncs)?;
        engine.remove_incomplete_tail().map_err(|error| EngineOpenError::Damaged(error.to_string()))?;
        Ok(engine)
    }

    fn prove_sync(&mut self, syncs: fn() -> u64) -> Result<(), EngineOpenError> {
        let damaged = |error: io::Error| EngineOpenError::Damaged(error.to_string());
        let last = self.meta.get(PROBE_KEY).map_err(into_io).map_err(damaged)?;
        let last = last.and_then(|bytes| bytes.as_ref().try_into().ok()).map_or(0, u64::from_be_bytes);
        let before = syncs();
        let probe = last.wrapping_add(1).to_be_bytes();
        self.meta.insert(PROBE_KEY, &probe).map_err(into_io).map_err(damaged)?;
        self.sync().map_err(environment)?;
        if syncs() == before {
            return Err(EngineOpenError::Environment(
                "sled's sync does not reach fdatasync in this build, so it would lose acknowledged writes; \
                 link the program without replacing sync_file_range, or start with --store redb"
                    .into(),
            ));
        }
        Ok(())
    }

    fn remove_incomplete_tail(&mut self) -> io::Result<()> {
        let Some((last_key, _)) = self.log.last().map_err(into_io)? else { return Ok(()) };
        let (index, last_chunk) = split_key(&last_key)?;
        let first = self.log.get(key(index, 0)).map_err(into_io)?;
        let complete = match first {
            Some(first) => chunk_count(&first)? == u32::from(last_chunk) + 1,
            None => false,
        };
        if complete {
            return Ok(());
        }
        tracing::info!(index, "removing an entry that was not written to its end");
        self.truncate_after(index.checked_sub(1))?;
        self.sync()
    }
}

impl LogEngine for SledEngine {
    fn append(&mut self, first: u64, entries: &[Vec<u8>]) -> io::Result<()> {
        for (index, entry) in (first..).zip(entries) {
            let (head, rest) = entry.split_at(entry.len().min(FIRST_CHUNK_BYTES));
            let chunks =
                u16::try_from(1 + rest.len().div_ceil(VALUE_MAX_BYTES)).map_err(|_| too_large(entry))?;
            let mut value = Vec::with_capacity(COUNT_BYTES + head.len());
            value.extend_from_slice(&chunks.to_be_bytes());
            value.extend_from_slice(head);
            self.log.insert(key(index, 0), value).map_err(into_io)?;
            for (chunk, value) in (1..chunks).zip(rest.chunks(VALUE_MAX_BYTES)) {
                self.log.insert(key(index, chunk), value).map_err(into_io)?;
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.db.flush().map_err(into_io)?;
        sled_sync::check_written_back(&self.watched)
    }

    fn truncate_after(&mut self, index: Option<u64>) -> io::Result<()> {
        let first = match index {
            Some(u64::MAX) => return Ok(()),
            Some(index) => key(index + 1, 0),
            None => key(0, 0),
        };
        while let Some((last, _)) = self.log.range(first..).next_back().transpose().map_err(into_io)? {
            self.log.remove(last).map_err(into_io)?;
        }
        Ok(())
    }

    fn purge(&mut self, index: u64, max_entries: usize) -> io::Result<bool> {
        let range = ..=key(index, u16::MAX);
        let doomed: Vec<_> =
            self.log.range(range).keys().take(max_entries).collect::<Result<_, _>>().map_err(into_io)?;
        let none_left = doomed.len() < max_entries;
        for key in doomed {
            self.log.remove(key).map_err(into_io)?;
        }
        Ok(none_left)
    }

    fn read(&self, first: u64, visit: &mut dyn FnMut(u64, Vec<u8>) -> io::Result<()>) -> io::Result<()> {
        let mut entry = Assembly::default();
        for pair in self.log.range(key(first, 0)..) {
            let (key, value) = pair.map_err(into_io)?;
            let (index, chunk) = split_key(&key)?;
            if let Some(whole) = entry.add(index, chunk, &value)? {
                visit(index, whole)?;
            }
        }
        entry.expect_none()
    }

    fn bounds(&self) -> io::Result<Option<(u64, u64)>> {
        let first = self.log.first().map_err(into_io)?;
        let last = self.log.last().map_err(into_io)?;
        match (first, last) {
            (Some((first, _)), Some((last, _))) => Ok(Some((split_key(&first)?.0, split_key(&last)?.0))),
            _ => Ok(None),
        }
    }

    fn put_meta(&mut self, key: MetaKey, value: &[u8]) -> io::Result<()> {
        if value.len() > META_MAX_BYTES {
            return Err(too_large(value));
        }
        self.meta.insert(key.name(), value).map_err(into_io)?;
        Ok(())
    }

    fn get_meta(&self, key: MetaKey) -> io::Result<Option<Vec<u8>>> {
        Ok(self.meta.get(key.name()).map_err(into_io)?.map(|value| value.to_vec()))
    }
}

/// Puts the chunks of one entry together.
#[derive(Default)]
struct Assembly {
    index: u64,
    next_chunk: u16,
    chunks: u32,
    bytes: Vec<u8>,
}

impl Assembly {
    /// Takes the next chunk and returns the entry if it is whole now.
    fn add(&mut self, index: u64, chunk: u16, value: &[u8]) -> io::Result<Option<Vec<u8>>> {
        if chunk == 0 {
            self.expect_none()?;
            self.index = index;
            self.chunks = chunk_count(value)?;
            self.bytes.extend_from_slice(&value[COUNT_BYTES..]);
        } else if (index, chunk) == (self.index, self.next_chunk) && self.next_chunk > 0 {
            self.bytes.extend_from_slice(value);
        } else {
            return Err(damaged(format!("chunk {chunk} of entry {index} is out of place")));
        }
        if u32::from(chunk) + 1 == self.chunks {
            self.next_chunk = 0;
            return Ok(Some(std::mem::take(&mut self.bytes)));
        }
        self.next_chunk = chunk + 1;
        Ok(None)
    }

    /// Fails if an entry has been begun and is not whole.
    fn expect_none(&self) -> io::Result<()> {
        if self.next_chunk == 0 {
            return Ok(());
        }
        Err(damaged(format!("entry {} ends after chunk {} of {}", self.index, self.next_chunk, self.chunks)))
    }
}

type Trees = (sled::Db, sled::Tree, sled::Tree);

/// Threads of a store that this process has just closed may hold sled's lock a little longer.
fn open_when_unlocked(path: &Path) -> Result<Trees, EngineOpenError> {
    for _ in 0..LOCK_TRIES_MAX {
        match open_trees(path) {
            Err(error) if is_locked(&error) => wait_for_lock(),
            opened => return opened.map_err(classify),
        }
    }
    Err(EngineOpenError::Environment("another process holds sled's lock".into()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "opening a store blocks its thread anyway, and sled tells nobody"
)]
fn wait_for_lock() {
    std::thread::sleep(LOCK_PAUSE);
}

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(_)) && error.to_string().contains("could not acquire lock")
}

fn open_trees(path: &Path) -> sled::Result<Trees> {
    let db = sled::Config::new()
        .path(path)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(FLUSH_EVERY_MS))
        .use_compression(false)
        .open()?;
    let log = db.open_tree("log")?;
    let meta = db.open_tree("meta")?;
    Ok((db, log, meta))
}

/// sled does not open over one that it did not finish (spacejam/sled#1527).
fn remove_half_written_snapshots(path: &Path) -> io::Result<()> {
    for item in fs::read_dir(path)? {
        let item = item?;
        let name = item.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(item.path())?;
        }
    }
    NativeDisk.sync_directory(path)
}

fn classify(error: sled::Error) -> EngineOpenError {
    let text = error.to_string();
    match error {
        sled::Error::Io(io) if io.raw_os_error().is_some() => EngineOpenError::Environment(text),
        _ => EngineOpenError::Damaged(text),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
fn environment(error: io::Error) -> EngineOpenError {
    EngineOpenError::Environment(error.to_string())
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("sled panicked: {}", text.unwrap_or("without a message"))
}

fn key(index: u64, chunk: u16) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[..8].copy_from_slice(&index.to_be_bytes());
    key[8..].copy_from_slice(&chunk.to_be_bytes());
    key
}

fn split_key(key: &[u8]) -> io::Result<(u64, u16)> {
    let key: [u8; KEY_BYTES] =
        key.try_into().map_err(|_| damaged(format!("a key of the log has {} bytes", key.len())))?;
    let [i0, i1, i2, i3, i4, i5, i6, i7, c0, c1] = key;
    Ok((u64::from_be_bytes([i0, i1, i2, i3, i4, i5, i6, i7]), u16::from_be_bytes([c0, c1])))
}

fn chunk_count(first_chunk: &[u8]) -> io::Result<u32> {
    match first_chunk.first_chunk::<COUNT_BYTES>() {
        Some(count) if *count != [0, 0] => Ok(u32::from(u16::from_be_bytes(*count))),
        _ => Err(damaged("the first chunk of an entry tells no number of chunks".into())),
    }
}

fn damaged(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn too_large(value: &[u8]) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("{} bytes are more than sled is given", value.len()))
}

fn into_io(error: sled::Error) -> io::Error {
    match error {
        sled::Error::Io(error) => error,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    //! The proof that sled's syncs are real ones.

    use super::{EngineOpenError, SledEngine, sled_sync};

    #[test]
    fn a_sled_whose_sync_does_not_reach_fdatasync_does_not_open() {
        let directory = tempfile::tempdir().unwrap();
        let outcome = SledEngine::open_counting(directory.path(), || 0);
        let Err(EngineOpenError::Environment(reason)) = outcome else { panic!("it opened") };
        assert!(reason.contains("does not reach fdatasync"), "{reason}");
    }

    #[test]
    fn sled_s_sync_reaches_fdatasync_in_this_build() {
        let directory = tempfile::tempdir().unwrap();
        let before = sled_sync::calls();
        drop(SledEngine::open(directory.path()).unwrap());
        assert!(sled_sync::calls() > before);
    }
}
