//! The runner itself: what it says about wrong arguments and broken histories, and that it always ends.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails is a test that fails")]

mod arguments;
mod histories;
mod limits;

use std::ffi::OsStr;
use std::process::{Command, Output};

/// Runs the program under test.
fn jepsen(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jepsen-tests"));
    command.args(arguments).env_remove("CARGO");
    command
}

fn ended(mut command: Command) -> (i32, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (status.code().expect("it was not killed"), text)
}
