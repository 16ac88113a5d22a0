//! Runs one program of the suite: shows its output as it comes, reads the test runner's closing lines
//! from it, and ends it when its time is up.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::tally::Tally;

/// How long a program has to end after it was asked to.
const GRACE: Duration = Duration::from_secs(20);
/// How long output may still come after the program has ended: a process that it left behind can hold
/// the pipe open for ever.
const DRAIN: Duration = Duration::from_secs(5);

/// How a program ended, and what its output counted.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `Err` says in words why it counts as failed.
    pub(crate) result: Result<(), String>,
    pub(crate) tally: Tally,
}

/// Where the output of a program goes.
#[derive(Debug, Clone)]
pub(crate) enum Output {
    /// Where this program's goes.
    Terminal,
    /// Into this file, which exists.
    File(Arc<File>),
}

impl Output {
    /// Nobody may be there to read it; the program runs on, and its result still counts.
    fn write(&self, line: &[u8], is_error: bool) {
        let _ = match self {
            Output::Terminal if is_error => io::stderr().write_all(line),
            Output::Terminal => io::stdout().write_all(line),
            Output::File(file) => file.as_ref().write_all(line),
        };
    }
}

/// Runs `command` to its end, or until `limit` has passed; shows what it prints as it comes.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Ended {
    run_into(command, limit, &Output::Terminal)
}

/// The same with another place for what it prints.
pub(crate) fn run_into(command: &mut Command, limit: Duration, output: &Output) -> Ended {
    let tally = Arc::new(Mutex::new(Tally::default()));
    let result = run_counting(command, limit, output, &tally);
    let tally = tally.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ended { result, tally }
}

fn run_counting(
    command: &mut Command,
    limit: Duration,
    output: &Output,
    tally: &Arc<Mutex<Tally>>,
) -> Result<(), String> {
    let name = describe(command);
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| format!("`{name}` did not start: {error}"))?;

    let (done, closed) = channel::<()>();
    let pipes: [(Option<Box<dyn Read + Send>>, bool); 2] = [
        (child.stdout.take().map(|pipe| Box::new(pipe) as _), false),
        (child.stderr.take().map(|pipe| Box::new(pipe) as _), true),
    ];
    for (pipe, is_error) in pipes {
        let (tally, done, output) = (Arc::clone(tally), done.clone(), output.clone());
        std::thread::spawn(move || {
            if let Some(pipe) = pipe {
                show(pipe, is_error, &output, &tally);
            }
            drop(done);
        });
    }
    drop(done);

    let in_time = wait_closed(&closed, limit);
    if !in_time {
        end(&child, &closed);
    }
    let status = child.wait().map_err(|error| format!("`{name}` could not be waited for: {error}"))?;
    wait_closed(&closed, DRAIN);
    if !in_time {
        return Err(format!("`{name}` was ended after {} minutes", limit.as_secs() / 60));
    }
    if status.success() { Ok(()) } else { Err(format!("`{name}` failed ({status})")) }
}

/// Waits until both pipes have ended; false if they have not after `limit`.
fn wait_closed(closed: &Receiver<()>, limit: Duration) -> bool {
    matches!(closed.recv_timeout(limit), Err(RecvTimeoutError::Disconnected))
}

/// Copies line by line to where it is to go, and counts.
fn show(pipe: impl Read, is_error: bool, output: &Output, tally: &Mutex<Tally>) {
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        tally.lock().unwrap_or_else(PoisonError::into_inner).read_line(&String::from_utf8_lossy(&line));
        output.write(&line, is_error);
        line.clear();
    }
}

/// Ends the program and everything that it started: first asks, then kills.
fn end(child: &Child, closed: &Receiver<()>) {
    let Ok(pid) = i32::try_from(child.id()) else { return };
    let mut family = descendants(pid);
    family.push(pid);
    send(&family, Signal::SIGTERM);
    if !wait_closed(closed, GRACE) {
        send(&family, Signal::SIGKILL);
        send(&descendants(pid), Signal::SIGKILL);
    }
}

fn send(family: &[i32], signal: Signal) {
    for &pid in family {
        // Whoever has ended meanwhile needs no signal.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Everybody whose line of parents leads to `ancestor`, youngest generation last.
fn descendants(ancestor: i32) -> Vec<i32> {
    let everybody: Vec<(i32, i32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, parent_of(pid)?)))
        .collect();
    let mut found = vec![ancestor];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(everybody.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| pid));
        next += 1;
    }
    found.split_off(1)
}

fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    // The name, in parentheses, may itself hold spaces and parentheses; state and parent follow it.
    stat[stat.rfind(')')? + 1..].split_whitespace().nth(1)?.parse().ok()
}

/// The command line, for messages.
pub(crate) fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn counts_are_read_from_both_streams() {
        let script = "echo 'test result: ok. 2 passed; 0 failed; 0 ignored';\
                      echo '     Summary [   0.1s] 3 tests run: 2 passed, 1 failed, 0 skipped' >&2";
        let ended = run(&mut shell(script), LONG);
        assert_eq!(ended.result, Ok(()));
        assert_eq!((ended.tally.passed, ended.tally.failed), (4, 1));
    }

    #[test]
    fn a_failure_is_told() {
        let ended = run(&mut shell("exit 3"), LONG);
        assert!(ended.result.unwrap_err().contains("exit status: 3"));
        assert!(run(&mut Command::new("/nonexistent/program"), LONG).result.is_err());
    }

    #[test]
    fn a_program_that_hangs_is_ended_with_what_it_started() {
        let ended = run(&mut shell("sleep 600 & sleep 600"), Duration::from_millis(300));
        assert!(ended.result.unwrap_err().contains("was ended"));
    }

    #[test]
    fn output_that_a_lost_child_holds_open_does_not_hang_the_suite() {
        let script = "(sleep 3; true) & exit 0";
        assert_eq!(run(&mut shell(script), LONG).result, Ok(()));
    }
}
