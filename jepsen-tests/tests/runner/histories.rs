//! `check` ends with the code that the verdicts say.

use std::fs::File;
use std::path::Path;

use jepsen_tests::history::{Floor, History, Lead, Record, Run, Timers};
use jepsen_tests::run::HISTORY_FILE;

use crate::{ended, jepsen};

fn run(floor: Floor) -> Run {
    Run {
        command: "made by hand".to_owned(),
        seed: 0,
        workloads: Vec::new(),
        nemeses: Vec::new(),
        members: 3,
        timers: Timers {
            node_ttl: 4_000_000,
            node_delete_after: 9_000_000,
            lease_tick: 200_000,
            election_timeout_max: 1_000_000,
        },
        floor,
        began_unix_ms: None,
    }
}

fn lead(term: u64, leader: u64) -> Record {
    Record::Lead(Lead { at: term, member: leader, term, leader: Some(leader) })
}

/// Judges a history that lies in the directory of a run.
fn judge(floor: Floor, records: Vec<Record>) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let history = History { run: run(floor), records };
    history.write(File::create(folder.path().join(HISTORY_FILE)).unwrap()).unwrap();
    ended(jepsen([Path::new("check"), folder.path()]))
}

#[test]
fn a_broken_promise_ends_with_1_and_names_the_rule() {
    let (code, text) = judge(Floor::default(), vec![lead(1, 1), lead(1, 2)]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("two_leaders") && text.contains("INVALID"), "{text}");
}

#[test]
fn a_history_in_which_too_little_happened_ends_with_2() {
    let floor = Floor { acknowledged: 10, ..Floor::default() };
    let (code, text) = judge(floor, vec![lead(1, 1), lead(2, 2)]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("vacuity") && text.contains("UNKNOWN"), "{text}");
}

#[test]
fn a_sound_history_ends_with_0() {
    let (code, text) = judge(Floor::default(), vec![lead(1, 1), lead(2, 2)]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_history_that_cannot_be_read_is_no_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = ended(jepsen([Path::new("check"), folder.path()]));
    assert_eq!(code, 74, "{text}");
    let file = folder.path().join("torn.jsonl");
    std::fs::write(&file, "{\"command\":").unwrap();
    let (code, text) = ended(jepsen([Path::new("check"), &file]));
    assert_eq!(code, 74, "{text}");
    assert!(text.contains("line 1"), "{text}");
}
