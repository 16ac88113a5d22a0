//! Opens a data directory and hands out the parts of the store.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::manifest::DataDir;
use super::recovery::{Recovered, recover};
use super::redb::RedbEngine;
use super::sled::SledEngine;
use super::snapshot::CurrentSnapshot;
use super::writer::{Writer, WriterParts};
use super::{EngineOpenError, Failure, LogEngine, LogStore, MetaKey, Snapshots, StorageStats};
use crate::config::StoreKind;
use crate::env::{Disk, Storage};
use crate::error::StartError;

/// Where and how a member stores.
#[derive(Debug, Clone)]
pub(crate) struct StoreOptions {
    /// The data directory; made if it is not there.
    pub(crate) data_dir: PathBuf,
    /// Which engine; must be the one that made the directory.
    pub(crate) kind: StoreKind,
}

/// An open store.
pub(crate) struct Opened {
    /// For Raft.
    pub(crate) log_store: LogStore,
    /// For the state machine.
    pub(crate) snapshots: Snapshots,
    /// For metrics.
    pub(crate) stats: Arc<StorageStats>,
    /// Tells when the process has to end.
    pub(crate) failure: Failure,
    /// For the end.
    pub(crate) closer: StoreCloser,
}

/// Closes the store; the process may end without it, nothing that was acknowledged is lost.
#[derive(Clone)]
pub(crate) struct StoreCloser {
    writer: Writer,
}

impl StoreCloser {
    /// Writes what is queued, closes the engine and unlocks the data directory.
    pub(crate) async fn close(&self) {
        self.writer.close().await;
    }
}

/// Opens the store. Blocks for as long as it takes to read the whole log and to check the snapshot.
///
/// # Errors
/// The directory is in use, was made otherwise, or is damaged; in the last case it was put aside.
/// Each error says what to do.
pub(crate) fn open(options: &StoreOptions, storage: &Storage) -> Result<Opened, StartError> {
    let mut data_dir = DataDir::claim(&storage.disk, &options.data_dir, options.kind)?;
    let mut engine = open_engine(&*storage.disk, &data_dir, options.kind)?;
    let loaded = load(&mut *engine, &*storage.disk, &data_dir);
    let (opens, recovered, current) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            drop(engine);
            return Err(match error.raw_os_error() {
                Some(_) => {
                    StartError::Store(cannot_open(&data_dir.engine_path().display(), &error.to_string()))
                }
                None => data_dir.quarantine(&error.to_string()),
            });
        }
    };
    data_dir.opened(opens)?;
    let snapshot_path = data_dir.snapshot_path();
    assemble(engine, recovered, Some(data_dir), storage, |parts| {
        Snapshots::new(storage.clone(), snapshot_path, current, parts.writer.clone(), parts.failure.clone())
    })
}

/// Reads and checks everything, and has the engine count this open.
fn load(
    engine: &mut dyn LogEngine,
    disk: &dyn Disk,
    data_dir: &DataDir,
) -> io::Result<(u64, Recovered, Option<CurrentSnapshot>)> {
    let known = engine.get_meta(MetaKey::Opens)?.and_then(|bytes| bytes.try_into().ok());
    let known = known.map_or(0, u64::from_be_bytes);
    if known < data_dir.opens() {
        let reason = format!("the engine knows of {known} opens where there were {}", data_dir.opens());
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    let recovered = recover(engine)?;
    let syncs = data_dir.syncs()?;
    if recovered.syncs < syncs {
        let known = recovered.syncs;
        let reason =
            format!("the engine knows of {known} syncs where there were {syncs}: it has lost what it held");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    let current = Snapshots::load(disk, &data_dir.snapshot_path(), recovered.snapshot.as_ref())?;
    let opens = known + 1;
    engine.put_meta(MetaKey::Opens, &opens.to_be_bytes())?;
    engine.sync()?;
    Ok((opens, recovered, current))
}

/// What the parts of an open store share.
pub(super) struct Parts {
    pub(super) writer: Writer,
    pub(super) failure: Failure,
}

/// Starts the storage thread over an engine that has been read.
pub(super) fn assemble(
    engine: Box<dyn LogEngine>,
    recovered: Recovered,
    data_dir: Option<DataDir>,
    storage: &Storage,
    snapshots: impl FnOnce(&Parts) -> Snapshots,
) -> Result<Opened, StartError> {
    let stats = Arc::new(StorageStats::default());
    let failure = Failure::none();
    let parts = WriterParts {
        engine,
        purge_through: recovered.purge_through,
        syncs: recovered.syncs,
        data_dir,
        stats: Arc::clone(&stats),
        failure: failure.clone(),
    };
    let writer = Writer::start(parts, storage)
        .map_err(|error| StartError::Store(format!("the storage thread did not start: {error}")))?;
    let parts = Parts { writer, failure };
    let snapshots = snapshots(&parts);
    let Parts { writer, failure } = parts;
    let closer = StoreCloser { writer: writer.clone() };
    let log_store = LogStore::new(recovered, writer, Arc::clone(&stats), failure.clone());
    Ok(Opened { log_store, snapshots, stats, failure, closer })
}

fn open_engine(
    disk: &dyn Disk,
    data_dir: &DataDir,
    kind: StoreKind,
) -> Result<Box<dyn LogEngine>, StartError> {
    let path = data_dir.engine_path();
    let engine = match kind {
        StoreKind::Sled if !disk.is_native() => {
            return Err(StartError::Store("sled works on the operating system's own disk alone".to_owned()));
        }
        StoreKind::Sled => SledEngine::open(&path).map(|engine| Box::new(engine) as Box<dyn LogEngine>),
        StoreKind::Redb => RedbEngine::open(disk, &path).map(|engine| Box::new(engine) as Box<dyn LogEngine>),
    };
    engine.map_err(|error| match error {
        EngineOpenError::Environment(reason) => StartError::Store(cannot_open(&path.display(), &reason)),
        EngineOpenError::Damaged(reason) => data_dir.quarantine(&reason),
    })
}

fn cannot_open(path: &dyn Display, reason: &str) -> String {
    format!("{path} cannot be opened: {reason}")
}
