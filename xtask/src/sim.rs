//! `cargo xtask sim`: builds the simulation and runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::workspace::target;

const PROGRAM: &str = "kenger-sim";

/// What the simulation is called with.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// `run`, `replay` or `mutants`, and what they take; `--help` tells.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Options {
    /// Whether rules of the product are to be broken, which the ordinary build cannot do.
    fn needs_mutants(&self) -> bool {
        self.arguments.iter().any(|word| word == "mutants" || word.starts_with("--mutant"))
    }
}

/// Builds and runs.
pub(crate) fn run(root: &Path, options: &Options) -> ExitCode {
    let folder = if options.needs_mutants() { target(root).join("mutants") } else { target(root) };
    for mut command in [build(root, &folder, options), program(root, &folder, options)] {
        match command.status() {
            Ok(status) if status.success() => {}
            Ok(status) => return status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1).into(),
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// What it is made of is shared with every other build; the program with mutants lies apart, so that nobody
/// takes it for the other one. All packages are asked for, because what is asked for decides by which features
/// dependencies are built.
fn build(root: &Path, folder: &Path, options: &Options) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--locked", "--workspace", "--bin", PROGRAM]);
    if options.needs_mutants() {
        cargo.args(["--features", "kenger-sim/mutants"]);
    }
    cargo.arg("--target-dir").arg(folder).env("CARGO_BUILD_BUILD_DIR", target(root)).current_dir(root);
    cargo
}

fn program(root: &Path, folder: &Path, options: &Options) -> Command {
    let program: PathBuf = folder.join("debug").join(PROGRAM);
    let mut program = Command::new(program);
    program.args(&options.arguments).current_dir(root);
    program
}
