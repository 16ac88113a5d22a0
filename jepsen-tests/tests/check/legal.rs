//! Legal histories pass, however they came about; a history that was changed at one place does not.

use std::time::Duration;

use jepsen_tests::check::{self, Finding, Verdict};
use tokio::time::Instant;

use crate::world::{Size, history};

const SMALL: Size = Size {
    clients: 4,
    keys: 3,
    operations_per_client: 60,
    watchers: 3,
    pause: 100_000,
    ttl: 1_000_000,
    unanswered: 8,
};

/// Nodes are left alone for long enough to go offline, come back, and be deleted.
const QUIET: Size = Size {
    clients: 3,
    keys: 6,
    operations_per_client: 60,
    watchers: 3,
    pause: 1_000_000,
    ttl: 1_000_000,
    unanswered: 8,
};

fn failed(findings: Vec<Finding>) -> Vec<Finding> {
    findings.into_iter().filter(|finding| !finding.verdict.is_pass()).collect()
}

/// What a checker counted.
fn figure(findings: &[Finding], checker: &str, name: &str) -> f64 {
    let finding = findings.iter().find(|finding| finding.checker == checker).unwrap();
    finding.figures.iter().find(|(it, _)| it == name).map_or(0.0, |(_, value)| *value)
}

fn pass(seeds: std::ops::Range<u64>, size: Size) -> (f64, f64) {
    let (mut offline, mut open) = (0.0, 0.0);
    for seed in seeds {
        let findings = check::judge(&history(seed, size));
        offline += figure(&findings, "heartbeats", "went offline");
        open += figure(&findings, "linearizable", "operations that may never have happened");
        let failed = failed(findings);
        assert!(failed.is_empty(), "seed {seed}: {failed:#?}");
    }
    (offline, open)
}

#[test]
fn legal_histories_pass() {
    pass(0..60, SMALL);
}

#[test]
fn legal_histories_in_which_nodes_expire_pass() {
    let (offline, _) = pass(0..60, QUIET);
    assert!(offline > 500.0, "{offline} expiries");
}

#[test]
fn legal_histories_pass_without_the_feed() {
    let (_, open) = pass(0..100, Size { watchers: 0, unanswered: 3, ..SMALL });
    assert!(open > 200.0, "{open} requests without an answer were left to the search");
    pass(0..50, Size { watchers: 0, unanswered: 3, ..QUIET });
}

/// A minute of much traffic is judged in a few seconds, also unoptimized.
#[tokio::test]
async fn a_long_history_is_judged_in_time() {
    let size = Size {
        clients: 10,
        keys: 20,
        operations_per_client: 2_000,
        watchers: 3,
        pause: 40_000,
        ttl: 3_000_000,
        unanswered: 2,
    };
    let history = history(1, size);
    let begun = Instant::now();
    let evidence = check::Evidence::of(&history);
    println!("{} records read in {:?}", history.records.len(), begun.elapsed());
    let mut findings = Vec::new();
    for checker in check::all() {
        let begun = Instant::now();
        findings.push(checker.judge(&evidence));
        println!("{} in {:?}", checker.name(), begun.elapsed());
    }
    let took = begun.elapsed();
    for finding in &findings {
        println!("{}: {} {:?}", finding.checker, finding.verdict, finding.figures);
    }
    assert!(findings.iter().all(|finding| finding.verdict != Verdict::Unknown));
    assert!(failed(findings).is_empty());
    // Five times what it takes on a machine with nothing else to do.
    assert!(took < Duration::from_secs(30), "{took:?}");
}
