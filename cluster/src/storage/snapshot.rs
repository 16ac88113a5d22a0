//! Snapshots as files: written whole under another name, synced, renamed, and only then made the
//! current one by a pointer in the engine. The old file goes last, so at any moment the pointer names
//! a whole file.
//!
//! A file is: the length of the head (4 bytes), the head (what the snapshot includes), the body (the
//! state, streamed). Both are envelopes with checksums, and are checked before they are decoded.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kenger_state::State;
use openraft::alias::SnapshotMetaOf;
use serde::{Deserialize, Serialize};

use super::tail::LogId;
use super::writer::Writer;
use super::{Failure, MetaKey, files};
use crate::codec::{self, Kind};
use crate::env::{Disk, DiskFile, Storage};
use crate::raft::types::TypeConfig;

mod file;
mod receiver;

pub(crate) use file::SnapshotFile;
pub(crate) use receiver::SnapshotReceiver;

const HEAD_LENGTH_BYTES: usize = 4;
/// Holds a copy of the pointer, written after the engine's is durable: an engine whose pointer is
/// older has lost what it held.
const CONFIRMED_FILE: &str = "confirmed";
const TEMPORARY_PREFIX: &str = "new-";
const SNAPSHOT_PREFIX: &str = "snap-";
const BUFFER_BYTES: usize = 256 << 10;

pub(crate) type SnapshotMeta = SnapshotMetaOf<TypeConfig>;

/// What the engine remembers of the current snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SnapshotPointer {
    file_name: String,
    length_bytes: u64,
    last_log_id: Option<LogId>,
}

impl SnapshotPointer {
    /// The last entry that the snapshot includes.
    pub(super) fn last_log_id(&self) -> Option<LogId> {
        self.last_log_id
    }
}

/// The current snapshot, open for reading.
#[derive(Debug, Clone)]
pub(crate) struct CurrentSnapshot {
    pub(crate) meta: SnapshotMeta,
    pub(crate) file: SnapshotFile,
}

/// The snapshots of a member. Clones are handles to the same ones.
#[derive(Clone)]
pub(crate) struct Snapshots {
    inner: Arc<Inner>,
}

struct Inner {
    storage: Storage,
    directory: PathBuf,
    current: Mutex<Option<CurrentSnapshot>>,
    /// Held while a snapshot becomes the current one.
    publishing: tokio::sync::Mutex<()>,
    temporaries: AtomicU64,
    writer: Writer,
    failure: Failure,
}

impl Snapshots {
    /// Finds and checks the file that `pointer` names, and removes all others.
    ///
    /// # Errors
    /// It is not there, or damaged.
    pub(super) fn load(
        disk: &dyn Disk,
        directory: &Path,
        pointer: Option<&SnapshotPointer>,
    ) -> io::Result<Option<CurrentSnapshot>> {
        files::create_directory(disk, directory)?;
        check_confirmed(disk, directory, pointer)?;
        let current = match pointer {
            Some(pointer) => Some(load_current(disk, directory, pointer)?),
            None => None,
        };
        remove_others(disk, directory, pointer.map(|pointer| pointer.file_name.as_str()), true)?;
        Ok(current)
    }

    pub(super) fn new(
        storage: Storage,
        directory: PathBuf,
        current: Option<CurrentSnapshot>,
        writer: Writer,
        failure: Failure,
    ) -> Self {
        let inner = Inner {
            storage,
            directory,
            current: Mutex::new(current),
            publishing: tokio::sync::Mutex::new(()),
            temporaries: AtomicU64::new(0),
            writer,
            failure,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The current snapshot.
    pub(crate) fn current(&self) -> Option<CurrentSnapshot> {
        self.lock_current().clone()
    }

    /// Writes a snapshot of `state` and makes it the current one, unless there is a newer one by
    /// then. Serializes on a blocking thread.
    ///
    /// # Errors
    /// It could not be written. The store has failed then.
    pub(crate) async fn write(&self, meta: SnapshotMeta, state: Arc<State>) -> io::Result<SnapshotFile> {
        let temporary = self.temporary_path();
        let written_meta = meta.clone();
        let disk = Arc::clone(&self.inner.storage.disk);
        let write = move |_: &dyn Disk| file::write_temporary(&disk, temporary, &written_meta, &state);
        let written = self.inner.storage.run(write).await;
        let written = self.or_fail(written)?;
        self.publish(meta, written).await
    }

    /// Begins to receive a snapshot of the leader.
    ///
    /// # Errors
    /// No file could be made.
    pub(crate) async fn receive(&self) -> io::Result<SnapshotReceiver> {
        SnapshotReceiver::create(self.inner.storage.clone(), self.temporary_path()).await
    }

    /// Checks a received snapshot, makes it the current one and returns the state that it holds.
    ///
    /// # Errors
    /// It is damaged, or does not include what `meta` says; or it could not be written, and then the
    /// store has failed.
    pub(crate) async fn install(&self, meta: &SnapshotMeta, received: SnapshotFile) -> io::Result<State> {
        let expected = meta.clone();
        let temporary = self.temporary_path();
        let disk = Arc::clone(&self.inner.storage.disk);
        let installed = self.inner.storage.run(move |_| {
            let (received, head) = received.checked()?;
            let state = received.state()?;
            if head != expected {
                let reason = format!("the snapshot includes {head}, not {expected}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            Ok((received.into_temporary(&disk, temporary)?, state))
        });
        let (file, state) = installed.await?;
        self.publish(meta.clone(), file).await?;
        Ok(state)
    }

    async fn publish(&self, meta: SnapshotMeta, written: SnapshotFile) -> io::Result<SnapshotFile> {
        let _publishing = self.inner.publishing.lock().await;
        let is_older =
            self.lock_current().as_ref().is_some_and(|now| now.meta.last_log_id > meta.last_log_id);
        if is_older {
            return Ok(written);
        }
        let name = file_name(&meta, written.checksum());
        let pointer = SnapshotPointer {
            file_name: name.clone(),
            length_bytes: written.bytes(),
            last_log_id: meta.last_log_id,
        };
        let directory = self.inner.directory.clone();
        let kept = name.clone();
        let named = self.inner.storage.run(move |disk| {
            let file = written.persist(disk, &directory.join(name))?;
            disk.sync_directory(&directory)?;
            Ok(file)
        });
        let file = self.or_fail(named.await)?;
        let pointer = codec::encode(Kind::SnapshotPointer, &pointer)?;
        self.inner.writer.put_meta(MetaKey::Snapshot, pointer.clone()).await?;
        *self.lock_current() = Some(CurrentSnapshot { meta, file: file.clone() });
        let directory = self.inner.directory.clone();
        let confirmed = self.inner.storage.run(move |disk| {
            files::replace_file(disk, &directory, CONFIRMED_FILE, &pointer)?;
            remove_others(disk, &directory, Some(&kept), false)
        });
        self.or_fail(confirmed.await)?;
        Ok(file)
    }

    fn temporary_path(&self) -> PathBuf {
        let number = self.inner.temporaries.fetch_add(1, Ordering::Relaxed);
        self.inner.directory.join(format!("{TEMPORARY_PREFIX}{number}"))
    }

    fn lock_current(&self) -> MutexGuard<'_, Option<CurrentSnapshot>> {
        // A panic elsewhere leaves the value as it was.
        self.inner.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn or_fail<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.inspect_err(|error| self.inner.failure.report(&format!("writing a snapshot: {error}")))
    }
}

fn check_confirmed(disk: &dyn Disk, directory: &Path, pointer: Option<&SnapshotPointer>) -> io::Result<()> {
    let bytes = match disk.read(&directory.join(CONFIRMED_FILE)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let confirmed: SnapshotPointer = codec::decode(Kind::SnapshotPointer, &bytes)?;
    if pointer.and_then(SnapshotPointer::last_log_id) >= confirmed.last_log_id {
        return Ok(());
    }
    let reason = format!("the engine has forgotten the snapshot {}", confirmed.file_name);
    Err(io::Error::new(io::ErrorKind::InvalidData, reason))
}

fn load_current(disk: &dyn Disk, directory: &Path, pointer: &SnapshotPointer) -> io::Result<CurrentSnapshot> {
    let about = |error: io::Error| {
        io::Error::new(error.kind(), format!("the snapshot {}: {error}", pointer.file_name))
    };
    let file = SnapshotFile::open(disk, &directory.join(&pointer.file_name)).map_err(about)?;
    if file.bytes() != pointer.length_bytes {
        let reason = format!("{} bytes where {} were written", file.bytes(), pointer.length_bytes);
        return Err(about(io::Error::new(io::ErrorKind::InvalidData, reason)));
    }
    let (file, meta) = file.checked().map_err(about)?;
    Ok(CurrentSnapshot { meta, file })
}

/// Removes old snapshots, and with `temporaries` what was not written to its end.
fn remove_others(disk: &dyn Disk, directory: &Path, keep: Option<&str>, temporaries: bool) -> io::Result<()> {
    let mut removed = false;
    for name in disk.names(directory)? {
        let old = name.starts_with(SNAPSHOT_PREFIX) && Some(name.as_str()) != keep;
        if old || (temporaries && name.starts_with(TEMPORARY_PREFIX)) {
            disk.remove_file(&directory.join(name))?;
            removed = true;
        }
    }
    if removed { disk.sync_directory(directory) } else { Ok(()) }
}

fn file_name(meta: &SnapshotMeta, checksum: u32) -> String {
    let (term, index) =
        meta.last_log_id.map_or((0, 0), |last| (last.committed_leader_id().term, last.index()));
    format!("{SNAPSHOT_PREFIX}{term}-{index}-{checksum:08x}")
}

#[cfg(test)]
mod golden {
    //! The bytes of the pointer, beside those of everything else that is stored.

    use super::SnapshotPointer;
    use crate::codec::Kind;
    use crate::codec::golden::{check, log_id};

    #[test]
    fn the_pointer_to_the_snapshot_keeps_its_bytes() {
        let pointer = SnapshotPointer {
            file_name: "snap-9-1000-0badcafe".into(),
            length_bytes: 123_456,
            last_log_id: Some(log_id(9, 3, 1_000)),
        };
        check("snapshot_pointer", Kind::SnapshotPointer, &pointer);
    }
}
