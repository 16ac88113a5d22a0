//! One run of one seed: simulated, judged, and told in numbers.

use std::cell::RefCell;
use std::hash::Hasher;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use jepsen_tests::check::{self, Finding};
use jepsen_tests::history::{Floor, History, Outcome, Phase, Record, Run, Timers};
use kenger_cluster::config::{Compaction, LeaseTimes, Timing};
use serde::{Deserialize, Serialize};

use crate::machine::Settings;
use crate::scenario::{self, Ended, FaultKinds, REST_LIMIT, Script};
use crate::world;

/// Silence after which a node is offline, and after which it is deleted.
const NODE_TTL: Duration = Duration::from_secs(3);
const NODE_DELETE_AFTER: Duration = Duration::from_secs(7);
const LEASE_TICK: Duration = Duration::from_millis(500);
/// Entries between two snapshots, and those that are kept, in the run with the fewest.
const SNAPSHOT_AFTER: std::ops::Range<u64> = 25..150;
const KEEP: std::ops::Range<u64> = 0..25;
/// Members that can be added to a cluster of three; a list of members has five at most.
const SPARES: u64 = 2;
/// Revisions that the feed keeps.
const RING: std::ops::Range<usize> = 20..200;

/// What a run is asked to be.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// What everything is drawn from.
    pub(crate) seed: u64,
    /// How many members.
    pub(crate) members: u64,
    /// How long clients and faults are at work, in simulated time.
    pub(crate) lasts: Duration,
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Told {
    /// All of it.
    pub(crate) history: History,
    /// What the checkers say.
    pub(crate) findings: Vec<Finding>,
    /// What went wrong beside.
    pub(crate) problems: Vec<String>,
    /// In numbers.
    pub(crate) summary: Summary,
}

/// A run in numbers, as one process tells it to another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// What it was asked to be.
    pub(crate) wanted: Wanted,
    /// Of every byte of the history.
    pub(crate) hash: u64,
    /// Operations with an answer.
    pub(crate) answered: u64,
    /// Events that watchers were told.
    pub(crate) events: u64,
    /// Faults that began.
    pub(crate) faults: u64,
    /// Times that another member led in a later term.
    pub(crate) leader_changes: u64,
    /// Lines of the history.
    pub(crate) records: u64,
    /// Who found something, and which rule was broken; empty: the run has passed.
    pub(crate) failures: Vec<Failure>,
}

/// One reason for which a run has failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// The checker and its rules, or `simulation`.
    pub(crate) by: String,
    /// What happened, for people.
    pub(crate) what: String,
}

impl Summary {
    /// Of a run that came to no end that could be told.
    pub(crate) fn broken(wanted: Wanted, what: String) -> Self {
        let failures = vec![Failure { by: "simulation".to_owned(), what }];
        Self { wanted, hash: 0, answered: 0, events: 0, faults: 0, leader_changes: 0, records: 0, failures }
    }

    /// Whether nothing is wrong.
    pub(crate) fn is_pass(&self) -> bool {
        self.failures.is_empty()
    }
}

fn failures(findings: &[Finding], problems: &[String]) -> Vec<Failure> {
    let broken = findings.iter().filter(|finding| !finding.verdict.is_pass()).map(|finding| {
        let rules: Vec<_> = finding.problems.iter().map(|problem| problem.rule.as_str()).collect();
        let what = finding.problems.first().map_or("", |problem| problem.what.as_str());
        let by = format!("{} {} ({})", finding.checker, finding.verdict, unique(&rules).join(", "));
        Failure { by, what: what.to_owned() }
    });
    let beside = problems.iter().map(|what| Failure { by: "simulation".to_owned(), what: what.clone() });
    broken.chain(beside).collect()
}

fn unique<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let mut unique: Vec<&str> = Vec::new();
    for word in words {
        if !unique.contains(word) {
            unique.push(word);
        }
    }
    unique
}

/// Simulates and judges a run.
pub(crate) fn simulate(wanted: Wanted) -> Told {
    // What draws numbers without being given a generator: the SDK's waits.
    fastrand::seed(wanted.seed);
    let mut rng = fastrand::Rng::with_seed(wanted.seed);
    let settings = Settings {
        members: wanted.members,
        spares: if wanted.members == 3 { SPARES } else { 0 },
        lease: LeaseTimes { ttl: NODE_TTL, delete_after: NODE_DELETE_AFTER, tick: LEASE_TICK },
        compaction: Compaction {
            snapshot_after_entries: rng.u64(SNAPSHOT_AFTER),
            keep_entries: rng.u64(KEEP),
            ..Compaction::default()
        },
        feed_ring_revisions: rng.usize(RING),
    };
    let timers = Timers {
        node_ttl: micros(NODE_TTL),
        node_delete_after: micros(NODE_DELETE_AFTER),
        lease_tick: micros(LEASE_TICK),
        election_timeout_max: micros(Timing::default().election_timeout_max),
    };
    let script = script(&mut rng, wanted.lasts, timers);
    let ended: Rc<RefCell<Option<Ended>>> = Rc::default();
    let outside = {
        let (ended, script, rng) = (Rc::clone(&ended), script.clone(), rng.fork());
        move |world| async move {
            let played = scenario::play(world, script, rng).await;
            *ended.borrow_mut() = Some(played);
            Ok(())
        }
    };
    let simulated = catch_unwind(AssertUnwindSafe(|| {
        world::run(rng.u64(..), &settings, wanted.lasts + REST_LIMIT, outside)
    }));
    let Ended { records, mut problems } = ended.take().unwrap_or_default();
    match simulated {
        Ok(Ok(())) => {}
        Ok(Err(error)) => problems.push(format!("the simulation ended: {error}")),
        Err(panic) => problems.push(format!("something panicked: {}", message(&*panic))),
    }
    let history = History { run: describe(&wanted, &script, timers), records };
    tell(wanted, history, problems)
}

fn script(rng: &mut fastrand::Rng, lasts: Duration, timers: Timers) -> Script {
    let mut workloads = vec!["register"];
    match rng.u32(..3) {
        0 => workloads.push("feed"),
        1 => workloads.push("heartbeat"),
        _ => workloads.extend(["feed", "heartbeat"]),
    }
    // Each kind alone now and then, so that what it does is not hidden by the others.
    let faults = match rng.u32(..8) {
        0 => FaultKinds { links: true, machines: false, clocks: false, membership: false },
        1 => FaultKinds { links: false, machines: true, clocks: false, membership: false },
        2 => FaultKinds { links: false, machines: false, clocks: true, membership: false },
        _ => FaultKinds { links: true, machines: true, clocks: rng.bool(), membership: rng.bool() },
    };
    Script { lasts, workloads, faults, timers }
}

fn describe(wanted: &Wanted, script: &Script, timers: Timers) -> Run {
    let seconds = script.lasts.as_secs();
    let kinds = [
        ("links", script.faults.links),
        ("machines", script.faults.machines),
        ("clocks", script.faults.clocks),
        ("membership", script.faults.membership),
    ];
    Run {
        command: replay_command(wanted),
        seed: wanted.seed,
        workloads: script.workloads.iter().map(|name| (*name).to_owned()).collect(),
        nemeses: kinds.iter().filter(|(_, is_on)| *is_on).map(|(name, _)| (*name).to_owned()).collect(),
        members: wanted.members,
        timers,
        floor: Floor { acknowledged: 2 * seconds, faults: 1, ..Floor::default() },
        began_unix_ms: None,
    }
}

/// What repeats a run.
pub(crate) fn replay_command(wanted: &Wanted) -> String {
    let Wanted { seed, members, lasts } = wanted;
    format!("cargo xtask sim -- replay --seed {seed} --members {members} --seconds {}", lasts.as_secs())
}

fn tell(wanted: Wanted, history: History, problems: Vec<String>) -> Told {
    let findings = check::judge(&history);
    let mut summary = Summary {
        wanted,
        hash: hash(&history),
        answered: 0,
        events: 0,
        faults: 0,
        leader_changes: 0,
        records: history.records.len() as u64,
        failures: failures(&findings, &problems),
    };
    let mut leaders = std::collections::BTreeMap::new();
    for record in &history.records {
        match record {
            Record::Operation(operation) => {
                let is_answered = matches!(operation.outcome, Outcome::Done(_) | Outcome::Rejected(_));
                summary.answered += u64::from(is_answered);
            }
            Record::Feed(_) => summary.events += 1,
            Record::Fault(fault) => summary.faults += u64::from(fault.phase == Phase::Begin),
            Record::Lead(lead) => {
                if let Some(leader) = lead.leader {
                    leaders.insert(lead.term, leader);
                }
            }
            _ => {}
        }
    }
    let leaders: Vec<u64> = leaders.into_values().collect();
    summary.leader_changes = leaders.windows(2).filter(|pair| pair[0] != pair[1]).count() as u64;
    Told { history, findings, problems, summary }
}

/// FNV-1a of all that is written of a history.
fn hash(history: &History) -> u64 {
    let mut bytes = Vec::new();
    history.write(&mut bytes).expect("memory takes it");
    let mut hasher = Fnv::default();
    hasher.write(&bytes);
    hasher.finish()
}

struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message").to_owned()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
