//! `cargo xtask sim`: builds the simulation so that it can be repeated, and runs it.
//!
//! tokio lets its scheduler be seeded only with `--cfg tokio_unstable`. A flag changes everything that
//! is built, so this build has a directory of its own, and leaves the others alone.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::workspace::target;

/// Appended to the flags that are there.
const FLAG: &str = "--cfg tokio_unstable";
const PROFILE: &str = "sim";
const PROGRAM: &str = "kenger-sim";

/// What the simulation is called with.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// `run`, `replay` or `mutants`, and what they take; `--help` tells.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds and runs.
pub(crate) fn run(root: &Path, options: &Options) -> ExitCode {
    let arguments: Vec<&str> = options.arguments.iter().map(String::as_str).collect();
    for mut command in [build(root), program(root, &arguments)] {
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

/// Builds the program.
pub(crate) fn build(root: &Path) -> Command {
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--quiet", "--locked", "--package", PROGRAM, "--features", "mutants"])
        .args(["--profile", PROFILE])
        .env("RUSTFLAGS", format!("{flags} {FLAG}").trim())
        .env("CARGO_TARGET_DIR", directory(root))
        .current_dir(root);
    cargo
}

/// Runs the program that was built.
pub(crate) fn program(root: &Path, arguments: &[&str]) -> Command {
    let mut program = Command::new(directory(root).join(PROFILE).join(PROGRAM));
    program.args(arguments).current_dir(root);
    program
}

fn directory(root: &Path) -> PathBuf {
    target(root).join("sim")
}
