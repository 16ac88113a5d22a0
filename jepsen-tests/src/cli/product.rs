//! The program under test, as the work tree has it now.

use std::process::Command;

/// Builds `kenger` if this was started by cargo and nobody says which one is to be tested: a run of an
/// outdated program shows nothing.
///
/// # Errors
/// It cannot be built.
pub(super) fn make() -> Result<(), String> {
    let is_given = ["KENGER_BIN", "KENGER_BIN_DIR"].iter().any(|name| std::env::var_os(name).is_some());
    let Some(cargo) = std::env::var_os("CARGO").filter(|_| !is_given) else { return Ok(()) };
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--package", "kenger", "--bin", "kenger", "--manifest-path", manifest]);
    match build.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("kenger cannot be built: {status}")),
        Err(error) => Err(format!("cargo cannot be started: {error}")),
    }
}
