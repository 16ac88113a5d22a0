//! An ext4 file system in a file, in a mount namespace of the test's own: it vanishes with the test,
//! however the test ends.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::fixtures::temp_dir;

/// `EXT4_IOC_SHUTDOWN`, `_IOR('X', 125, u32)`.
const EXT4_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587d;
/// Neither data nor the journal is written any more: what the disk has at this moment is all.
const SHUTDOWN_NO_LOG_FLUSH: u32 = 2;

/// The disk.
pub(super) struct LoopDisk {
    directory: TempDir,
}

impl LoopDisk {
    /// Makes the file system and mounts it, or says why that is not possible here. The calling thread
    /// moves into a mount namespace of its own: processes that it starts from then on see the disk.
    pub(super) fn mount_new(megabytes: u64) -> Result<Self, String> {
        // SAFETY: no argument but a number; it changes what this thread sees, which is its purpose.
        if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
            return Err(format!("no mount namespace of its own: {}", io::Error::last_os_error()));
        }
        run(Command::new("mount").args(["--make-rprivate", "/"]))?;
        let disk = Self { directory: temp_dir() };
        let image = File::create(disk.image()).map_err(|error| error.to_string())?;
        image.set_len(megabytes << 20).map_err(|error| error.to_string())?;
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(disk.image()))?;
        std::fs::create_dir(disk.path()).map_err(|error| error.to_string())?;
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub(super) fn path(&self) -> PathBuf {
        self.directory.path().join("mnt")
    }

    /// The power goes: from this moment nothing reaches the disk any more.
    pub(super) fn cut_power(&self) {
        let mount_point = File::open(self.path()).unwrap();
        let flags = SHUTDOWN_NO_LOG_FLUSH;
        // SAFETY: the request reads one `u32`, which outlives the call.
        let outcome = unsafe { libc::ioctl(mount_point.as_raw_fd(), EXT4_IOC_SHUTDOWN, &raw const flags) };
        assert_eq!(outcome, 0, "the power could not be cut: {}", io::Error::last_os_error());
    }

    /// The power comes back: the journal is replayed.
    pub(super) fn start_again(&self) {
        run(Command::new("umount").arg(self.path())).unwrap();
        self.mount().unwrap();
    }

    fn mount(&self) -> Result<(), String> {
        run(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.path()))
    }

    fn image(&self) -> PathBuf {
        self.directory.path().join("disk.img")
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // The namespace goes with the test, but the directory can only be removed without the mount.
        if let Err(error) = run(Command::new("umount").arg("--lazy").arg(self.path())) {
            eprintln!("{error}");
        }
    }
}

/// Tells that a test could not run here, in a form that the whole run can count.
pub(super) fn skipped(test: &str, reason: &str) {
    println!("SKIPPED: {test}: {reason}");
    eprintln!("SKIPPED: {test}: {reason}");
}

pub(super) fn fill(path: &Path, megabytes: usize) {
    std::fs::write(path, vec![7; megabytes << 20]).unwrap();
    File::open(path).unwrap().sync_all().unwrap();
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
