//! What is done to a cluster while clients use it. One file for each nemesis, and one line in [`all`].
//!
//! The run decides when: it begins a fault, holds it, ends it, and pauses, by times that it draws from
//! the seed. It also numbers and notes the faults, from what the nemesis answers. Several nemeses of
//! one run take turns at the arena, and their faults overlap.

use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;

use crate::harness::MemberId;
use crate::history::{Floor, Timers};
use crate::run::{Arena, Setup};

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
    Vec::new()
}
