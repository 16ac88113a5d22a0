//! What a power cut leaves.

use super::*;

fn disk() -> ModelDisk {
    ModelDisk::new(fastrand::Rng::with_seed(7))
}

#[test]
fn what_was_synced_outlives_the_power_and_what_was_not_named_durably_does_not() {
    let disk = disk();
    let session = disk.session();
    session.create_directory(Path::new("/d")).unwrap();
    session.sync_directory(Path::new("/")).unwrap();
    let kept = session.create(Path::new("/d/kept")).unwrap();
    kept.write_all_at(b"first", 0).unwrap();
    kept.sync().unwrap();
    session.sync_directory(Path::new("/d")).unwrap();
    let unnamed = session.create(Path::new("/d/unnamed")).unwrap();
    unnamed.write_all_at(b"x", 0).unwrap();
    unnamed.sync().unwrap();
    disk.cut_power();
    assert!(kept.bytes().is_err() && session.open(Path::new("/d/kept")).is_err(), "the session is over");
    let session = disk.session();
    assert_eq!(session.read(Path::new("/d/kept")).unwrap(), b"first");
    assert!(!session.exists(Path::new("/d/unnamed")));
}

#[test]
fn of_unsynced_writes_any_part_may_be_left_and_each_is_whole() {
    let mut seen = BTreeSet::new();
    for seed in 0..60 {
        let disk = ModelDisk::new(fastrand::Rng::with_seed(seed));
        let session = disk.session();
        let file = session.create(Path::new("f")).unwrap();
        file.write_all_at(b"aaaa", 0).unwrap();
        file.sync().unwrap();
        session.sync_directory(Path::new("")).unwrap();
        file.write_all_at(b"bb", 0).unwrap();
        file.write_all_at(b"cc", 2).unwrap();
        file.resize(3).unwrap();
        file.resize(6).unwrap();
        disk.cut_power();
        seen.insert(disk.session().read(Path::new("f")).unwrap());
    }
    assert!(seen.contains(b"aaaa".as_slice()) && seen.contains(b"bbaa".as_slice()), "{seen:?}");
    assert!(seen.contains(b"bbc\0\0\0".as_slice()), "{seen:?}");
}

#[test]
fn a_locked_file_is_locked_once_and_free_after_the_power_was_cut() {
    let disk = disk();
    let session = disk.session();
    let lock = session.lock(Path::new("l")).unwrap();
    assert!(lock.is_some() && session.lock(Path::new("l")).unwrap().is_none());
    drop(lock);
    let lock = session.lock(Path::new("l")).unwrap();
    disk.cut_power();
    let again = disk.session().lock(Path::new("l")).unwrap();
    drop(lock);
    assert!(again.is_some() && disk.session().lock(Path::new("l")).unwrap().is_none());
}
