//! One snapshot file, open for reading.

use super::{
    Arc, BUFFER_BYTES, BufReader, BufWriter, Disk, DiskFile, HEAD_LENGTH_BYTES, Kind, Path, PathBuf, Read,
    SnapshotMeta, State, Write, codec, io,
};

/// A snapshot file. The open file is what counts: it stays readable when it is replaced meanwhile.
/// Clones are handles to the same file; one that was not made the current snapshot is removed with
/// the last of them.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotFile {
    file: Arc<dyn DiskFile>,
    bytes: u64,
    checksum: u32,
    temporary: Option<Arc<Temporary>>,
}

/// Removes the file unless it was given its name.
#[derive(Debug)]
pub(super) struct Temporary {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) path: PathBuf,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        match self.disk.remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %self.path.display(), "a left-over file could not be removed");
            }
            _ => {}
        }
    }
}

impl SnapshotFile {
    pub(super) fn open(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        let file = disk.open(path)?;
        let bytes = file.bytes()?;
        Ok(Self { file, bytes, checksum: 0, temporary: None })
    }

    pub(super) fn temporary(
        file: Arc<dyn DiskFile>,
        checksum: u32,
        temporary: Temporary,
    ) -> io::Result<Self> {
        let bytes = file.bytes()?;
        Ok(Self { file, bytes, checksum, temporary: Some(Arc::new(temporary)) })
    }

    /// How long it is.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn checksum(&self) -> u32 {
        self.checksum
    }

    /// Up to `max_bytes` bytes from `offset` on; empty at the end. Blocks.
    ///
    /// # Errors
    /// Those of the file.
    pub(crate) fn read_chunk(&self, offset: u64, max_bytes: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut chunk = vec![0; left.min(max_bytes)];
        self.file.read_exact_at(&mut chunk, offset)?;
        Ok(chunk)
    }

    /// Reads the whole file and says what it includes, if it is whole.
    pub(super) fn checked(mut self) -> io::Result<(Self, SnapshotMeta)> {
        let mut reader = self.reader();
        let (meta, body_bytes) = self.read_head(&mut reader)?;
        self.checksum = codec::check_stream(Kind::SnapshotBody, body_bytes, reader)?;
        Ok((self, meta))
    }

    /// The state that the file holds. It was checked when it was opened or received. Blocks.
    ///
    /// # Errors
    /// Those of the file, and a state that this release cannot read.
    pub(crate) fn state(&self) -> io::Result<State> {
        let mut reader = self.reader();
        let (_, body_bytes) = self.read_head(&mut reader)?;
        codec::decode_stream(Kind::SnapshotBody, body_bytes, reader)
    }

    /// Gives the file its name.
    pub(super) fn persist(mut self, disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        if let Some(temporary) = self.temporary.take() {
            disk.rename(&temporary.path, path)?;
        }
        Ok(self)
    }

    /// The same content as a file that can be renamed: itself if it is a temporary one, else a copy
    /// at `path`.
    pub(super) fn into_temporary(self, disk: &Arc<dyn Disk>, path: PathBuf) -> io::Result<Self> {
        let own = self.temporary.as_ref().is_some_and(|own| own.path.parent() == path.parent());
        if own {
            return Ok(self);
        }
        let copy = disk.create(&path)?;
        let temporary = Temporary { disk: Arc::clone(disk), path };
        io::copy(&mut self.reader(), &mut FileWriter { file: Arc::clone(&copy), offset: 0 })?;
        copy.sync()?;
        Self::temporary(copy, self.checksum, temporary)
    }

    fn reader(&self) -> BufReader<FileReader> {
        let reader = FileReader { file: Arc::clone(&self.file), offset: 0 };
        BufReader::with_capacity(BUFFER_BYTES, reader)
    }

    fn read_head(&self, reader: &mut impl Read) -> io::Result<(SnapshotMeta, u64)> {
        let mut length = [0; HEAD_LENGTH_BYTES];
        reader.read_exact(&mut length)?;
        let length = u64::from(u32::from_le_bytes(length));
        let body_bytes = self
            .bytes
            .checked_sub(HEAD_LENGTH_BYTES as u64 + length)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the file is shorter than its head"))?;
        let mut head = Vec::new();
        Read::take(reader, length).read_to_end(&mut head)?;
        Ok((codec::decode(Kind::SnapshotHead, &head)?, body_bytes))
    }
}

/// Writes a whole snapshot to `path` and syncs it.
pub(super) fn write_temporary(
    disk: &Arc<dyn Disk>,
    path: PathBuf,
    meta: &SnapshotMeta,
    state: &State,
) -> io::Result<SnapshotFile> {
    let file = disk.create(&path)?;
    let temporary = Temporary { disk: Arc::clone(disk), path };
    let unbuffered = FileWriter { file: Arc::clone(&file), offset: 0 };
    let mut writer = BufWriter::with_capacity(BUFFER_BYTES, unbuffered);
    let head = codec::encode(Kind::SnapshotHead, meta)?;
    let length = u32::try_from(head.len()).map_err(io::Error::other)?;
    writer.write_all(&length.to_le_bytes())?;
    writer.write_all(&head)?;
    let checksum = codec::write_stream(Kind::SnapshotBody, state, &mut writer)?;
    writer.flush()?;
    drop(writer);
    file.sync()?;
    SnapshotFile::temporary(file, checksum, temporary)
}

/// Reads without a position that others share.
struct FileReader {
    file: Arc<dyn DiskFile>,
    offset: u64,
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// Writes one piece after the other.
struct FileWriter {
    file: Arc<dyn DiskFile>,
    offset: u64,
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all_at(bytes, self.offset)?;
        self.offset += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
