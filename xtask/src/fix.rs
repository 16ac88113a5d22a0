//! `cargo xtask fix`: puts right what a program can put right.

use std::path::Path;
use std::process::{Command, ExitCode};

/// Runs clippy's fixes, then the formatter over what they left.
pub(crate) fn run(root: &Path) -> ExitCode {
    let clippy = ["clippy", "--workspace", "--all-targets", "--fix", "--allow-dirty", "--allow-staged"];
    let tasks: [&[&str]; 2] = [&clippy, &["fmt", "--all"]];
    for arguments in tasks {
        let status = Command::new("cargo").args(arguments).current_dir(root).status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!("error: `cargo {}` failed", arguments.join(" "));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
