//! A snapshot on its way from the leader.

use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::file::{SnapshotFile, Temporary};
use super::{Kind, PathBuf, blocking, io};

/// Takes the chunks of a snapshot, in order. Dropped before its end it leaves nothing.
#[derive(Debug)]
pub(crate) struct SnapshotReceiver {
    file: File,
    received_bytes: u64,
    temporary: Temporary,
}

impl SnapshotReceiver {
    pub(super) async fn create(path: PathBuf) -> io::Result<Self> {
        let temporary = Temporary(path);
        let file =
            File::options().read(true).write(true).create(true).truncate(true).open(&temporary.0).await?;
        Ok(Self { file, received_bytes: 0, temporary })
    }

    /// How much has been received: the offset of the next chunk.
    pub(crate) fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Takes the chunk that begins at `offset`.
    ///
    /// # Errors
    /// It is not the next one, the snapshot grows too large, or the file could not be written.
    pub(crate) async fn write_chunk(&mut self, offset: u64, chunk: &[u8]) -> io::Result<()> {
        if offset != self.received_bytes {
            let reason = format!("a chunk at {offset} where {} comes next", self.received_bytes);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let grown = self.received_bytes + chunk.len() as u64;
        let max = Kind::SnapshotHead.payload_max_bytes() + Kind::SnapshotBody.payload_max_bytes();
        if grown > max {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.file.write_all(chunk).await?;
        self.received_bytes = grown;
        Ok(())
    }

    /// The whole file, synced and checked.
    ///
    /// # Errors
    /// It could not be synced, or is damaged.
    pub(crate) async fn finish(mut self) -> io::Result<SnapshotFile> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        let file = self.file.into_std().await;
        let temporary = self.temporary;
        blocking(move || Ok(SnapshotFile::temporary(file, 0, temporary)?.checked()?.0)).await
    }
}
