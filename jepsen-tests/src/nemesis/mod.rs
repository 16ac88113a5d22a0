//! What is done to a cluster while clients use it. One file for each nemesis, and one line in [`all`].
//!
//! The run decides when: it begins a fault, holds it, ends it, and pauses, by times that it draws from
//! the seed. It also numbers and notes the faults, from what the nemesis answers. Several nemeses of
//! one run take turns at the arena, and their faults overlap.

mod clock_jump;
mod disks;
mod flipped_bits;
mod full_disk;
mod kill;
mod mix;
mod partition;
mod pause;
mod power_cut;
mod read_only_disk;
mod rolling_restart;
mod slow_links;
mod slow_watcher;
mod victims;

use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;

use crate::harness::MemberId;
use crate::history::{Floor, Timers};
use crate::run::{Arena, Setup};
use clock_jump::ClockJump;
use flipped_bits::FlippedBits;
use full_disk::FullDisk;
use kill::Kill;
use mix::Mix;
use partition::{Partition, Shape};
use pause::{Length, Pause};
use power_cut::PowerCut;
use read_only_disk::ReadOnlyDisk;
use rolling_restart::RollingRestart;
use slow_links::SlowLinks;
use slow_watcher::SlowWatcher;
use victims::Whom;

/// A kind of fault.
pub trait Nemesis {
    /// Called once before the cluster starts: disks, clocks, settings.
    ///
    /// # Errors
    /// This machine lacks something (root, a program, a file system): the run cannot be made here, for
    /// this reason.
    fn prepare<'a>(&'a mut self, _setup: &'a mut Setup) -> LocalBoxFuture<'a, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    /// For how long one fault is held.
    fn hold(&self, _timers: &Timers) -> RangeInclusive<Duration> {
        Duration::from_secs(2)..=Duration::from_secs(6)
    }

    /// What a run of `seconds` seconds with it has to have done at least, apart from the faults themselves:
    /// leader changes, if it is about leaders. The largest figures of all nemeses count.
    fn floor(&self, _seconds: u64) -> Floor {
        Floor::default()
    }

    /// Makes a fault, and answers when it is in force. It is not called again before [`Nemesis::end`].
    /// Other faults may be in force: members that it finds in `arena.cluster.running()` are there to be
    /// ended or stopped, all others are not.
    ///
    /// Every wait in it is bounded, and short against [`Nemesis::hold`]: other nemeses wait for it.
    ///
    /// # Errors
    /// It cannot be made at the moment (nobody leads, nobody runs): nothing was done.
    ///
    /// # Panics
    /// The harness itself fails. That ends the run.
    fn begin<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Result<Struck, String>>;

    /// Ends the fault, and answers what shows that it is over; `None` if nothing does. Whoever was ended
    /// is started; nobody waits here until a member is ready, the run does that.
    fn end<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Option<String>>;
}

/// A fault that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Struck {
    /// The members that it was done to.
    pub members: Vec<MemberId>,
    /// What shows that it took hold, for people; `None` if nothing did.
    pub evidence: Option<String>,
    /// More about it, for people: `one way from 2 to 1 and 3`.
    pub detail: String,
}

/// A line of the list: what `--nemesis` calls it, what it does, and how it is made.
pub struct Entry {
    /// One word, perhaps with hyphens.
    pub name: &'static str,
    /// One line.
    pub about: &'static str,
    /// Makes one for a run.
    pub make: fn() -> Box<dyn Nemesis>,
}

/// All nemeses.
pub fn all() -> Vec<Entry> {
    let mut all = single();
    all.push(Entry { name: "mix", about: "two of the others at a time, drawn", make: Mix::boxed });
    all
}

/// All that do one thing.
#[rustfmt::skip]
fn single() -> Vec<Entry> {
    let entry = |name, about, make| Entry { name, about, make };
    vec![
        entry("kill-leader", "the leader is killed", || Kill::boxed(Whom::Leader)),
        entry("kill-follower", "a follower is killed", || Kill::boxed(Whom::Follower)),
        entry("kill-minority", "as many are killed as can be missed", || Kill::boxed(Whom::Minority)),
        entry("kill-all", "all members are killed at once", || Kill::boxed(Whom::All)),
        entry("pause-leader", "the leader stands still (SIGSTOP)", || Pause::boxed(Whom::Leader, Length::Short)),
        entry("pause-minority", "some stand still", || Pause::boxed(Whom::Some, Length::Short)),
        entry("pause-long", "the leader stands still for longer than the TTL", || Pause::boxed(Whom::Leader, Length::OverTtl)),
        entry("pause-all", "all stand still for longer than the TTL", || Pause::boxed(Whom::All, Length::OverTtl)),
        entry("partition-halves", "a majority and a minority, both ways", || Partition::boxed(Shape::Halves)),
        entry("partition-leader", "the same with the leader in the minority", || Partition::boxed(Shape::LeaderInMinority)),
        entry("partition-mute", "nobody hears the leader, it hears all", || Partition::boxed(Shape::MuteLeader)),
        entry("partition-deaf", "the leader hears nobody, all hear it", || Partition::boxed(Shape::DeafLeader)),
        entry("partition-bridge", "two halves and one that reaches both", || Partition::boxed(Shape::Bridge)),
        entry("partition-ring", "each reaches its neighbours alone", || Partition::boxed(Shape::Ring)),
        entry("slow-links", "links that carry slowly and lose", SlowLinks::boxed),
        entry("clock-jump", "wall clocks jump by seconds up to a day", ClockJump::boxed),
        entry("power-cut", "a member loses its power", || PowerCut::boxed(Whom::Some)),
        entry("power-cut-all", "all lose their power at once", || PowerCut::boxed(Whom::All)),
        entry("full-disk", "the disks of a minority are full", FullDisk::boxed),
        entry("read-only-disk", "the disks of a minority turn read-only", ReadOnlyDisk::boxed),
        entry("flipped-bits", "bits in the store of a stopped member turn over", FlippedBits::boxed),
        entry("slow-watcher", "subscribers of the feed do not read", SlowWatcher::boxed),
        entry("rolling-restart", "members are asked to stop one after the other", RollingRestart::boxed),
    ]
}
