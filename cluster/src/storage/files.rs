//! Files that are there, whole, after a power cut.
//!
//! A file is durable when its bytes and the directory entry that names it are; both take a sync.

use std::io;
use std::path::Path;

use crate::env::Disk;

/// Makes `directory` and those above it that are missing, durably.
pub(crate) fn create_directory(disk: &dyn Disk, directory: &Path) -> io::Result<()> {
    if disk.is_directory(directory) {
        return Ok(());
    }
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_directory(disk, parent)?;
    }
    match disk.create_directory(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    disk.sync_directory(parent.unwrap_or(Path::new(".")))
}

/// Replaces the file `name` in `directory`: afterwards there is the old one or the new one, never a
/// part of one.
pub(crate) fn replace_file(disk: &dyn Disk, directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = directory.join(format!("{name}.new"));
    let file = disk.create(&temporary)?;
    file.write_all_at(bytes, 0)?;
    file.sync()?;
    disk.rename(&temporary, &directory.join(name))?;
    disk.sync_directory(directory)
}

/// Makes durable what a process that was killed wrote to `file` and did not sync. Whoever reads the
/// file afterwards takes what is in it for acknowledged.
pub(crate) fn sync_leftovers(disk: &dyn Disk, file: &Path) -> io::Result<()> {
    match disk.open(file) {
        Ok(file) => file.sync(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
