//! Tests that a machine cannot run say so, loudly.

use std::fs::OpenOptions;
use std::io::Write;

/// Says that `test` did not run, and why: on standard error, and in the file `KENGER_SKIP_LOG` that
/// `cargo xtask test` sums up.
pub fn skip(test: &str, reason: &str) {
    let line = format!("SKIPPED: {test}: {reason}\n");
    // Written past libtest's capturing, so that it is seen although the test passes.
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    if let Some(path) = std::env::var_os("KENGER_SKIP_LOG") {
        let mut log = OpenOptions::new().create(true).append(true).open(path).unwrap();
        log.write_all(line.as_bytes()).unwrap();
    }
}
