//! A snapshot on its way from the leader.

use bytes::Bytes;

use super::file::{SnapshotFile, Temporary};
use super::{Arc, DiskFile, Kind, PathBuf, Storage, io};

/// Takes the chunks of a snapshot, in order. Dropped before its end it leaves nothing.
#[derive(Debug)]
pub(crate) struct SnapshotReceiver {
    storage: Storage,
    file: Arc<dyn DiskFile>,
    received_bytes: u64,
    temporary: Temporary,
}

impl SnapshotReceiver {
    pub(super) async fn create(storage: Storage, path: PathBuf) -> io::Result<Self> {
        let temporary = Temporary { disk: Arc::clone(&storage.disk), path: path.clone() };
        let file = storage.run(move |disk| disk.create(&path)).await?;
        Ok(Self { storage, file, received_bytes: 0, temporary })
    }

    /// How much has been received: the offset of the next chunk.
    pub(crate) fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Takes the chunk that begins at `offset`.
    ///
    /// # Errors
    /// It is not the next one, the snapshot grows too large, or the file could not be written.
    pub(crate) async fn write_chunk(&mut self, offset: u64, chunk: Bytes) -> io::Result<()> {
        if offset != self.received_bytes {
            let reason = format!("a chunk at {offset} where {} comes next", self.received_bytes);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let grown = self.received_bytes + chunk.len() as u64;
        let max = Kind::SnapshotHead.payload_max_bytes() + Kind::SnapshotBody.payload_max_bytes();
        if grown > max {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        let file = Arc::clone(&self.file);
        self.storage.run(move |_| file.write_all_at(&chunk, offset)).await?;
        self.received_bytes = grown;
        Ok(())
    }

    /// The whole file, synced and checked.
    ///
    /// # Errors
    /// It could not be synced, or is damaged.
    pub(crate) async fn finish(self) -> io::Result<SnapshotFile> {
        let Self { storage, file, temporary, .. } = self;
        let finish = move |_: &dyn super::Disk| {
            file.sync()?;
            Ok(SnapshotFile::temporary(file, 0, temporary)?.checked()?.0)
        };
        storage.run(finish).await
    }
}
