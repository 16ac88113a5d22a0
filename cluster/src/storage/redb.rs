//! The log in redb: one table for the entries, one for the few values beside them.
//!
//! Everything between two syncs is one transaction, so a crash takes all of it or nothing.

use std::io;
use std::path::Path;
use std::sync::Arc;

use kenger_mutant::{self as mutant, Mutant};
use redb::{Durability, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, WriteTransaction};

use super::{EngineOpenError, LogEngine, META_MAX_BYTES, MetaKey, files};
use crate::env::{Disk, DiskFile};

const LOG: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("log");
const META: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("meta");
/// What redb keeps of its pages in memory; the log is read at open only, so it needs little.
const CACHE_BYTES: usize = 16 << 20;
const FILE: &str = "log.redb";

pub(super) struct RedbEngine {
    /// What was written since the last sync.
    pending: Option<WriteTransaction>,
    db: redb::Database,
}

impl RedbEngine {
    /// Opens, or makes, the store at `path`.
    pub(super) fn open(disk: &dyn Disk, path: &Path) -> Result<Self, EngineOpenError> {
        let environment = |error: io::Error| EngineOpenError::Environment(error.to_string());
        files::create_directory(disk, path).map_err(environment)?;
        let file = path.join(FILE);
        files::sync_leftovers(disk, &file).map_err(environment)?;
        let mut builder = redb::Builder::new();
        builder.set_cache_size(CACHE_BYTES);
        let db = if disk.is_native() {
            builder.create(file)
        } else {
            let opened = if disk.exists(&file) { disk.open(&file) } else { disk.create(&file) };
            builder.create_with_backend(Backend(opened.map_err(environment)?))
        };
        let db = db.map_err(classify)?;
        disk.sync_directory(path).map_err(environment)?;
        let mut engine = Self { pending: None, db };
        engine.make_tables().map_err(|error| match error.raw_os_error() {
            Some(_) => EngineOpenError::Environment(error.to_string()),
            None => EngineOpenError::Damaged(error.to_string()),
        })?;
        Ok(engine)
    }

    fn make_tables(&mut self) -> io::Result<()> {
        let transaction = self.pending()?;
        transaction.open_table(LOG).map_err(into_io)?;
        transaction.open_table(META).map_err(into_io)?;
        self.sync()
    }

    fn pending(&mut self) -> io::Result<&WriteTransaction> {
        let transaction = match self.pending.take() {
            Some(transaction) => transaction,
            None => {
                let mut transaction = self.db.begin_write().map_err(into_io)?;
                let syncs =
                    if mutant::is(Mutant::SkipSync) { Durability::None } else { Durability::Immediate };
                transaction.set_durability(syncs).map_err(into_io)?;
                transaction
            }
        };
        Ok(self.pending.insert(transaction))
    }
}

impl LogEngine for RedbEngine {
    fn append(&mut self, first: u64, entries: &[Vec<u8>]) -> io::Result<()> {
        let mut log = self.pending()?.open_table(LOG).map_err(into_io)?;
        for (index, entry) in (first..).zip(entries) {
            log.insert(index, entry.as_slice()).map_err(into_io)?;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.pending.take() {
            Some(transaction) => transaction.commit().map_err(into_io),
            None => Ok(()),
        }
    }

    fn truncate_after(&mut self, index: Option<u64>) -> io::Result<()> {
        let first = match index {
            Some(u64::MAX) => return Ok(()),
            Some(index) => index + 1,
            None => 0,
        };
        let mut log = self.pending()?.open_table(LOG).map_err(into_io)?;
        log.retain_in(first.., |_, _| false).map_err(into_io)
    }

    fn purge(&mut self, index: u64, max_entries: usize) -> io::Result<bool> {
        let mut log = self.pending()?.open_table(LOG).map_err(into_io)?;
        let Some(first) = log.first().map_err(into_io)?.map(|(first, _)| first.value()) else {
            return Ok(true);
        };
        let last = index.min(first.saturating_add(max_entries as u64 - 1));
        if first <= last {
            log.retain_in(first..=last, |_, _| false).map_err(into_io)?;
        }
        Ok(last == index || first > index)
    }

    fn read(&self, first: u64, visit: &mut dyn FnMut(u64, Vec<u8>) -> io::Result<()>) -> io::Result<()> {
        let transaction = self.db.begin_read().map_err(into_io)?;
        let log = transaction.open_table(LOG).map_err(into_io)?;
        for pair in log.range(first..).map_err(into_io)? {
            let (index, entry) = pair.map_err(into_io)?;
            visit(index.value(), entry.value().to_vec())?;
        }
        Ok(())
    }

    fn bounds(&self) -> io::Result<Option<(u64, u64)>> {
        let transaction = self.db.begin_read().map_err(into_io)?;
        let log = transaction.open_table(LOG).map_err(into_io)?;
        let first = log.first().map_err(into_io)?.map(|(index, _)| index.value());
        let last = log.last().map_err(into_io)?.map(|(index, _)| index.value());
        Ok(first.zip(last))
    }

    fn put_meta(&mut self, key: MetaKey, value: &[u8]) -> io::Result<()> {
        if value.len() > META_MAX_BYTES {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        let mut meta = self.pending()?.open_table(META).map_err(into_io)?;
        meta.insert(key.name(), value).map_err(into_io)?;
        Ok(())
    }

    fn get_meta(&self, key: MetaKey) -> io::Result<Option<Vec<u8>>> {
        let transaction = self.db.begin_read().map_err(into_io)?;
        let meta = transaction.open_table(META).map_err(into_io)?;
        Ok(meta.get(key.name()).map_err(into_io)?.map(|value| value.value().to_vec()))
    }
}

/// A file of a disk that is not the operating system's.
#[derive(Debug)]
struct Backend(Arc<dyn DiskFile>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.bytes()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.resize(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}

fn classify(error: redb::DatabaseError) -> EngineOpenError {
    let text = error.to_string();
    match error {
        redb::DatabaseError::DatabaseAlreadyOpen => EngineOpenError::Environment(text),
        redb::DatabaseError::Storage(redb::StorageError::Io(io)) if io.raw_os_error().is_some() => {
            EngineOpenError::Environment(text)
        }
        _ => EngineOpenError::Damaged(text),
    }
}

/// Keeps the number of the operating system's error where there is one.
fn into_io(error: impl Into<redb::Error>) -> io::Error {
    match error.into() {
        redb::Error::Io(error) => error,
        other => io::Error::other(other),
    }
}
