//! Disks that lose their power, are full, turn read-only; and nothing of them is left behind.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use jepsen_tests::harness::{Disks, skip};

/// Runs `test` on a thread of its own, whose mount namespace is changed for good; answers where the disks
/// were, and whether the test panicked.
fn with_disks(name: &str, test: fn(&Disks)) -> Option<(PathBuf, bool)> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let disks = Disks::make(2);
        let folder = disks.as_ref().map(|disks| disks.data_dir(1).ancestors().nth(2).unwrap().to_path_buf());
        sender.send(folder.map_err(Clone::clone)).unwrap();
        if let Ok(disks) = disks {
            test(&disks);
        }
    });
    let panicked = thread.join().is_err();
    match receiver.recv().unwrap() {
        Ok(folder) => Some((folder, panicked)),
        Err(reason) => {
            skip(name, &reason);
            None
        }
    }
}

/// Whether a loop device still belongs to a file in `folder`.
fn is_in_use(folder: &PathBuf) -> bool {
    fs::read_dir("/sys/block").unwrap().flatten().any(|device| {
        fs::read_to_string(device.path().join("loop/backing_file"))
            .is_ok_and(|file| PathBuf::from(file.trim_end_matches(" (deleted)\n").trim()).starts_with(folder))
    })
}

fn assert_nothing_is_left(folder: &PathBuf) {
    assert!(!folder.exists(), "{} is left", folder.display());
    assert!(!is_in_use(folder), "a loop device of {} is left", folder.display());
}

#[test]
fn a_disk_fills_and_empties_turns_read_only_and_comes_back() {
    let name = "a_disk_fills_and_empties_turns_read_only_and_comes_back";
    let Some((folder, panicked)) = with_disks(name, |disks| {
        disks.write_something(1).unwrap();
        let said = disks.fill(1).unwrap();
        assert!(said.contains("No space left"), "{said}");
        let error = disks.write_something(1).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
        disks.write_something(2).expect("the other disk is another one");
        disks.free(1).unwrap();
        disks.write_something(1).unwrap();

        let kept = disks.data_dir(2).with_file_name("kept");
        let mut open = File::create(&kept).unwrap();
        open.write_all(b"kept").unwrap();
        open.sync_all().unwrap();
        disks.turn_read_only(2).unwrap();
        assert!(open.write_all(b"x").is_err(), "a file that was open takes nothing either");
        drop(open);
        disks.write_something(1).expect("the other disk is another one");
        disks.start_again(2).unwrap();
        disks.write_something(2).unwrap();
        assert_eq!(fs::read(kept).unwrap(), b"kept");
        let folder = disks.data_dir(1).ancestors().nth(2).unwrap().to_path_buf();
        assert!(is_in_use(&folder), "or it would not be seen that a device is left");
    }) else {
        return;
    };
    assert!(!panicked);
    assert_nothing_is_left(&folder);
}

#[test]
fn a_power_cut_takes_what_was_not_synced_and_nothing_else() {
    let name = "a_power_cut_takes_what_was_not_synced_and_nothing_else";
    let Some((folder, panicked)) = with_disks(name, |disks| {
        let path = |name: &str| disks.data_dir(1).with_file_name(name);
        for (name, is_synced) in [("synced", true), ("unsynced", false)] {
            let mut file = File::create(path(name)).unwrap();
            file.write_all(&[7; 100_000]).unwrap();
            if is_synced {
                file.sync_all().unwrap();
            }
        }
        disks.cut_power(1);
        assert!(disks.write_something(1).is_err(), "nothing reaches the disk");
        disks.write_something(2).expect("the other disk is another one");
        disks.start_again(1).unwrap();
        assert_eq!(fs::read(path("synced")).unwrap(), [7; 100_000]);
        assert!(fs::read(path("unsynced")).is_ok_and(|found| found.is_empty()) || !path("unsynced").exists());
        disks.write_something(1).unwrap();
    }) else {
        return;
    };
    assert!(!panicked);
    assert_nothing_is_left(&folder);
}

#[test]
fn nothing_is_left_of_disks_after_a_panic() {
    let name = "nothing_is_left_of_disks_after_a_panic";
    let Some((folder, panicked)) = with_disks(name, |disks| {
        disks.fill(1).unwrap();
        disks.turn_read_only(2).unwrap();
        let _open = File::open(disks.data_dir(1).parent().unwrap()).unwrap();
        panic!("as a run does that finds something");
    }) else {
        return;
    };
    assert!(panicked);
    assert_nothing_is_left(&folder);
}
