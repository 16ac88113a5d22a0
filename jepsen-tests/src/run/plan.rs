//! What a run is to do, as it was asked for.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::harness::{Namespaces, Network, Proxies, Settings};
use crate::history::{Floor, Timers};
use crate::{nemesis, workload};

/// Shortest and longest time in which clients and nemeses are at work.
pub const TIME_LIMITS: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(5)..=Duration::from_secs(3_600);
/// Sizes of clusters.
pub const MEMBERS: [u64; 2] = [3, 5];
/// How long a run may take beyond its time limit: to start, to recover, to be read and judged.
const EXTRA: Duration = Duration::from_secs(240);

/// What joins the members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A network namespace for each, with packets that are dropped; needs root.
    Netns,
    /// A proxy in front of each, which is a little less than a network and needs nothing.
    Proxy,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Backend::Netns => "netns",
            Backend::Proxy => "proxy",
        })
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "netns" => Ok(Backend::Netns),
            "proxy" => Ok(Backend::Proxy),
            other => Err(format!("{other:?} is not one of netns, proxy")),
        }
    }
}

impl Backend {
    /// What this machine lacks for it.
    pub fn missing(self) -> Option<String> {
        match self {
            Backend::Netns => Namespaces::missing(),
            Backend::Proxy => None,
        }
    }

    /// Makes it, for the thread that calls.
    pub(super) fn network(self, plan: &Plan) -> Result<Box<dyn Network>, String> {
        match self {
            Backend::Netns => match Namespaces::missing() {
                Some(reason) => Err(format!("{reason}; try --backend proxy")),
                None => Ok(Box::new(Namespaces::enter(plan.members))),
            },
            Backend::Proxy => Ok(Box::new(Proxies::new(plan.members, plan.seed)?)),
        }
    }
}

/// The engine that holds the members' log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// The default.
    Sled,
    /// The other one.
    Redb,
}

impl Store {
    /// As `kenger serve --store` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Store::Sled => "sled",
            Store::Redb => "redb",
        }
    }
}

impl FromStr for Store {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Store::Sled, Store::Redb]
            .into_iter()
            .find(|store| store.name() == text)
            .ok_or_else(|| format!("{text:?} is not one of sled, redb"))
    }
}

/// What a run is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Names of workloads, at least one.
    pub workloads: Vec<String>,
    /// Names of nemeses.
    pub nemeses: Vec<String>,
    /// How many members.
    pub members: u64,
    /// For how long clients and nemeses are at work.
    pub time_limit: Duration,
    /// What everything is drawn from that is drawn.
    pub seed: u64,
    /// What joins the members.
    pub backend: Backend,
    /// What holds their log.
    pub store: Store,
    /// The directory of the run.
    pub folder: PathBuf,
    /// After this time the run has failed, whatever it is at; `None`: some minutes more than the time
    /// limit.
    pub hard_limit: Option<Duration>,
}

impl Plan {
    /// Looks whether it makes sense.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        if self.workloads.is_empty() {
            return Err("give at least one workload".to_owned());
        }
        let known = workload::all().iter().map(|entry| entry.name).collect::<Vec<_>>();
        names("workload", &self.workloads, &known)?;
        let known = nemesis::all().iter().map(|entry| entry.name).collect::<Vec<_>>();
        names("nemesis", &self.nemeses, &known)?;
        if !MEMBERS.contains(&self.members) {
            return Err(format!(
                "a cluster has {} or {} members, not {}",
                MEMBERS[0], MEMBERS[1], self.members
            ));
        }
        if !TIME_LIMITS.contains(&self.time_limit) {
            let (min, max) = (TIME_LIMITS.start(), TIME_LIMITS.end());
            return Err(format!("the time limit is from {min:?} to {max:?}, not {:?}", self.time_limit));
        }
        Ok(())
    }

    /// The command that repeats it.
    pub fn command(&self) -> String {
        format!("cargo run -p jepsen-tests -- {}", self.arguments().join(" "))
    }

    /// The arguments of that command.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["run".to_owned()];
        let mut add = |flag: &str, value: String| {
            if !value.is_empty() {
                arguments.extend([format!("--{flag}"), value]);
            }
        };
        add("workload", self.workloads.join(","));
        add("nemesis", self.nemeses.join(","));
        add("nodes", self.members.to_string());
        add("time-limit", self.time_limit.as_secs().to_string());
        add("seed", self.seed.to_string());
        add("backend", self.backend.to_string());
        add("store", self.store.name().to_owned());
        arguments
    }

    /// After this time it has failed.
    pub fn hard_limit(&self) -> Duration {
        self.hard_limit.unwrap_or(self.time_limit + EXTRA)
    }

    /// How the members are started, if no workload and no nemesis wants it otherwise: everything that
    /// happens seldom in service happens often.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            members: self.members,
            store: self.store.name(),
            node_ttl: Duration::from_secs(4),
            node_delete_after: Duration::from_secs(9),
            snapshot_after_entries: 150,
            snapshot_keep_entries: 20,
            feed_ring: 160,
            logs: Some(self.folder.clone()),
            ..Settings::default()
        }
    }

    pub(super) fn nemeses(&self) -> Vec<(String, Box<dyn nemesis::Nemesis>)> {
        let all = nemesis::all();
        let make = |name: &String| {
            let entry = all.iter().find(|entry| entry.name == *name);
            (name.clone(), (entry.expect("checked before").make)())
        };
        self.nemeses.iter().map(make).collect()
    }

    pub(super) fn workloads(&self) -> Vec<Box<dyn workload::Workload>> {
        let all = workload::all();
        let make = |name: &String| {
            let entry = all.iter().find(|entry| entry.name == *name);
            (entry.expect("checked before").make)()
        };
        self.workloads.iter().map(make).collect()
    }
}

fn names(what: &str, given: &[String], known: &[&str]) -> Result<(), String> {
    for (place, name) in given.iter().enumerate() {
        if !known.contains(&name.as_str()) {
            return Err(format!("there is no {what} {name:?}; there are {}", known.join(", ")));
        }
        if given[..place].contains(name) {
            return Err(format!("{what} {name} is named twice"));
        }
    }
    Ok(())
}

/// What a checker has to know of the members' settings.
pub(super) fn timers(settings: &Settings) -> Timers {
    let micros = |time: Duration| u64::try_from(time.as_micros()).expect("timers are short");
    Timers {
        node_ttl: micros(settings.node_ttl),
        node_delete_after: micros(settings.node_delete_after),
        lease_tick: micros(settings.lease_tick),
        election_timeout_max: micros(settings.election_timeout_max),
    }
}

/// What of all floors has to be reached, see [`workload::Workload::floor`].
pub(super) fn floor_of(of_workloads: &[Floor], of_nemeses: &[Floor]) -> Floor {
    let most =
        |figure: fn(&Floor) -> u64| of_workloads.iter().chain(of_nemeses).map(figure).max().unwrap_or(0);
    let per_key = of_workloads.iter().map(|floor| floor.acknowledged_per_key);
    Floor {
        acknowledged: most(|floor| floor.acknowledged),
        acknowledged_per_key: per_key.min().unwrap_or(0),
        leader_changes: most(|floor| floor.leader_changes),
        faults: most(|floor| floor.faults),
        changes_per_watcher: most(|floor| floor.changes_per_watcher),
        proxied: most(|floor| floor.proxied),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            workloads: vec!["register".to_owned()],
            nemeses: Vec::new(),
            members: 3,
            time_limit: Duration::from_secs(20),
            seed: 7,
            backend: Backend::Netns,
            store: Store::Sled,
            folder: PathBuf::from("x"),
            hard_limit: None,
        }
    }

    #[test]
    fn a_plan_that_makes_no_sense_says_why() {
        assert_eq!(plan().check(), Ok(()));
        let wrong = [
            (Plan { workloads: vec![], ..plan() }, "at least one"),
            (Plan { workloads: vec!["regster".to_owned()], ..plan() }, "there is no workload \"regster\""),
            (Plan { workloads: vec!["feed".to_owned(), "feed".to_owned()], ..plan() }, "named twice"),
            (Plan { nemeses: vec!["meteor".to_owned()], ..plan() }, "there is no nemesis \"meteor\""),
            (Plan { members: 4, ..plan() }, "3 or 5 members, not 4"),
            (Plan { time_limit: Duration::from_secs(1), ..plan() }, "the time limit is from 5s"),
        ];
        for (plan, what) in wrong {
            let said = plan.check().expect_err(what);
            assert!(said.contains(what), "{said:?} says nothing of {what:?}");
        }
    }

    #[test]
    fn the_command_names_everything_that_a_run_is_drawn_from() {
        let command = plan().command();
        let expected = "cargo run -p jepsen-tests -- run --workload register --nodes 3 --time-limit 20 --seed 7 \
                        --backend netns --store sled";
        assert_eq!(command, expected);
    }

    #[test]
    fn of_several_floors_the_highest_counts_but_of_keys_the_lowest() {
        let a = Floor { acknowledged: 10, acknowledged_per_key: 5, ..Floor::default() };
        let b = Floor { acknowledged: 3, acknowledged_per_key: 1, leader_changes: 2, ..Floor::default() };
        let c = Floor { proxied: 9, ..Floor::default() };
        let all = floor_of(&[a, b], &[c]);
        let expected = Floor {
            acknowledged: 10,
            acknowledged_per_key: 1,
            leader_changes: 2,
            proxied: 9,
            ..Floor::default()
        };
        assert_eq!(all, expected);
        assert_eq!(floor_of(&[a, Floor::default()], &[]).acknowledged_per_key, 0, "one says nothing of keys");
    }
}
