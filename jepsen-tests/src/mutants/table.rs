//! Of each mutant: the run in which it shows, who must see it, and the budget.

use std::fmt;

use kenger_mutant::Mutant;

/// A kind of run; with a seed it is a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Schedule {
    /// What clients do.
    pub workloads: &'static [&'static str],
    /// What is done to the cluster.
    pub nemeses: &'static [&'static str],
    /// What holds the members' log.
    pub store: &'static str,
    /// For how many seconds clients and nemeses are at work.
    pub seconds: u64,
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nemeses = if self.nemeses.is_empty() { "no fault".to_owned() } else { self.nemeses.join("+") };
        write!(f, "{}, {nemeses}, {}, {} s", self.workloads.join("+"), self.store, self.seconds)
    }
}

/// Who must see a mutant: one of these rules of this checker must be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Catcher {
    /// The checker's name.
    pub checker: &'static str,
    /// Its rules; none: any.
    pub rules: &'static [&'static str],
}

/// A mutant with the run that must show it.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Which rule is broken.
    pub mutant: Mutant,
    /// In which run it shows.
    pub schedule: Schedule,
    /// Most runs, of different seeds, until it must have been caught.
    pub tries: u32,
    /// Who must see it.
    pub catcher: Catcher,
    /// Whether it belongs to those that the ordinary tests run.
    pub is_in_suite: bool,
}

/// Every mutant.
pub fn table() -> Vec<Entry> {
    Mutant::ALL.into_iter().map(entry).collect()
}

const fn run(workloads: &'static [&'static str], nemeses: &'static [&'static str], seconds: u64) -> Schedule {
    Schedule { workloads, nemeses, store: "sled", seconds }
}

/// What a history says that is not linearizable, however the search comes upon it.
const LINEARIZABLE: Catcher = by("linearizable", &["stale_read", "read", "write", "refusal", "unexplained"]);

/// A node that was heard from does not stay.
const SAFETY: Catcher = by("heartbeats", &["early", "seen_offline", "deleted_early", "forgotten"]);

const fn by(checker: &'static str, rules: &'static [&'static str]) -> Catcher {
    Catcher { checker, rules }
}

fn entry(mutant: Mutant) -> Entry {
    let (schedule, catcher, tries, is_in_suite) = match mutant {
        Mutant::SkipSync => (run(&["register"], &["power-cut-all"], 25), LINEARIZABLE, 3, false),
        Mutant::ForgetVote => {
            (run(&["register"], &["kill-all"], 25), by("sound", &["two_leaders"]), 3, false)
        }
        Mutant::AcknowledgeBeforeCommit => {
            (run(&["register"], &["partition-leader"], 20), LINEARIZABLE, 2, false)
        }
        Mutant::ReadWithoutIndex => (run(&["register"], &["partition-halves"], 14), LINEARIZABLE, 3, true),
        Mutant::ReadBeforeApplied => (run(&["register"], &["pause-minority"], 20), LINEARIZABLE, 2, false),
        Mutant::ApplyTwice => {
            (run(&["register"], &[], 6), by("linearizable", &["refusal", "unexplained"]), 1, false)
        }
        Mutant::ResumeSkipsOne => {
            (run(&["feed"], &[], 20), by("feed", &["gap", "resume", "beginning"]), 2, true)
        }
        Mutant::DropOldest => (run(&["bulk"], &["slow-watcher"], 30), by("feed", &["gap"]), 3, false),
        Mutant::ExpireUnchecked => (run(&["edge"], &[], 12), SAFETY, 2, true),
        Mutant::RenewWhileExpiring => (run(&["edge"], &[], 12), SAFETY, 2, false),
        Mutant::WallClockLeases => (run(&["heartbeat", "register"], &["clock-jump"], 30), SAFETY, 3, false),
        Mutant::NoGrace => (run(&["heartbeat", "register"], &["kill-leader"], 12), SAFETY, 2, true),
        Mutant::HeartbeatWithoutQuorum => {
            (run(&["heartbeat", "register"], &["partition-leader"], 30), SAFETY, 3, false)
        }
        Mutant::SnapshotWithoutOverrides => {
            (run(&["settled"], &["kill-follower"], 12), by("agreement", &["differs"]), 2, false)
        }
        Mutant::SnapshotWithoutTtls => {
            (run(&["settled"], &["kill-follower"], 12), by("agreement", &["differs"]), 2, false)
        }
        Mutant::GatewayEmptiesTable => {
            (run(&["gateway"], &["kill-all"], 20), by("availability", &["failed", "stale_route"]), 2, false)
        }
        Mutant::GatewayKeepsRemoved => {
            (run(&["gateway"], &[], 15), by("availability", &["failed", "stale_route"]), 2, false)
        }
    };
    Entry { mutant, schedule, tries, catcher, is_in_suite }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check, nemesis, workload};

    #[test]
    fn every_mutant_has_a_run_that_can_be_made_and_a_catcher_that_can_see_it() {
        let workloads: Vec<_> = workload::all().iter().map(|entry| entry.name).collect();
        let nemeses: Vec<_> = nemesis::all().iter().map(|entry| entry.name).collect();
        let checkers = check::all();
        for Entry { mutant, schedule, tries, catcher, .. } in table() {
            assert!(schedule.workloads.iter().all(|name| workloads.contains(name)), "{mutant}: {schedule}");
            assert!(schedule.nemeses.iter().all(|name| nemeses.contains(name)), "{mutant}: {schedule}");
            assert!(tries > 0 && schedule.seconds > 0 && !catcher.rules.is_empty(), "{mutant}");
            let checker = checkers.iter().find(|checker| checker.name() == catcher.checker);
            let checker = checker.unwrap_or_else(|| panic!("{mutant}: no checker {}", catcher.checker));
            let unknown = catcher.rules.iter().find(|rule| !checker.rules().contains(rule));
            assert_eq!(unknown, None, "{mutant}: a rule that {} does not have", catcher.checker);
        }
    }
}
