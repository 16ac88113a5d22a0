//! Golden scenarios: each file under `scenarios/` is a list of commands, each followed by all that it
//! did. `KENGER_REWRITE_SCENARIOS=1 cargo test -p kenger-state` writes what they do now.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails is a test that fails")]

mod parse;
mod render;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use kenger_state::State;

/// The file as it should be: what it says and what the commands in it do.
fn played(text: &str) -> String {
    let mut state = State::default();
    let mut out = String::new();
    for line in text.lines() {
        if line.is_empty() || line.starts_with('#') {
            writeln!(out, "{line}").unwrap();
        } else if let Some(command) = line.strip_prefix("> ") {
            writeln!(out, "{line}").unwrap();
            if command == "show" {
                render::state(&mut out, &state);
            } else {
                let proposal = parse::proposal(command);
                let before = state.revision();
                let applied = state.apply(&proposal);
                render::applied(&mut out, before, &applied);
            }
        }
    }
    out
}

fn scenario_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_scenario_does_what_its_file_says() {
    let files = scenario_files();
    assert!(files.len() >= 5, "the scenarios are missing: {files:?}");
    let rewrite = std::env::var_os("KENGER_REWRITE_SCENARIOS").is_some();
    let mut different = Vec::new();
    for file in files {
        let written = std::fs::read_to_string(&file).unwrap();
        let played = played(&written);
        assert!(played.contains("\n    revision "), "{} has no command", file.display());
        if rewrite {
            std::fs::write(&file, &played).unwrap();
        } else if let Some((number, (is, should))) =
            played.lines().zip(written.lines()).enumerate().find(|(_, (is, should))| is != should)
        {
            different.push(format!("{}:{}\n  does {is:?}\n  says {should:?}", file.display(), number + 1));
        } else if played != written {
            different.push(format!("{}: one of the two is longer", file.display()));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
