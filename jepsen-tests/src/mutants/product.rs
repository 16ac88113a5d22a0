//! The program under test, built so that it can be told to break a rule.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kenger_mutant::VARIABLE;

/// What `kenger` ends with if it does not know the mutant that it is to be.
const USAGE: i32 = 64;

/// Builds `kenger` with its mutants, and puts it into a directory of its own, so that no other run and no
/// test takes it for the product. What it is made of is shared with every other build. Answers where it is.
///
/// # Errors
/// It cannot be built, or what was built has no mutants.
pub fn build() -> Result<PathBuf, String> {
    let target = target()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let mut build = Command::new(cargo);
    // All packages are asked for, because what is asked for decides by which features dependencies are
    // built, and they are to be those of the ordinary build.
    build.args(["build", "--locked", "--workspace", "--bin", "kenger", "--features", "kenger/mutants"]);
    build.args(["--manifest-path", manifest, "--target-dir"]).arg(target.join("mutants"));
    build.env("CARGO_BUILD_BUILD_DIR", &target);
    match build.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(format!("kenger cannot be built with its mutants: {status}")),
        Err(error) => return Err(format!("cargo cannot be started: {error}")),
    }
    let binary = target.join("mutants").join("debug").join("kenger");
    knows_mutants(&binary)?;
    Ok(binary)
}

/// `target`, seen from `target/debug/jepsen-tests`.
fn target() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| format!("where this program is: {error}"))?;
    let target = own.ancestors().nth(2).map(Path::to_owned);
    target.ok_or_else(|| format!("{} is in no build directory", own.display()))
}

/// A program that was built without mutants would keep every rule, whatever it was told.
fn knows_mutants(binary: &Path) -> Result<(), String> {
    let mut command = Command::new(binary);
    let output = command.arg("--version").env(VARIABLE, "no-mutant-has-this-name").output();
    let output = output.map_err(|error| format!("{}: {error}", binary.display()))?;
    match output.status.code() {
        Some(USAGE) => Ok(()),
        _ => Err(format!(
            "{} was built without its mutants: it ended with {}",
            binary.display(),
            output.status
        )),
    }
}
