//! The processes that are measured: started so that none outlives this program, ended by their ids,
//! everything that they write in one directory that is removed at the end.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getppid};

use super::clock::wait_until;

/// How long a process has to end after it was asked to.
const GRACE: Duration = Duration::from_secs(15);
/// What configures the processes is in their command lines, not in the environment of a person.
const FOREIGN_PREFIXES: [&str; 2] = ["KENGER_", "ETCD_"];

/// Where everything lies: on the disk of the build, because a temporary directory may be memory, where
/// a sync costs nothing.
pub(super) struct Lab {
    directory: PathBuf,
    pub(super) kenger: PathBuf,
    pub(super) kengerctl: PathBuf,
}

impl Lab {
    /// # Errors
    /// The directory cannot be made.
    pub(super) fn open(target: &Path) -> Result<Self, String> {
        let all = target.join("bench").join("work");
        sweep(&all);
        let directory = all.join(std::process::id().to_string());
        fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let program = |name: &str| target.join("release").join(name);
        Ok(Self { kenger: program("kenger"), kengerctl: program("kengerctl"), directory })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes a file.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.path(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    /// Starts a process whose output goes to a file.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(&self, name: &str, command: &mut Command) -> Result<Process, String> {
        let failed = |error: io::Error| format!("{name} did not start: {error}");
        let log = File::options().create(true).append(true).open(self.path(&format!("{name}.log")));
        let log = log.map_err(failed)?;
        command.stdin(Stdio::null()).stdout(log.try_clone().map_err(failed)?).stderr(log);
        bind_life(command);
        let child = command.spawn().map_err(failed)?;
        Ok(Process { child, name: name.to_owned() })
    }

    /// The last lines of a process' output, for a message.
    pub(super) fn last_words(&self, name: &str) -> String {
        let text = fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next run.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Removes what runs left behind that were killed.
fn sweep(all: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if !Path::new("/proc").join(&name).exists() {
            // The next run will try again.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Lets the process die with this one, and keeps foreign settings from it.
pub(super) fn bind_life(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if FOREIGN_PREFIXES.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            let is_set_here = command.get_envs().any(|(set, value)| set == name && value.is_some());
            if !is_set_here {
                command.env_remove(name);
            }
        }
    }
    let parent = getpid();
    // SAFETY: the closure runs between fork and exec and makes two system calls, which are safe to make
    // there; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before the kernel was told to watch it.
            if getppid() != parent {
                return Err(io::Error::from(io::ErrorKind::BrokenPipe));
            }
            Ok(())
        });
    }
}

/// A process; killed with this value.
pub(super) struct Process {
    child: Child,
    pub(super) name: String,
}

impl Process {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL, and waits for the end.
    pub(super) fn kill(&mut self) {
        // It fails for a process that has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// It does not end in time; then it is killed.
    pub(super) fn stop(&mut self) -> Result<(), String> {
        if self.has_ended() {
            return Ok(());
        }
        if let Ok(pid) = i32::try_from(self.pid()) {
            // One that has just ended needs no signal.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let what = format!("{} ends", self.name);
        wait_until(&what, GRACE, || self.has_ended()).inspect_err(|_| self.kill())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Free addresses of loopback, each another one.
///
/// # Errors
/// There is none.
pub(super) fn free_addresses<const N: usize>() -> Result<[SocketAddr; N], String> {
    let failed = |error: io::Error| format!("no free port: {error}");
    // All are held until the last one is found.
    let mut held = Vec::new();
    for _ in 0..N {
        held.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?);
    }
    let addresses: Result<Vec<SocketAddr>, _> = held.iter().map(TcpListener::local_addr).collect();
    addresses.map_err(failed)?.try_into().map_err(|_| "no free port".to_owned())
}
