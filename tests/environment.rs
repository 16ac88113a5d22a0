//! The environment of `kenger serve` and `kenger gateway`: what in it looks like a setting and is none.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::net::TcpListener;
use std::process::{Command, Stdio};

use tempfile::TempDir;

const USAGE: i32 = 64;
const UNAVAILABLE: i32 = 69;

/// The program, without what the environment of the test happens to say.
fn kenger() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kenger"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KENGER_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_misspelt_variable_is_told_wherever_it_may_be_missed() {
    let says = "\"KENGER_NODE_TLT\" is no setting and has no effect; KENGER_NODE_TTL is";
    // What is misspelt here is a secret: its name is told alone.
    let misspell = |command: &mut Command| {
        command.env("KENGER_NODE_TLT", "geheim").env("KENGER_GATEWAY_TOKEN", "known to another role");
    };
    let run = |arguments: &[&str]| {
        let mut command = kenger();
        command.args(arguments);
        misspell(&mut command);
        command.output().unwrap()
    };
    let right = ["serve", "--check", "--data-dir", "/nonexistent/kenger", "--token", "t"];
    let checked = run(&right);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    let refused = run(&["serve", "--token", "t", "--data-dir", "d", "--store", "mysql"]);
    let gateway = run(&["gateway", "--registry", "nonsense"]);
    assert_eq!((refused.status.code(), gateway.status.code()), (Some(USAGE), Some(USAGE)));
    for output in [checked, refused, gateway] {
        let told = text(&output.stderr);
        assert!(told.contains(says) && !told.contains("geheim") && !told.contains("GATEWAY_TOKEN"), "{told}");
    }
    // One that runs logs it; this one ends at once, because its port is taken.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = TempDir::new().unwrap();
    let (listen, data_dir) = (taken.local_addr().unwrap().to_string(), directory.path().to_str().unwrap());
    let logged = run(&["serve", "--token", "t", "--data-dir", data_dir, "--listen-peer", &listen]);
    assert_eq!(logged.status.code(), Some(UNAVAILABLE));
    let logged = text(&logged.stderr);
    let line = logged.lines().find(|line| line.contains("KENGER_NODE_TLT")).unwrap_or_default();
    assert!(line.contains("WARN") && line.contains(says), "{logged}");
}
