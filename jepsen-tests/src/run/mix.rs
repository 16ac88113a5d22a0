//! Which runs a mix is made of: a fixed list, short enough for every change, or ones that are drawn.

use std::time::Duration;

use super::plan::{Backend, MEMBERS, Store};
use crate::{nemesis, workload};

/// A run without its seed and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Combination {
    /// Names of workloads.
    pub workloads: Vec<String>,
    /// Names of nemeses.
    pub nemeses: Vec<String>,
    /// How many members.
    pub members: u64,
    /// For how long clients and nemeses are at work.
    pub time_limit: Duration,
    /// What joins the members.
    pub backend: Backend,
    /// What holds their log.
    pub store: Store,
}

/// The short mix: each nemesis and each workload at least once. Workloads, nemeses, members, seconds,
/// network, store.
type Line = (&'static str, &'static str, u64, u64, Backend, Store);

const SHORT: &[Line] = &[
    ("register,feed", "kill-leader,partition-leader", 3, 16, Backend::Netns, Store::Sled),
    ("heartbeat,bulk", "pause-long,slow-watcher", 3, 16, Backend::Netns, Store::Sled),
    ("gateway,heartbeat", "rolling-restart,clock-jump", 3, 14, Backend::Proxy, Store::Sled),
    ("register,feed", "power-cut,partition-mute", 3, 14, Backend::Netns, Store::Sled),
    ("register,edge", "kill-minority,partition-bridge", 5, 14, Backend::Netns, Store::Redb),
    ("heartbeat,register", "pause-all,partition-deaf", 3, 16, Backend::Proxy, Store::Sled),
    ("register", "power-cut-all,full-disk", 3, 14, Backend::Netns, Store::Sled),
    ("gateway,settled", "kill-all,pause-leader", 3, 14, Backend::Netns, Store::Redb),
    ("register", "read-only-disk,partition-halves", 3, 14, Backend::Netns, Store::Sled),
    ("register,feed", "flipped-bits,kill-follower", 3, 14, Backend::Netns, Store::Sled),
    ("register,heartbeat", "slow-links,pause-minority,partition-ring", 5, 14, Backend::Proxy, Store::Sled),
];

/// The short mix, in its order. The seed of a run is its place in it, from 1.
pub fn short() -> Vec<Combination> {
    let names = |text: &str| text.split(',').map(str::to_owned).collect();
    let combination = |line: &Line| Combination {
        workloads: names(line.0),
        nemeses: names(line.1),
        members: line.2,
        time_limit: Duration::from_secs(line.3),
        backend: line.4,
        store: line.5,
    };
    SHORT.iter().map(combination).collect()
}

/// Draws a run.
pub fn draw(rng: &mut fastrand::Rng) -> Combination {
    let workloads: Vec<_> = workload::all().iter().map(|entry| entry.name.to_owned()).collect();
    let nemeses: Vec<_> = nemesis::all().iter().map(|entry| entry.name.to_owned()).collect();
    let some = |rng: &mut fastrand::Rng, mut names: Vec<String>, most: usize| {
        rng.shuffle(&mut names);
        names.truncate(rng.usize(1..=most));
        names
    };
    Combination {
        workloads: some(rng, workloads, 2),
        nemeses: some(rng, nemeses, 3),
        members: MEMBERS[rng.usize(..MEMBERS.len())],
        time_limit: Duration::from_secs(rng.u64(20..=60)),
        backend: if rng.u32(..3) > 0 && Backend::Netns.missing().is_none() {
            Backend::Netns
        } else {
            Backend::Proxy
        },
        store: if rng.u32(..3) > 0 { Store::Sled } else { Store::Redb },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_short_mix_has_everything_and_only_what_there_is() {
        let runs = short();
        let used = |names: fn(&Combination) -> &Vec<String>| -> BTreeSet<String> {
            runs.iter().flat_map(|run| names(run).clone()).collect()
        };
        let workloads: BTreeSet<_> = workload::all().iter().map(|entry| entry.name.to_owned()).collect();
        assert_eq!(used(|run| &run.workloads), workloads);
        let mut nemeses: BTreeSet<_> = nemesis::all().iter().map(|entry| entry.name.to_owned()).collect();
        // Draws from the others, which a fixed list does not want.
        nemeses.remove("mix");
        assert_eq!(used(|run| &run.nemeses), nemeses);
    }

    #[test]
    fn the_same_seed_draws_the_same_runs() {
        let runs = |seed| {
            let mut rng = fastrand::Rng::with_seed(seed);
            (0..20).map(|_| draw(&mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(runs(1), runs(1));
        assert_ne!(runs(1), runs(2));
    }
}
