//! Runs that never were: what a cluster could have done, drawn from a seed.

pub(crate) mod bad;
mod extreme;
mod model;

use jepsen_tests::check::{Finding, Verdict};
use jepsen_tests::history::{Floor, History, Run, Timers};
use jepsen_tests::report::MemberLog;

pub(crate) use extreme::{empty, hostile, huge};
pub(crate) use model::good;

/// 2026-11-26T18:00:00Z.
pub(crate) const BEGAN_UNIX_MS: u64 = 1_795_716_000_000;

/// All that a report is made from.
pub(crate) struct Case {
    pub(crate) history: History,
    pub(crate) findings: Vec<Finding>,
    pub(crate) failures: Vec<String>,
    pub(crate) logs: Vec<MemberLog>,
}

pub(crate) fn run(seed: u64) -> Run {
    Run {
        command: format!(
            "cargo run -p jepsen-tests -- run --workload register,feed,gateway --nemesis kill,pause,partition \
             --nodes 3 --time-limit 60 --seed {seed} --backend netns"
        ),
        seed,
        workloads: ["register", "feed", "gateway"].map(str::to_owned).into(),
        nemeses: ["kill", "pause", "partition"].map(str::to_owned).into(),
        members: 3,
        timers: Timers {
            node_ttl: 3_000_000,
            node_delete_after: 9_000_000,
            lease_tick: 200_000,
            election_timeout_max: 1_000_000,
        },
        floor: Floor::default(),
        began_unix_ms: Some(BEGAN_UNIX_MS),
    }
}

pub(crate) fn finding(checker: &str, verdict: Verdict, figures: &[(&str, f64)]) -> Finding {
    let figures = figures.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    Finding { checker: checker.to_owned(), verdict, problems: Vec::new(), figures }
}

/// What checkers say about a run that is as it should be.
pub(crate) fn findings() -> Vec<Finding> {
    vec![
        finding(
            "linearizable",
            Verdict::Valid,
            &[("operations", 3120.0), ("keys", 3.0), ("states_searched", 48_211.0)],
        ),
        finding("revisions", Verdict::Valid, &[("revisions", 1480.0)]),
        finding("feed", Verdict::Valid, &[("watchers", 3.0), ("changes", 4440.0), ("resumes", 7.0)]),
        finding("heartbeats", Verdict::NotApplicable, &[]),
        finding("durability", Verdict::Valid, &[("acknowledged", 1480.0)]),
        finding("agreement", Verdict::Valid, &[("states", 12.0)]),
        finding("recovery", Verdict::Valid, &[("seconds", 1.2345)]),
        finding("availability", Verdict::Valid, &[("requests", 3000.0), ("failed_share", 0.0021)]),
        finding("vacuity", Verdict::Valid, &[]),
    ]
}
