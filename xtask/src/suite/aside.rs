//! Steps beside the others: their outcome does not depend on how fast they are, so they take what the tests that
//! measure time leave of the processors, and what they print is shown when they have ended.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::process::{self, Ended, Output};
use super::{Done, Outcome, machine, now};

/// A program that runs beside the other steps.
pub(super) struct Aside {
    began: Instant,
    log: PathBuf,
    thread: JoinHandle<(Ended, Duration)>,
}

impl Aside {
    /// Starts it; its output goes to `log` for now.
    ///
    /// # Errors
    ///
    /// When the log cannot be written.
    pub(super) fn start(command: &Command, limit: Duration, log: &Path) -> Result<Self, String> {
        let file = log.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| File::create(log));
        let output = Output::File(Arc::new(file.map_err(|error| format!("{}: {error}", log.display()))?));
        let (mut command, began) = (idle(command), now());
        let thread = std::thread::spawn(move || {
            let ended = process::run_into(&mut command, limit, &output);
            (ended, began.elapsed())
        });
        Ok(Self { began, log: log.to_owned(), thread })
    }

    /// Waits for its end and shows what it printed. Answers how it went, how long it took, and its output.
    pub(super) fn join(self) -> (Done, Duration, String) {
        let (ended, took) = match self.thread.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        let printed = fs::read_to_string(&self.log).unwrap_or_default();
        print!("{printed}");
        println!("(ran beside the other steps, ended {} s ago)", (self.began.elapsed() - took).as_secs());
        (Done { outcome: Outcome::from(ended.result), tally: ended.tally }, took, printed)
    }
}

/// The same command at the lowest priority, where there is one. Programs of a container are not this one's
/// children: see the options of the image's build.
fn idle(command: &Command) -> Command {
    // A container may not allow the one, and a small system may not have it.
    let idle_class = ["chrt", "--idle", "0"];
    let [program, arguments @ ..] = if machine::succeeds(&[&idle_class[..], &["true"]].concat()) {
        idle_class
    } else {
        ["nice", "-n", "19"]
    };
    let mut idle = Command::new(program);
    idle.args(arguments).arg(command.get_program()).args(command.get_args());
    idle.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(directory) = command.get_current_dir() {
        idle.current_dir(directory);
    }
    idle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_beside_the_others_tells_how_it_went_and_what_it_printed() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo \"here: $X\"; pwd; exit 3"]).env("X", "y").current_dir(folder.path());
        let aside = Aside::start(&command, Duration::from_secs(60), &folder.path().join("logs/log")).unwrap();
        let (done, _, printed) = aside.join();
        assert!(matches!(done.outcome, Outcome::Failed(why) if why.contains("exit status: 3")));
        assert!(
            printed.contains("here: y") && printed.contains(folder.path().to_str().unwrap()),
            "{printed}"
        );
    }
}
