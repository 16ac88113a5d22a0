//! `cargo xtask test`: every test there is, with one command, on a fresh Linux machine.
//!
//! Each step runs even if one before it failed, as far as that makes sense, so that one run tells
//! everything. A test that cannot run on a machine says so in a line `SKIPPED: name: reason` that it
//! appends to the file named by `KENGER_SKIP_LOG`; the summary repeats these lines. The last line is
//! `N passed, N failed, N skipped`.
//!
//! What only computes runs beside the tests that measure time, see [`aside`].

mod aside;
mod machine;
pub(crate) mod process;
mod summary;
mod tally;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use aside::Aside;
use summary::{Outcome, Summary};
use tally::Tally;

use crate::docker;
use crate::workspace::{find_program, target};

/// A file of this name in the environment takes the lines of tests that could not run.
const SKIP_LOG: &str = "KENGER_SKIP_LOG";
/// The Python with the pinned requirements, for tests that drive Python clients.
const TEST_PYTHON: &str = "KENGER_TEST_PYTHON";
/// The directory of the programs that tests start.
const BIN_DIR: &str = "KENGER_BIN_DIR";
/// The image that the Docker test starts.
const TEST_IMAGE: &str = "KENGER_TEST_IMAGE";

const CHECK_LIMIT: Duration = Duration::from_secs(20 * 60);
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);
const TEST_LIMIT: Duration = Duration::from_secs(50 * 60);
/// Twice what it takes on two cores.
const MIX_LIMIT: Duration = Duration::from_secs(20 * 60);
/// What runs beside the other steps, at the lowest priority, takes as long as these leave it nothing.
const ASIDE_LIMIT: Duration = Duration::from_secs(60 * 60);
/// Which seeds are simulated, and how many of them twice, to compare the two histories.
const SEEDS: &str = "0..200";
const SEEDS_TWICE: &str = "6";
/// The tests that need the image, for nextest.
const CONTAINERS: &str = "binary_id(xtask::docker)";
/// The product is built once more, with its mutants.
const MUTANTS_LIMIT: Duration = Duration::from_secs(25 * 60);

/// What of the suite to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Leave out the Docker test.
    #[arg(long)]
    no_docker: bool,
    /// Only the checks that need no build of the tests: fmt, tidy, clippy.
    #[arg(long)]
    quick: bool,
}

/// For whom the suite runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A person.
    Local,
    /// A log that is read later.
    Ci,
}

/// Runs the suite in the repository at `root`.
pub(crate) fn run(root: &Path, options: &Options, kind: Kind) -> ExitCode {
    let mut suite = Suite::new(root);
    if kind == Kind::Ci {
        machine::facts().iter().for_each(|fact| println!("{fact}"));
    }
    let before = (kind == Kind::Ci).then(|| suite.changed_files());
    suite.checks();
    if options.quick {
        suite.clippy();
    } else {
        suite.everything(options);
    }
    if let Some(before) = before {
        suite.step("the work tree is as it was", |suite| suite.nothing_changed(before));
    }
    suite.summary.read_skips(&suite.skip_log);
    suite.summary.print();
    if suite.summary.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the rules of the house and prints what they found.
///
/// # Errors
///
/// When a rule is broken, or the repository cannot be read.
pub(crate) fn tidy_step(root: &Path) -> Result<(), String> {
    let report =
        crate::tidy::check(root).map_err(|error| format!("the repository cannot be read: {error}"))?;
    report.warnings.iter().for_each(|warning| println!("warning: {warning}"));
    report.findings.iter().for_each(|finding| println!("{finding}"));
    match report.findings.len() {
        0 => Ok(()),
        count => Err(format!("{count} findings")),
    }
}

struct Suite {
    root: PathBuf,
    target: PathBuf,
    skip_log: PathBuf,
    /// Set for every program that the suite starts.
    environment: Vec<(&'static str, PathBuf)>,
    summary: Summary,
}

impl Suite {
    fn new(root: &Path) -> Self {
        let target = target(root);
        let skip_log = target.join("skipped-tests.txt");
        // Left over from the run before; a first run has none.
        let _ = std::fs::remove_file(&skip_log);
        let environment = vec![(SKIP_LOG, skip_log.clone()), (BIN_DIR, target.join("debug"))];
        let root = root.to_path_buf();
        Self { root, target, skip_log, environment, summary: Summary::default() }
    }

    /// What needs no build.
    fn checks(&mut self) {
        self.component_step("formatting", "fmt", "rustfmt", &["fmt", "--all", "--check"]);
        self.step("tidy", |suite| tidy_step(&suite.root).into());
    }

    fn clippy(&mut self) {
        let clippy = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--keep-going",
            "--",
            "--deny",
            "warnings",
        ];
        self.component_step("clippy", "clippy", "clippy", &clippy);
    }

    fn everything(&mut self, options: &Options) {
        let engine = !options.no_docker && docker::engine_answers();
        self.step("system packages", |suite| suite.system_packages(engine));
        self.step("python packages", Self::python_packages);
        let image = self.aside("docker image", |suite| suite.docker_image(options, engine));
        self.clippy();
        let built = self.step("build", |suite| {
            suite.cargo(&["build", "--workspace", "--all-targets", "--locked"], BUILD_LIMIT)
        });
        if built {
            let simulation = self.aside("simulation", |suite| Ok(suite.simulation()));
            self.step("tests", Self::tests);
            self.step("doc tests", |suite| {
                suite.cargo(&["test", "--doc", "--workspace", "--locked"], TEST_LIMIT)
            });
            self.step("clusters under faults", Self::short_mix);
            self.step("mutants", Self::mutants);
            if let Some(name) = self.join("docker image", image) {
                self.environment.push((TEST_IMAGE, name.into()));
            }
            self.step("containers", Self::containers);
            self.join("simulation", simulation);
        } else {
            let why = "the build failed";
            self.summary.add("tests", Outcome::Failed(why.to_owned()), Tally::default(), Duration::ZERO);
        }
    }

    /// Starts a step beside the others, if it can be made here.
    fn aside(
        &mut self,
        name: &str,
        command: impl FnOnce(&Self) -> Result<Command, Outcome>,
    ) -> Option<Aside> {
        let log = self.target.join("suite").join(format!("{}.log", name.replace(' ', "-")));
        let started = command(self).and_then(|mut command| {
            let environment = self.environment.iter().map(|(name, value)| (name, value));
            command.current_dir(&self.root).envs(environment);
            Aside::start(&command, ASIDE_LIMIT, &log).map_err(Outcome::Failed)
        });
        started.map_err(|outcome| self.summary.add(name, outcome, Tally::default(), Duration::ZERO)).ok()
    }

    /// Waits for a step beside the others. Returns the last line that it printed, if it passed.
    fn join(&mut self, name: &str, aside: Option<Aside>) -> Option<String> {
        let aside = aside?;
        println!("\n── {name}");
        let (Done { outcome, tally }, took, printed) = aside.join();
        let last = printed.lines().last().filter(|_| outcome == Outcome::Passed).map(str::to_owned);
        self.summary.add(name, outcome, tally, took);
        last
    }

    /// A step that a component of the toolchain does, which may not be installed.
    fn component_step(&mut self, name: &str, subcommand: &str, component: &str, arguments: &[&str]) {
        self.step(name, |suite| {
            if machine::succeeds(&["cargo", subcommand, "--version"]) {
                suite.cargo(arguments, CHECK_LIMIT)
            } else {
                Outcome::Skipped(format!(
                    "this toolchain has no {component}; `rustup component add {component}`"
                ))
                .into()
            }
        });
    }

    /// Runs one step and notes how it went. Returns whether it did not fail.
    fn step(&mut self, name: &str, run: impl FnOnce(&mut Self) -> Done) -> bool {
        println!("\n── {name}");
        let started = now();
        let Done { outcome, tally } = run(self);
        let failed = matches!(outcome, Outcome::Failed(_));
        self.summary.add(name, outcome, tally, started.elapsed());
        !failed
    }

    fn cargo(&self, arguments: &[&str], limit: Duration) -> Done {
        self.run(Command::new("cargo").args(arguments), limit)
    }

    fn run(&self, command: &mut Command, limit: Duration) -> Done {
        let environment = self.environment.iter().map(|(name, value)| (name, value));
        command.current_dir(&self.root).envs(environment);
        let ended = process::run(command, limit);
        Done { outcome: Outcome::from(ended.result), tally: ended.tally }
    }

    fn system_packages(&self, docker_engine_answers: bool) -> Done {
        match machine::install_tools(docker_engine_answers) {
            Ok(missing) if missing.is_empty() => Outcome::Passed.into(),
            Ok(missing) => {
                Outcome::Skipped(format!("install by hand (needs root): {}", missing.join(", "))).into()
            }
            Err(why) => Outcome::Failed(why).into(),
        }
    }

    fn python_packages(&mut self) -> Done {
        if find_program("python3").is_none() {
            return Outcome::Skipped("this machine has no python3".to_owned()).into();
        }
        let python = machine::python(&self.root, &self.target);
        python.map(|python| self.environment.push((TEST_PYTHON, python))).into()
    }

    /// This program, told to build the image; the last line that it prints is the image's name.
    fn docker_image(&self, options: &Options, engine_answers: bool) -> Result<Command, Outcome> {
        let skipped = |why: &str| Err(Outcome::Skipped(why.to_owned()));
        if options.no_docker {
            return skipped("left out by --no-docker");
        }
        if !engine_answers {
            return skipped("no Docker engine answers on this machine");
        }
        if !nix::unistd::geteuid().is_root() {
            return skipped("base images are made by debootstrap, which needs root");
        }
        let own = std::env::current_exe().map_err(|error| Outcome::Failed(error.to_string()))?;
        let mut command = Command::new(own);
        command.arg("image");
        Ok(command)
    }

    /// Whole clusters from seeds, in virtual time.
    fn simulation(&self) -> Command {
        let mut command = Command::new(self.target.join("debug/kenger-sim"));
        command.args(["run", "--seeds", SEEDS, "--twice", SEEDS_TWICE, "--folder"]);
        command.arg(self.target.join("sim"));
        command
    }

    /// Unit and integration tests, but for those of containers. Without nextest there are no groups that keep
    /// heavy tests apart, so they run one by one.
    fn tests(&mut self) -> Done {
        if has_nextest() {
            let filter = format!("not {CONTAINERS}");
            return self.cargo(&["nextest", "run", "--workspace", "--locked", "-E", &filter], TEST_LIMIT);
        }
        println!("cargo-nextest is not installed: running one test at a time with `cargo test`");
        let all =
            ["test", "--workspace", "--exclude", "xtask", "--locked", "--all-targets", "--no-fail-fast"];
        self.cargo(&[&all[..], &["--", "--test-threads=1"]].concat(), TEST_LIMIT)
    }

    /// The tests that start the image.
    fn containers(&mut self) -> Done {
        if has_nextest() {
            return self.cargo(&["nextest", "run", "--workspace", "--locked", "-E", CONTAINERS], TEST_LIMIT);
        }
        self.cargo(&["test", "--package", "xtask", "--locked", "--all-targets"], TEST_LIMIT)
    }

    /// Runs of whole clusters under faults. After the tests, so that they have the machine for themselves.
    fn short_mix(&mut self) -> Done {
        self.run(Command::new(self.target.join("debug/jepsen-tests")).args(["mix", "--short"]), MIX_LIMIT)
    }

    /// Whether the checkers of whole clusters still see what they are there for; those mutants that show
    /// soon.
    fn mutants(&mut self) -> Done {
        let mut command = Command::new(self.target.join("debug/jepsen-tests"));
        self.run(command.args(["mutants", "--suite"]), MUTANTS_LIMIT)
    }

    /// What git sees as changed or new; `None` outside of a clone.
    fn changed_files(&self) -> Option<String> {
        let mut git = Command::new("git");
        let output = git.args(["status", "--porcelain"]).current_dir(&self.root).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn nothing_changed(&self, before: Option<String>) -> Done {
        match (before, self.changed_files()) {
            (Some(before), Some(after)) if before == after => Outcome::Passed.into(),
            (Some(_), Some(after)) => {
                Outcome::Failed(format!("the tests left files in the repository:\n{after}")).into()
            }
            _ => Outcome::Skipped("this is no git clone".to_owned()).into(),
        }
    }
}

fn has_nextest() -> bool {
    machine::succeeds(&["cargo", "nextest", "--version"])
}

/// What a step comes to.
struct Done {
    outcome: Outcome,
    tally: Tally,
}

impl From<Outcome> for Done {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, tally: Tally::default() }
    }
}

impl From<Result<(), String>> for Done {
    fn from(result: Result<(), String>) -> Self {
        Outcome::from(result).into()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a step took is told to a person; nothing is decided by it"
)]
fn now() -> Instant {
    Instant::now()
}
