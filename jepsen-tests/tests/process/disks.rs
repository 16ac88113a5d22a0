//! A member whose disk takes nothing more acknowledges nothing more, says so and ends; it comes back when
//! the disk does. A power cut of all members takes nothing that was acknowledged.

use std::sync::Arc;
use std::time::Duration;

use jepsen_tests::harness::{Cluster, Disks, Settings, eventually, skip};
use jepsen_tests::observe::Writers;

use crate::agreement::assert_nothing_lost;

/// A member whose disk fails ends within this time after it is written to.
const END_LIMIT: Duration = Duration::from_secs(20);
/// Writes go on, or begin again, within this time.
const PROGRESS_LIMIT: Duration = Duration::from_secs(20);

/// Runs `test` where disks can be made, on a thread whose mount namespace is changed for good.
fn with_disks(name: &str, store: &'static str, test: impl AsyncFnOnce(Cluster, Arc<Disks>) + Send + 'static) {
    let thread = std::thread::spawn(move || {
        let disks = Arc::new(Disks::make(3)?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let settings = Settings { disks: Some(Arc::clone(&disks)), store, ..Settings::default() };
            test(Cluster::start(settings.with_frequent_snapshots()).await, disks).await;
        });
        Ok::<_, String>(())
    });
    match thread.join() {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => skip(name, &reason),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

async fn progress(writers: &Writers, more: u64) {
    let goal = writers.acknowledged() + more;
    eventually("writes go on", PROGRESS_LIMIT, async || writers.acknowledged() >= goal).await;
}

/// The leader's disk fails, then a follower's; each time the member ends and the others go on.
async fn fails_and_comes_back(
    mut cluster: Cluster,
    disks: Arc<Disks>,
    fail: fn(&Disks, u64),
    mend: fn(&Disks, u64),
    reasons: &[&str],
) {
    let writers = Writers::start(&cluster.apis(), 6);
    for leads in [true, false] {
        progress(&writers, 60).await;
        let leader = cluster.wait_for_leader().await;
        let id = if leads { leader } else { leader % 3 + 1 };
        fail(&disks, id);
        let (status, log) = cluster.ends_by_itself(id, END_LIMIT).await;
        assert!(!status.success(), "{status}");
        // Raft's own task may have a word of its own after that.
        let is_reason = |line: &str| reasons.iter().any(|reason| line.contains(reason));
        let is_said = log.lines().any(|line| line.contains("cannot go on") && is_reason(line));
        assert!(is_said, "not said clearly: {log}");
        assert!(!log.contains("put aside"), "a disk without room is no damaged store: {log}");
        progress(&writers, 60).await;

        // Started while the disk is as it is, it may refuse to start, and must not take the store for
        // damaged.
        cluster.start_member(id);
        tokio::time::sleep(Duration::from_secs(2)).await;
        if let Some((status, log)) = cluster.ended(id) {
            assert!(!status.success() && !log.contains("put aside"), "{log}");
        } else {
            cluster.kill(id);
        }
        mend(&disks, id);
        cluster.start_member(id);
        cluster.wait_for_all().await;
    }
    let ledger = writers.finish().await;
    assert_nothing_lost(&cluster, &ledger).await;
}

fn a_full_disk(name: &str, store: &'static str) {
    with_disks(name, store, async |cluster, disks| {
        let fill = |disks: &Disks, id| drop(disks.fill(id).unwrap());
        let free = |disks: &Disks, id| disks.free(id).unwrap();
        fails_and_comes_back(cluster, disks, fill, free, &["No space left"]).await;
    });
}

fn a_read_only_disk(name: &str, store: &'static str) {
    with_disks(name, store, async |cluster, disks| {
        let turn = |disks: &Disks, id| disks.turn_read_only(id).unwrap();
        let back = |disks: &Disks, id| disks.start_again(id).unwrap();
        // What was under way when the file system gave up is answered with EIO.
        let reasons = ["Read-only file system", "Input/output error"];
        fails_and_comes_back(cluster, disks, turn, back, &reasons).await;
    });
}

#[test]
fn a_member_on_sled_ends_when_its_disk_is_full_and_comes_back() {
    a_full_disk("a_member_on_sled_ends_when_its_disk_is_full_and_comes_back", "sled");
}

#[test]
fn a_member_on_redb_ends_when_its_disk_is_full_and_comes_back() {
    a_full_disk("a_member_on_redb_ends_when_its_disk_is_full_and_comes_back", "redb");
}

#[test]
fn a_member_on_sled_ends_when_its_disk_is_read_only_and_comes_back() {
    a_read_only_disk("a_member_on_sled_ends_when_its_disk_is_read_only_and_comes_back", "sled");
}

#[test]
fn a_member_on_redb_ends_when_its_disk_is_read_only_and_comes_back() {
    a_read_only_disk("a_member_on_redb_ends_when_its_disk_is_read_only_and_comes_back", "redb");
}

fn nothing_is_lost_in_power_cuts(name: &str, store: &'static str) {
    with_disks(name, store, async |mut cluster, disks| {
        let writers = Writers::start(&cluster.apis(), 6);
        for _ in 0..2 {
            progress(&writers, 80).await;
            cluster.ids().into_iter().for_each(|id| disks.cut_power(id));
            cluster.ids().into_iter().for_each(|id| cluster.kill(id));
            for id in cluster.ids() {
                disks.start_again(id).unwrap();
                cluster.start_member(id);
            }
            cluster.wait_for_all().await;
        }
        progress(&writers, 20).await;
        let ledger = writers.finish().await;
        assert_nothing_lost(&cluster, &ledger).await;
    });
}

#[test]
fn nothing_is_lost_when_all_members_on_sled_lose_their_power() {
    nothing_is_lost_in_power_cuts("nothing_is_lost_when_all_members_on_sled_lose_their_power", "sled");
}

#[test]
fn nothing_is_lost_when_all_members_on_redb_lose_their_power() {
    nothing_is_lost_in_power_cuts("nothing_is_lost_when_all_members_on_redb_lose_their_power", "redb");
}
