//! A running `kenger dev`, known by what it prints.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::PATIENCE;

/// Distances of all ports from the base, as `kenger dev --help` gives them.
const OFFSETS: [u16; 10] = [0, 1, 100, 101, 200, 201, 2_001, 2_002, 3_081, 13_080];
const GATEWAY_OFFSET: u16 = 13_080;
/// Bases to choose from: every port lies below the range that the kernel takes for connections.
const BASES: std::ops::Range<u16> = 6_000..19_000;
const POLL_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) struct System {
    child: Child,
    base: u16,
    stdout: Lines,
    stderr: Lines,
}

/// What a process has printed so far.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<String>>);

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let text = Arc::clone(&lines.0);
        std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = String::new();
            while pipe.read_line(&mut line).is_ok_and(|read| read > 0) {
                text.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        lines
    }

    fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

impl System {
    /// Starts a system on free ports, and waits until it says that it is up.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_at(free_base(), arguments)
    }

    pub(crate) fn start_at(base: u16, arguments: &[&str]) -> Self {
        let mut system = Self::spawn(base, arguments);
        // The gateway's command is the last thing that is printed.
        wait_until("the system is up", || {
            assert_eq!(system.child.try_wait().unwrap(), None, "{}", system.stderr.text());
            system.stdout.text().contains("# gateway\n  ") && system.stdout.text().ends_with("\n\n")
        });
        system
    }

    /// Runs `kenger dev` where it cannot start, to its end. Returns its exit code and what it says.
    pub(crate) fn refused(base: u16, arguments: &[&str]) -> (Option<i32>, String) {
        let mut system = Self::spawn(base, arguments);
        let code = system.wait();
        // The last words may still be on their way through the pipe.
        system.wait_for_stderr("error: ");
        (code, system.stderr.text())
    }

    /// Starts it with nothing of this process' input.
    fn spawn(base: u16, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kenger"));
        command.args(["dev", "--port-base", &base.to_string()]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = Lines::of(child.stderr.take().unwrap());
        Self { child, base, stdout, stderr }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn base(&self) -> u16 {
        self.base
    }

    pub(crate) fn ports(&self) -> Vec<u16> {
        OFFSETS.iter().map(|offset| self.base + offset).collect()
    }

    pub(crate) fn gateway_url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.base + GATEWAY_OFFSET)
    }

    /// The rows of the table: name, process id, the rest.
    fn parts(&self) -> Vec<(String, u32, String)> {
        let text = self.stdout.text();
        let rows = text.lines().filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let at = words.iter().position(|word| word.parse::<u32>().is_ok_and(|number| number > 3))?;
            let is_row = line.contains(".log") && at > 0;
            is_row.then(|| (words[..at].join(" "), words[at].parse().unwrap(), words[at + 1..].join(" ")))
        });
        rows.collect()
    }

    fn part(&self, name: &str) -> (String, u32, String) {
        let parts = self.parts();
        let found = parts.iter().find(|(of, _, _)| of.trim_end_matches(" (leads)") == name);
        found.unwrap_or_else(|| panic!("{name} is not in {parts:?}")).clone()
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.parts().into_iter().map(|(_, pid, _)| pid).collect()
    }

    /// Name and process id of the member that led when everything was up.
    pub(crate) fn leader(&self) -> (String, u32) {
        let mut parts = self.parts().into_iter();
        let leader = parts.find_map(|(name, pid, _)| Some((name.strip_suffix(" (leads)")?.to_owned(), pid)));
        leader.expect("a member is marked as the leader")
    }

    /// The API of a member, `http://HOST:PORT`.
    pub(crate) fn api_of(&self, member: &str) -> String {
        let (_, _, place) = self.part(member);
        place.strip_prefix("API ").unwrap().split(',').next().unwrap().to_owned()
    }

    pub(crate) fn members_but(&self, member: &str) -> Vec<String> {
        let all = ["member 1", "member 2", "member 3"];
        all.iter().filter(|&&name| name != member).map(|name| self.api_of(name)).collect()
    }

    /// The printed command that starts a part again.
    pub(crate) fn command_of(&self, part: &str) -> String {
        let text = self.stdout.text();
        let mut lines = text.lines().skip_while(|line| line.trim() != format!("# {part}"));
        lines.nth(1).expect("its command is printed").trim().to_owned()
    }

    /// The directory that everything lies in.
    pub(crate) fn directory(&self) -> PathBuf {
        let (_, _, place) = self.part("gateway");
        PathBuf::from(place.split_whitespace().last().unwrap()).parent().unwrap().to_path_buf()
    }

    pub(crate) fn wait_for_stderr(&self, text: &str) {
        wait_until(text, || self.stderr.text().contains(text));
    }

    /// Ctrl-C. Returns the exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        kill(self.pid(), Signal::SIGINT);
        self.wait()
    }

    /// Waits until it has ended; the code, unless a signal ended it.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let mut status = None;
        wait_until("kenger dev has ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // It may have ended; its parts end with it in any case.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}\n{}", self.stdout.text(), self.stderr.text());
        }
    }
}

/// A base with which every port is free now.
pub(crate) fn free_base() -> u16 {
    let span = u32::from(BASES.end - BASES.start);
    let first = std::process::id().wrapping_mul(397) % span;
    let bases =
        (0..span).step_by(211).map(|step| BASES.start + u16::try_from((first + step) % span).unwrap());
    let is_free = |base: &u16| OFFSETS.iter().all(|offset| !is_listened_on(base + offset));
    { bases }.find(is_free).expect("some ports are free")
}

/// Whether the port cannot be listened on.
pub(crate) fn is_listened_on(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_err()
}

/// Whether the process exists and is no zombie.
pub(crate) fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    state.is_some_and(|state| state != "Z" && state != "X")
}

pub(crate) fn kill(pid: u32, signal: Signal) {
    nix::sys::signal::kill(Pid::from_raw(pid.try_into().unwrap()), signal).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "other processes are waited for, in real time, up to a limit")]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(POLL_INTERVAL);
    }
}
