//! How far the engine had come when it last said that all was durable, told outside of the engine.
//!
//! An engine that meets a bit that turned over may take it for the end of what was written, and open as if
//! what follows had never been (sled does): the member would have forgotten entries that it acknowledged,
//! and its vote. So the engine counts its syncs, and after each one the count goes into a file beside it.
//! An engine that knows of fewer has lost what it held.
//!
//! The file is not synced: it is a lower bound, and after a power cut an older one is as good. It is
//! written after the engine's sync, so it is never ahead of what the disk has.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::codec::{self, Kind};
use crate::env::{Disk, DiskFile};

const FILE: &str = "store.mark";

/// The file, open for writing.
#[derive(Debug)]
pub(super) struct Mark(Arc<dyn DiskFile>);

impl Mark {
    /// At least so often the engine in this directory was synced; 0 if nothing is known.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub(super) fn read(disk: &dyn Disk, directory: &Path) -> io::Result<u64> {
        let bytes = match disk.read(&directory.join(FILE)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        Ok(codec::decode(Kind::StoreMark, &bytes).unwrap_or_else(|error| {
            // Nothing that was acknowledged is in it: a power cut may have left a part of it.
            tracing::warn!("{FILE} is not usable: {error}");
            0
        }))
    }

    /// Makes the file anew. Until that is on the disk, a power cut leaves the old one, or none.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn begin(disk: &dyn Disk, directory: &Path, syncs: u64) -> io::Result<Self> {
        let mark = Self(disk.create(&directory.join(FILE))?);
        mark.note(syncs)?;
        Ok(mark)
    }

    /// The engine was synced so often, and all of that is durable. The number only grows, and so does
    /// what is written: nothing of the one before is left.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn note(&self, syncs: u64) -> io::Result<()> {
        self.0.write_all_at(&codec::encode(Kind::StoreMark, &syncs)?, 0)
    }

    /// A store that begins anew has no past.
    ///
    /// # Errors
    /// The file is there and cannot be removed.
    pub(super) fn remove(disk: &dyn Disk, directory: &Path) -> io::Result<()> {
        match disk.remove_file(&directory.join(FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
