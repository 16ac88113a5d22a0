//! Where the program under test is.

use std::path::PathBuf;

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
