//! Wrong arguments are told before anything is started.

use jepsen_tests::{check, nemesis, workload};

use crate::{ended, jepsen};

const USAGE: i32 = 64;

#[test]
fn wrong_arguments_end_with_64_and_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let run = "run --workload register --backend proxy";
    let wrong = [
        ("", "Usage"),
        ("walk", "walk"),
        ("run", "--workload"),
        ("run --workload regster", "there is no workload \"regster\"; there are register, feed"),
        (&format!("{run} --nemesis meteor"), "there is no nemesis \"meteor\""),
        (&format!("{run} --nodes 4"), "3 or 5 members, not 4"),
        (&format!("{run} --time-limit 1"), "the time limit is from 5s"),
        (&format!("{run} --seed x"), "--seed"),
        (&format!("{run} --store etcd"), "\"etcd\" is not one of sled, redb"),
        ("run --workload register --backend carrier", "\"carrier\" is not one of netns, proxy"),
        ("mix", "--short"),
        ("mix --short --hours 1", "--hours"),
        ("mix --long", "--hours"),
        ("mix --long --hours 0", "from more than 0"),
        ("mix --short --long --hours 1", "cannot be used with"),
        ("check", "DIR|FILE"),
        ("check x --checker taste", "there is no checker \"taste\""),
    ];
    for (arguments, what) in wrong {
        let mut command = jepsen(arguments.split_whitespace());
        // What is begun although it should not be is over soon.
        command.env("KENGER_BIN", "/bin/false");
        if arguments.starts_with("run ") {
            command.arg("--out").arg(&out);
        }
        let (code, text) = ended(command);
        assert_eq!(code, USAGE, "{arguments}: {text}");
        assert!(text.contains(what), "{arguments}: {text}");
    }
    assert!(!out.exists(), "a run was begun");
}

#[test]
fn the_list_names_everything() {
    let (code, text) = ended(jepsen(["list"]));
    assert_eq!(code, 0);
    let workloads = workload::all().into_iter().map(|entry| entry.name);
    let nemeses = nemesis::all().into_iter().map(|entry| entry.name);
    let checkers = check::all();
    for name in workloads.chain(nemeses).chain(checkers.iter().map(|checker| checker.name())) {
        assert!(text.contains(&format!(" {name} ")), "no {name} in: {text}");
    }
}
