//! A wall clock that jumps: libfaketime, preloaded into the members.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::time::Instant;

use super::settings::MemberId;

/// Where Debian and others put the library.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
];

/// A wall clock that a test sets while processes run. Their monotonic clock is the machine's.
#[derive(Debug)]
pub struct FakeClock {
    library: PathBuf,
    offset: PathBuf,
}

impl FakeClock {
    /// A clock whose offset is kept in `folder`.
    ///
    /// # Errors
    /// There is no libfaketime here, or no Python to check it with.
    ///
    /// # Panics
    /// The library is there and does not do what the tests rely on.
    pub async fn new(folder: &Path) -> Result<Self, String> {
        let found = LIBRARIES.iter().map(Path::new).find(|path| path.is_file());
        let library = found.ok_or("there is no libfaketime (Debian: faketime)")?.to_path_buf();
        let python = Command::new("python3").arg("--version").output();
        python.map_err(|error| format!("there is no python3 to check libfaketime with: {error}"))?;
        let clock = Self { library, offset: folder.join("clock-offset") };
        clock.jump(0);
        clock.check().await;
        Ok(clock)
    }

    /// Another one, whose offset is kept beside that of this one under the name `name`.
    fn sibling(&self, name: &str) -> Self {
        let clock = Self { library: self.library.clone(), offset: self.offset.with_file_name(name) };
        clock.jump(0);
        clock
    }

    /// By how many seconds a process that lives by this clock is off.
    ///
    /// # Panics
    /// There is no `date`.
    pub fn seen_off(&self) -> i64 {
        let date = |environment: Vec<(String, String)>| {
            let output = Command::new("date").arg("+%s").envs(environment).output().unwrap();
            String::from_utf8_lossy(&output.stdout).trim().parse::<i64>().expect("seconds since 1970")
        };
        date(self.environment()) - date(Vec::new())
    }

    /// The environment of a process that is to live by this clock.
    pub fn environment(&self) -> Vec<(String, String)> {
        let pairs = [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.offset.display().to_string()),
            // Read again at each look at the clock, so that a jump is seen at once.
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            // Timers of the runtime are monotonic as well.
            ("FAKETIME_DONT_RESET", "1".to_owned()),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Moves the wall clock to this many seconds from the true time.
    pub fn jump(&self, seconds: i64) {
        let next = self.offset.with_extension("next");
        std::fs::write(&next, format!("{seconds:+}s\n")).unwrap();
        // A reader sees the one or the other.
        std::fs::rename(next, &self.offset).unwrap();
    }

    /// A process that lives by this clock sees a jump on its wall clock, and nothing of it on its
    /// monotonic one.
    async fn check(&self) {
        self.jump(86_400);
        assert!(self.seen_off() >= 86_000, "libfaketime does not move the wall clock");
        self.jump(0);

        let started = Instant::now();
        let script = "import time\na = time.monotonic()\nopen(0, 'rb').read()\nprint(time.monotonic() - a)";
        let mut child = tokio::process::Command::new("python3");
        child.args(["-c", script]).envs(self.environment()).kill_on_drop(true);
        let child = child.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = child.spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.jump(86_400);
        drop(child.stdin.take());
        let output = child.wait_with_output().await.unwrap();
        let monotonic: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("seconds");
        self.jump(0);
        let limit = started.elapsed().as_secs_f64() + 0.5;
        assert!((0.0..limit).contains(&monotonic), "libfaketime moves the monotonic clock: {monotonic} s");
    }
}

/// A wall clock for each member, so that one can jump and the others not.
#[derive(Debug)]
pub struct Clocks(BTreeMap<MemberId, FakeClock>);

impl Clocks {
    /// Clocks of members 1 to `members`, whose offsets are kept in `folder`.
    ///
    /// # Errors
    /// As [`FakeClock::new`].
    pub async fn new(folder: &Path, members: u64) -> Result<Self, String> {
        let first = FakeClock::new(folder).await?;
        Ok(Self((1..=members).map(|id| (id, first.sibling(&format!("clock-offset-{id}")))).collect()))
    }

    /// The clock of a member.
    pub fn of(&self, id: MemberId) -> &FakeClock {
        &self.0[&id]
    }
}
