//! Where the program under test is.

use std::path::PathBuf;
use std::process::Command;

use kenger_mutant::VARIABLE;

/// The `kenger` program: `KENGER_BIN`, else `kenger` in `KENGER_BIN_DIR`, else the one that was built
/// beside this program.
///
/// # Panics
/// There is none: a test of a program that was not built must not pass.
pub fn kenger() -> PathBuf {
    let given = std::env::var_os("KENGER_BIN").map(PathBuf::from);
    let in_folder = || std::env::var_os("KENGER_BIN_DIR").map(|folder| PathBuf::from(folder).join("kenger"));
    let beside = || {
        // target/debug/deps/process-0123 → target/debug/kenger, and target/debug/jepsen-tests → the same
        let own = std::env::current_exe().unwrap();
        let folder = own.parent().unwrap();
        let folder = if folder.ends_with("deps") { folder.parent().unwrap() } else { folder };
        folder.join("kenger")
    };
    let path = given.or_else(in_folder).unwrap_or_else(beside);
    assert!(path.is_file(), "{} is not there; run `cargo build --bin kenger` before", path.display());
    path
}

/// The `kenger` program, started with none of the settings of the environment that the tests run in: they are
/// for the tests, or for another cluster of whoever runs them. A rule that is to be broken is passed on.
///
/// # Panics
/// See [`kenger`].
pub fn kenger_command() -> Command {
    let mut command = Command::new(kenger());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KENGER_") && name != VARIABLE {
            command.env_remove(name);
        }
    }
    command
}
