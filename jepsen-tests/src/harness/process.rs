//! A child process that never outlives the test.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getppid};

use super::wait::eventually_some;

/// How much of a log is shown when a test fails.
const LOG_TAIL_BYTES: u64 = 24 << 10;

/// A child process whose output goes to a file.
///
/// It is killed when this is dropped, and also if the thread that started it ends in any other way.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; its output is appended to `log`. `network` is the network namespace that it
    /// runs in, this thread's if there is none.
    ///
    /// # Panics
    /// It does not start.
    pub fn start(name: &str, command: &mut Command, log: &Path, network: Option<&OwnedFd>) -> Self {
        let output = OpenOptions::new().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let parent = getpid();
        let network = network.map(AsRawFd::as_raw_fd);
        // SAFETY: between fork and exec there are system calls only, no allocation and no lock.
        unsafe {
            command.pre_exec(move || {
                set_pdeathsig(Signal::SIGKILL)?;
                if getppid() != parent {
                    // The parent died before it could be told about.
                    return Err(std::io::ErrorKind::NotFound.into());
                }
                if let Some(network) = network {
                    // SAFETY: the caller holds the descriptor open until the process runs.
                    setns(std::os::fd::BorrowedFd::borrow_raw(network), CloneFlags::CLONE_NEWNET)?;
                }
                Ok(())
            });
        }
        let child = command.spawn().unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        Self { name: name.to_owned(), child, log: log.to_path_buf() }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the kernel says that it does: `R` runs, `S` sleeps, `T` is stopped, `Z` has ended.
    pub fn state(&self) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        // The name before it is in brackets, and may have any characters.
        stat.rsplit(") ").next()?.chars().next()
    }

    /// Sends a signal. A process that has ended already gets none.
    pub fn signal(&mut self, signal: Signal) {
        // Not waited for yet, so the id is still its own.
        if self.ended().is_none() {
            kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
        }
    }

    /// Kills it as the kernel does when memory runs out, and waits until it is gone.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().unwrap();
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// It has not ended within `limit`.
    pub async fn wait(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("{} ends", self.name);
        eventually_some(&what, limit, async || self.ended()).await
    }

    /// The end of its output.
    pub fn log_tail(&self) -> String {
        let mut file = File::open(&self.log).unwrap();
        let length = file.metadata().unwrap().len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES))).unwrap();
        let mut tail = Vec::new();
        file.read_to_end(&mut tail).unwrap();
        String::from_utf8_lossy(&tail).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let ended = self.ended();
        self.kill();
        if std::thread::panicking() {
            let fate = match ended {
                None => "ran until the end of the test".to_owned(),
                Some(status) => match status.signal() {
                    Some(signal) => format!("was ended by signal {signal}"),
                    None => format!("ended by itself: {status}"),
                },
            };
            let log = self.log_tail();
            let text = format!("--- {} (pid {}) {fate}; its output:\n{log}\n", self.name, self.child.id());
            // There is nobody left to tell if this fails.
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }
}
