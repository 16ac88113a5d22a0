//! A run ends in time, whatever happens, and leaves nothing behind.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use jepsen_tests::harness::{eventually, kenger};
use jepsen_tests::run::{Conclusion, Verdicts, read_history};

use crate::{ended, jepsen};

/// Processes whose program was started by this path.
fn processes_of(program: &Path) -> Vec<String> {
    let prefix = program.display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.starts_with(&prefix)).collect()
}

#[tokio::test]
async fn a_run_that_is_not_over_at_its_hard_limit_has_failed_and_its_processes_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (out, program) = (folder.path().join("run"), folder.path().join("kenger-of-this-test"));
    symlink(std::fs::canonicalize(kenger()).unwrap(), &program).unwrap();
    let arguments = "run --workload register --nodes 3 --time-limit 600 --backend proxy --hard-limit 6";
    let mut command = jepsen(arguments.split(' '));
    command.arg("--out").arg(&out).env("KENGER_BIN", &program);
    let (code, text) = ended(command);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("the hard limit of a run"), "{text}");
    let verdicts = Verdicts::read(&out).unwrap();
    assert_eq!(verdicts.conclusion, Conclusion::Invalid);
    // What was seen until then is not lost.
    let history = read_history(&out).unwrap();
    assert!(history.lives().count() >= 3, "{text}");
    eventually("all members are gone", Duration::from_secs(5), async || processes_of(&program).is_empty())
        .await;
}

#[test]
fn a_cluster_that_does_not_come_up_is_a_failed_run_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut command = jepsen("run --workload register --nodes 3 --time-limit 5 --backend proxy".split(' '));
    // It starts, and ends at once.
    command.arg("--out").arg(&out).env("KENGER_BIN", "/bin/false");
    let (code, text) = ended(command);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("while the members start") && text.contains("member 1 ended"), "{text}");
    assert_eq!(Verdicts::read(&out).unwrap().conclusion, Conclusion::Invalid);
}

#[test]
fn a_directory_that_is_in_use_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine"), "x").unwrap();
    let mut command = jepsen("run --workload register --nodes 3 --time-limit 5 --backend proxy".split(' '));
    command.arg("--out").arg(folder.path()).env("KENGER_BIN", "/bin/false");
    let (code, text) = ended(command);
    assert_eq!(code, 74, "{text}");
    assert!(text.contains("is not empty"), "{text}");
}

#[test]
fn a_run_without_faults_is_valid_and_keeps_what_it_saw() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let arguments = "run --workload register,heartbeat --nodes 3 --time-limit 6 --seed 5 --backend proxy";
    let mut command = jepsen(arguments.split(' '));
    command.arg("--out").arg(&out).env("KENGER_BIN", kenger());
    let (code, text) = ended(command);
    assert_eq!(code, 0, "{text}");
    let history = read_history(&out).unwrap();
    assert_eq!(history.run.seed, 5);
    assert!(history.operations().count() > 100, "{text}");
    assert_eq!(history.states().filter(|state| state.is_final).count(), 3, "{text}");
    assert!(history.feeds().count() > 50, "{text}");
    // The log of each member is there.
    assert!((1..=3).all(|id| out.join(format!("member-{id}.log")).is_file()));
    // The same history is judged the same again.
    let (code, text) = ended(jepsen([Path::new("check"), out.as_path()]));
    assert_eq!(code, 0, "{text}");
}
