//! A disk for each member: an ext4 file system in a file, whose power can be cut, which can be full, and
//! which can turn read-only.
//!
//! They are mounted in a mount namespace of the thread that makes them, and of the processes that it
//! starts from then on. The namespace ends with these, however they end, and with it the mounts and the
//! loop devices.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

use super::settings::MemberId;

/// Size of a member's disk. Small, so that filling it takes no time.
const DISK_MEGABYTES: u64 = 192;
/// What fills a disk is written in pieces of this size, in bytes; what is left free is less.
const FILLING_BYTES: [usize; 3] = [4 << 20, 64 << 10, 512];
/// Most that is written to fill a disk, in bytes.
const FILLING_MAX_BYTES: u64 = 2 * (DISK_MEGABYTES << 20);

/// Neither data nor the journal is written any more: what the disk has at this moment is all.
const SHUTDOWN_NO_LOG_FLUSH: u32 = 2;
nix::ioctl_read!(ext4_ioc_shutdown, b'X', 125, u32);

/// The disks of all members.
#[derive(Debug)]
pub struct Disks {
    members: u64,
    folder: TempDir,
}

impl Disks {
    /// Makes a disk for each of the members 1 to `members`. The calling thread moves into a mount
    /// namespace of its own, for good.
    ///
    /// # Errors
    /// That is not possible here, for this reason.
    pub fn make(members: u64) -> Result<Self, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("disks of their own need root".to_owned());
        }
        unshare(CloneFlags::CLONE_NEWNS)
            .map_err(|error| format!("no mount namespace of its own: {error}"))?;
        run(Command::new("mount").args(["--make-rprivate", "/"]))?;
        let folder = TempDir::with_prefix("kenger-disks-").map_err(|error| error.to_string())?;
        let disks = Self { members, folder };
        for id in 1..=members {
            let image = File::create(disks.image(id)).map_err(|error| error.to_string())?;
            image.set_len(DISK_MEGABYTES << 20).map_err(|error| error.to_string())?;
            run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(disks.image(id)))?;
            fs::create_dir(disks.mount_point(id)).map_err(|error| error.to_string())?;
            disks.mount(id)?;
        }
        Ok(disks)
    }

    /// Where a member's data lies.
    pub fn data_dir(&self, id: MemberId) -> PathBuf {
        self.mount_point(id).join("data")
    }

    /// The power goes: from this moment nothing reaches the disk any more. The member, if it runs, sees
    /// errors.
    ///
    /// # Panics
    /// The file system has no power to cut.
    pub fn cut_power(&self, id: MemberId) {
        let mount_point = File::open(self.mount_point(id)).unwrap();
        let mut flags = SHUTDOWN_NO_LOG_FLUSH;
        // SAFETY: the request reads one `u32`, which outlives the call.
        let outcome = unsafe { ext4_ioc_shutdown(mount_point.as_raw_fd(), &raw mut flags) };
        outcome.unwrap_or_else(|error| panic!("the power of member {id} could not be cut: {error}"));
    }

    /// Puts the disk into operation again, writable, after its member has ended: the journal is replayed,
    /// what fills it is gone.
    ///
    /// # Errors
    /// Somebody still uses it, or it cannot be mounted.
    pub fn start_again(&self, id: MemberId) -> Result<(), String> {
        run(Command::new("umount").arg(self.mount_point(id)))?;
        self.mount(id)?;
        self.free(id)
    }

    /// Writes until there is no room left, and answers what the disk said to that.
    ///
    /// # Errors
    /// It cannot be written for another reason.
    pub fn fill(&self, id: MemberId) -> Result<String, String> {
        let path = self.filling(id);
        let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(|e| e.to_string())?;
        let (mut written, mut said) = (0, None);
        for size in FILLING_BYTES {
            while written < FILLING_MAX_BYTES {
                match file.write(&vec![7; size]) {
                    Ok(length) => written += length as u64,
                    Err(error) if error.kind() == ErrorKind::StorageFull => {
                        said = Some(error.to_string());
                        break;
                    }
                    Err(error) => return Err(error.to_string()),
                }
            }
        }
        // Room that was only promised until now is taken.
        let synced = file.sync_all().err().filter(|error| error.kind() != ErrorKind::StorageFull);
        match (said, synced) {
            (Some(said), None) => Ok(format!("{said}, after {} KiB", written >> 10)),
            (_, Some(error)) => Err(error.to_string()),
            (None, None) => Err(format!("{written} bytes were written and it is not full")),
        }
    }

    /// Takes away what filled it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn free(&self, id: MemberId) -> Result<(), String> {
        match fs::remove_file(self.filling(id)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.to_string()),
            _ => Ok(()),
        }
    }

    /// The file system meets an error and does what it was told to do then: it turns read-only.
    ///
    /// # Errors
    /// It does not.
    pub fn turn_read_only(&self, id: MemberId) -> Result<(), String> {
        let device = self.device(id)?;
        let name = device.rsplit('/').next().unwrap_or_default();
        let trigger = format!("/sys/fs/ext4/{name}/trigger_fs_error");
        // The write itself is answered with an error, because it has done what it should.
        let _ = fs::write(&trigger, "1");
        match self.write_something(id) {
            Err(error) if error.raw_os_error() == Some(Errno::EROFS as i32) => Ok(()),
            other => Err(format!("{trigger} had no effect: {other:?}")),
        }
    }

    /// Whether the disk takes a small file durably; what it says if not.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn write_something(&self, id: MemberId) -> io::Result<()> {
        let path = self.mount_point(id).join("probe");
        let mut file = File::create(&path)?;
        file.write_all(&[7; 8_192])?;
        file.sync_all()?;
        fs::remove_file(path)
    }

    fn device(&self, id: MemberId) -> Result<String, String> {
        let mounts = fs::read_to_string("/proc/thread-self/mounts").map_err(|error| error.to_string())?;
        let mount_point = self.mount_point(id).display().to_string();
        let found = mounts.lines().find_map(|line| {
            let mut words = line.split(' ');
            let device = words.next()?;
            (words.next()? == mount_point).then(|| device.to_owned())
        });
        found.ok_or_else(|| format!("{mount_point} is not mounted"))
    }

    fn mount(&self, id: MemberId) -> Result<(), String> {
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop,errors=remount-ro"]).arg(self.image(id)).arg(self.mount_point(id));
        run(&mut mount)
    }

    fn mount_point(&self, id: MemberId) -> PathBuf {
        self.folder.path().join(format!("disk-{id}"))
    }

    fn image(&self, id: MemberId) -> PathBuf {
        self.folder.path().join(format!("disk-{id}.img"))
    }

    fn filling(&self, id: MemberId) -> PathBuf {
        self.mount_point(id).join("filling")
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        // The namespace goes in any case, but the directory can only be removed without the mounts.
        for id in 1..=self.members {
            if let Err(error) = run(Command::new("umount").arg("--lazy").arg(self.mount_point(id))) {
                // There is nobody left to tell if this fails.
                let _ = io::stderr().write_all(format!("{error}\n").as_bytes());
            }
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
