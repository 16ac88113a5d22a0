//! What a data directory says about itself: which engine made it, in which format, and whether it
//! was put aside because the engine could not open it.
//!
//! It also counts the opens, as the engine does: an engine that knows of fewer has lost what it held
//! (sled opens a damaged file as if it were a shorter one, or empty).
//!
//! The manifest stays behind when a damaged store is put aside. Without it the member would start
//! with an empty log under its old identity, and could vote a second time in a term.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::files;
use super::mark::Mark;
use crate::config::StoreKind;
use crate::env::{Disk, DiskLock};
use crate::error::StartError;

const MANIFEST_FILE: &str = "store.json";
const LOCK_FILE: &str = "store.lock";
const FORMAT: u32 = 1;
const QUARANTINE_MAX: u32 = 1_000;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    engine: String,
    /// Whether the store was made to its end; before that nothing in it was ever acknowledged.
    complete: bool,
    /// At least so often the engine was opened, by its own count.
    opens: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quarantined: Option<Quarantined>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Quarantined {
    reason: String,
    moved_to: PathBuf,
}

/// A data directory that this process alone has open.
pub(crate) struct DataDir {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    kind: StoreKind,
    is_new: bool,
    opens: u64,
    /// Held for as long as the engine is open.
    _lock: DiskLock,
}

impl DataDir {
    /// Locks the directory, making it if it is not there, and checks that it was made by `kind`.
    ///
    /// # Errors
    /// Another process has it, another engine or a later release made it, or it was put aside.
    pub(crate) fn claim(disk: &Arc<dyn Disk>, path: &Path, kind: StoreKind) -> Result<Self, StartError> {
        let unusable = |error: io::Error| refused(path, format!("{error}; check that it can be written to"));
        files::create_directory(&**disk, path).map_err(unusable)?;
        let lock = lock(&**disk, path)?;
        let manifest = read(&**disk, path)?;
        let is_new = manifest.as_ref().is_none_or(|manifest| !manifest.complete);
        let opens = manifest.as_ref().map_or(0, |manifest| manifest.opens);
        let directory =
            Self { disk: Arc::clone(disk), path: path.to_owned(), kind, is_new, opens, _lock: lock };
        match manifest {
            Some(manifest) => manifest.check(&**disk, path, kind)?,
            None => directory.check_empty()?,
        }
        if is_new {
            directory.begin_anew().map_err(unusable)?;
            directory.write(false, None)?;
        }
        Ok(directory)
    }

    fn check_empty(&self) -> Result<(), StartError> {
        for part in [self.engine_path(), self.snapshot_path()] {
            if self.disk.exists(&part) {
                let reason = format!("there is {} but no {MANIFEST_FILE}. {}", part.display(), advice());
                return Err(refused(&self.path, reason));
            }
        }
        Ok(())
    }

    /// Removes what an earlier start left that did not come to its end.
    fn begin_anew(&self) -> io::Result<()> {
        for part in [self.engine_path(), self.snapshot_path()] {
            match self.disk.remove_directory(&part) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Mark::remove(&*self.disk, &self.path)
    }

    /// Where the engine's count of its syncs, which is `syncs` now, is told outside of it.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn mark(&self, syncs: u64) -> io::Result<Mark> {
        Mark::begin(&*self.disk, &self.path, syncs)
    }

    /// At least so often the engine was synced.
    ///
    /// # Errors
    /// That cannot be read.
    pub(super) fn syncs(&self) -> io::Result<u64> {
        Mark::read(&*self.disk, &self.path)
    }

    /// Where the engine keeps its files.
    pub(crate) fn engine_path(&self) -> PathBuf {
        self.path.join(engine_name(self.kind))
    }

    /// Where the snapshots lie.
    pub(crate) fn snapshot_path(&self) -> PathBuf {
        self.path.join("snapshots")
    }

    /// At least so often the engine was opened.
    pub(crate) fn opens(&self) -> u64 {
        self.opens
    }

    /// Remembers that the store was made to its end, and opened `opens` times by the engine's count.
    ///
    /// # Errors
    /// It could not be written.
    pub(crate) fn opened(&mut self, opens: u64) -> Result<(), StartError> {
        self.opens = opens;
        self.write(true, None)?;
        self.is_new = false;
        Ok(())
    }

    /// Puts the engine's files and the snapshots aside and returns the error that tells so. The
    /// directory is of no use from then on, see [`DataDir::claim`].
    pub(crate) fn quarantine(&self, reason: &str) -> StartError {
        if self.is_new {
            return StartError::Store(format!("a new store in {} failed: {reason}", self.path.display()));
        }
        let moved_to = match self.put_aside() {
            Ok(moved_to) => moved_to,
            Err(error) => {
                return StartError::Store(format!(
                    "{}: {reason}. It could not be put aside either ({error}). {}",
                    self.path.display(),
                    advice(),
                ));
            }
        };
        let quarantined = Quarantined { reason: reason.to_owned(), moved_to };
        let told = quarantined.tell();
        match self.write(true, Some(quarantined)) {
            Ok(()) => refused(&self.path, told),
            Err(error) => error,
        }
    }

    fn put_aside(&self) -> io::Result<PathBuf> {
        let free = (1..=QUARANTINE_MAX)
            .map(|number| self.path.join(format!("damaged-{number}")))
            .find(|candidate| !self.disk.exists(candidate))
            .ok_or_else(|| io::Error::other("there are too many damaged stores here already"))?;
        files::create_directory(&*self.disk, &free)?;
        for part in [self.engine_path(), self.snapshot_path()] {
            if let (true, Some(name)) = (self.disk.exists(&part), part.file_name()) {
                self.disk.rename(&part, &free.join(name))?;
            }
        }
        self.disk.sync_directory(&free)?;
        self.disk.sync_directory(&self.path)?;
        Ok(free)
    }

    fn write(&self, complete: bool, quarantined: Option<Quarantined>) -> Result<(), StartError> {
        let engine = engine_name(self.kind).to_owned();
        let manifest = Manifest { format: FORMAT, engine, complete, opens: self.opens, quarantined };
        serde_json::to_vec_pretty(&manifest)
            .map_err(io::Error::from)
            .and_then(|bytes| files::replace_file(&*self.disk, &self.path, MANIFEST_FILE, &bytes))
            .map_err(|error| refused(&self.path, format!("{MANIFEST_FILE} could not be written: {error}")))
    }
}

/// Whether a store was begun in this directory.
pub(crate) fn is_present(disk: &dyn Disk, directory: &Path) -> bool {
    disk.exists(&directory.join(MANIFEST_FILE))
}

impl Manifest {
    fn check(&self, disk: &dyn Disk, path: &Path, kind: StoreKind) -> Result<(), StartError> {
        if self.format != FORMAT {
            return Err(refused(
                path,
                format!(
                    "it is of format {}, this release reads {FORMAT}; use the release that made it",
                    self.format
                ),
            ));
        }
        if let Some(quarantined) = &self.quarantined {
            return Err(refused(path, quarantined.tell()));
        }
        let wanted = engine_name(kind);
        if self.engine != wanted {
            let made = &self.engine;
            return Err(refused(
                path,
                format!(
                    "it was made by the engine {made}, not {wanted}; start with --store {made}, or give another directory"
                ),
            ));
        }
        if self.complete && !disk.exists(&path.join(wanted)) {
            let reason = format!("the {wanted} store that it tells of is missing. {}", advice());
            return Err(refused(path, reason));
        }
        Ok(())
    }
}

impl Quarantined {
    fn tell(&self) -> String {
        let moved_to = self.moved_to.display();
        format!(
            "the store could not be opened ({}) and was put aside in {moved_to}. {}",
            self.reason,
            advice()
        )
    }
}

fn advice() -> &'static str {
    "What this member knew is on the other members: remove it from the cluster, then add it again \
     with an empty data directory and a new member id"
}

fn engine_name(kind: StoreKind) -> &'static str {
    match kind {
        StoreKind::Sled => "sled",
        StoreKind::Redb => "redb",
    }
}

fn lock(disk: &dyn Disk, path: &Path) -> Result<DiskLock, StartError> {
    let lock = disk.lock(&path.join(LOCK_FILE));
    let lock = lock.map_err(|error| refused(path, format!("{LOCK_FILE} cannot be locked: {error}")))?;
    lock.ok_or_else(|| {
        refused(path, "another process has it open; stop that one, or give each member its own".into())
    })
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Manifest>, StartError> {
    let bytes = match disk.read(&path.join(MANIFEST_FILE)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(path, format!("{MANIFEST_FILE} cannot be read: {error}"))),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| refused(path, format!("{MANIFEST_FILE} is not a manifest: {error}")))
}

fn refused(path: &Path, reason: String) -> StartError {
    StartError::DataDir { path: path.to_owned(), reason }
}
