//! The processes of a system: started so that none outlives this program, watched, stopped in order.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::future::{join_all, select_all};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getppid};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use super::error::DevError;
use super::parts::{Part, Stage};

/// How long the parts of a stage have to stop after they were told to; then they are killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// Services deregister while there is a registry, the gateway lets requests end while there are
/// services, members go last.
const STOP_ORDER: [Stage; 3] = [Stage::Services, Stage::Gateway, Stage::Members];
/// What configures the parts is in their command lines; the environment of the person who starts this
/// program must not get into it.
const FOREIGN_PREFIX: &str = "KENGER_";

/// All parts that have been started.
pub(super) struct Crew {
    hands: Vec<Hand>,
    /// Whether the logs go to the terminal, too.
    verbose: bool,
}

/// A part and its process.
struct Hand {
    part: Part,
    child: Child,
    pid: u32,
    ended: bool,
}

impl Crew {
    pub(super) fn new(verbose: bool) -> Self {
        Self { hands: Vec::new(), verbose }
    }

    /// Starts a part. Must be called on the thread that lives as long as this process.
    ///
    /// # Errors
    /// If its log cannot be opened, or the process cannot be started.
    pub(super) fn start(&mut self, part: Part) -> Result<(), DevError> {
        let failed = |error| DevError::Io { doing: format!("starting {}", part.name), error };
        let log = OpenOptions::new().create(true).append(true).open(&part.log).map_err(failed)?;
        let mut command = command(&part);
        if self.verbose {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        } else {
            command.stdout(log.try_clone().map_err(failed)?).stderr(log.try_clone().map_err(failed)?);
        }
        let mut child = command.spawn().map_err(failed)?;
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(relay(stdout, log.try_clone().map_err(failed)?, part.name.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(relay(stderr, log, part.name.clone()));
        }
        let pid = child.id().unwrap_or_default();
        self.hands.push(Hand { part, child, pid, ended: false });
        Ok(())
    }

    /// Every part with its process id, in the order of their start.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&Part, u32)> {
        self.hands.iter().map(|hand| (&hand.part, hand.pid))
    }

    /// Waits until a part ends that has not ended before; for ever when all have.
    pub(super) async fn next_end(&mut self) -> (Part, ExitStatus) {
        let running = self.hands.iter_mut().filter(|hand| !hand.ended);
        let waits: Vec<_> = running.map(|hand| Box::pin(hand.wait())).collect();
        if waits.is_empty() {
            return std::future::pending().await;
        }
        select_all(waits).await.0
    }

    /// Stops all parts in order; returns when none runs any more.
    pub(super) async fn stop(&mut self) {
        for stage in STOP_ORDER {
            let hands = self.hands.iter_mut().filter(|hand| !hand.ended && hand.part.stage == stage);
            if stage == Stage::Members {
                // One by one, so that each has somebody to hand the lead to.
                for hand in hands {
                    hand.stop().await;
                }
            } else {
                join_all(hands.map(Hand::stop)).await;
            }
        }
    }

    /// Kills all parts.
    pub(super) async fn kill(&mut self) {
        for hand in self.hands.iter_mut().filter(|hand| !hand.ended) {
            hand.kill().await;
        }
    }
}

impl Hand {
    async fn wait(&mut self) -> (Part, ExitStatus) {
        // Waiting for one's own child fails only if somebody else has waited for it.
        let status = self.child.wait().await.unwrap_or_default();
        self.ended = true;
        (self.part.clone(), status)
    }

    async fn stop(&mut self) {
        // Without an id it has ended and was waited for: then nobody must be signalled.
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            // One that has just ended needs no signal.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        if tokio::time::timeout(STOP_TIMEOUT, self.wait()).await.is_err() {
            eprintln!("{} did not stop in {} seconds; killing it", self.part.name, STOP_TIMEOUT.as_secs());
            self.kill().await;
        }
    }

    async fn kill(&mut self) {
        // It fails for a process that has ended, which is what is wanted.
        let _ = self.child.kill().await;
        self.ended = true;
    }
}

fn command(part: &Part) -> Command {
    let mut command = std::process::Command::new(&part.program);
    command.args(&part.arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(FOREIGN_PREFIX) {
            command.env_remove(name);
        }
    }
    // A group of its own: Ctrl-C in the terminal is for this program, which stops the parts in order.
    command.process_group(0);
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
    let mut command = Command::from(command);
    command.kill_on_drop(true);
    command
}

/// Copies what a part prints to its log, and to the terminal with its name before each line.
async fn relay(pipe: impl AsyncRead + Unpin, log: File, name: String) {
    let mut log = tokio::fs::File::from_std(log);
    let mut lines = BufReader::new(pipe).split(b'\n');
    while let Ok(Some(mut line)) = lines.next_segment().await {
        eprintln!("{name:>8} | {}", String::from_utf8_lossy(&line));
        line.push(b'\n');
        // A full disk must not keep a part from running; the terminal has had the line.
        let _ = log.write_all(&line).await;
    }
    let _ = log.flush().await;
}
