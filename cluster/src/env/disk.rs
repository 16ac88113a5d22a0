//! Where files lie, so that a simulation can keep them in memory and lose what was not synced.
//!
//! A file is durable when its bytes and the directory entry that names it are; both take a sync.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// An open file. Whoever reads or writes says where, so that nobody depends on a shared position. It
/// stays readable when its name is removed or given to another.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// How long it is.
    ///
    /// # Errors
    /// Those of the disk; so it is with all that follows.
    fn bytes(&self) -> io::Result<u64>;

    /// Reads up to the length of `buffer` from `offset` on; 0 at the end of the file.
    ///
    /// # Errors
    /// Those of the disk.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// Those of the disk.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file, or fills it up with zeros.
    ///
    /// # Errors
    /// Those of the disk.
    fn resize(&self, bytes: u64) -> io::Result<()>;

    /// Makes what was written before durable.
    ///
    /// # Errors
    /// Those of the disk.
    fn sync(&self) -> io::Result<()>;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// The file is shorter, or those of the disk.
    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, offset) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                Ok(read) => {
                    buffer = &mut buffer[read..];
                    offset += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What is held for as long as nobody else may use a directory.
pub type DiskLock = Box<dyn Send + Sync>;

/// Files and directories. What a path means is what it means to [`std::fs`].
pub trait Disk: Send + Sync + fmt::Debug {
    /// Whether it is the operating system's own, so that a storage engine may open paths by itself.
    fn is_native(&self) -> bool {
        false
    }

    /// Opens a file that is there: for reading, and on a disk that is not native for writing, too.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], or those of the disk; so it is with all that follows.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes an empty file; one that was there is emptied.
    ///
    /// # Errors
    /// Those of the disk.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// The whole content of a file.
    ///
    /// # Errors
    /// Those of the disk.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path)?;
        let mut content = vec![0; usize::try_from(file.bytes()?).map_err(io::Error::other)?];
        file.read_exact_at(&mut content, 0)?;
        Ok(content)
    }

    /// How long a file is.
    ///
    /// # Errors
    /// Those of the disk.
    fn bytes(&self, path: &Path) -> io::Result<u64> {
        self.open(path)?.bytes()
    }

    /// Whether there is anything at `path`.
    fn exists(&self, path: &Path) -> bool;

    /// Whether there is a directory at `path`.
    fn is_directory(&self, path: &Path) -> bool;

    /// Makes one directory in one that is there.
    ///
    /// # Errors
    /// Those of the disk.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// Makes names that were created, renamed or removed in a directory durable.
    ///
    /// # Errors
    /// Those of the disk.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory.
    ///
    /// # Errors
    /// Those of the disk.
    fn names(&self, directory: &Path) -> io::Result<Vec<String>>;

    /// Gives a file or a directory another name; a file that had it goes.
    ///
    /// # Errors
    /// Those of the disk.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Those of the disk.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory with all that is in it.
    ///
    /// # Errors
    /// Those of the disk.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;

    /// Locks a file, making it if it is not there, until what is returned is dropped; `None` if
    /// somebody else has it locked.
    ///
    /// # Errors
    /// Those of the disk.
    fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>>;

    /// How long the next sync of the log takes, in the time of the runtime, for a disk that takes no
    /// time of the machine's.
    fn sync_takes(&self) -> Duration {
        Duration::ZERO
    }
}

/// The operating system's own.
#[derive(Debug)]
pub(crate) struct NativeDisk;

impl DiskFile for File {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn resize(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }
}

impl Disk for NativeDisk {
    fn is_native(&self) -> bool {
        true
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(File::open(path)?))
    }

    fn bytes(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Arc::new(file))
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn is_directory(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn names(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for item in fs::read_dir(directory)? {
            // What is no UTF-8 is not ours.
            names.extend(item?.file_name().into_string());
        }
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}
