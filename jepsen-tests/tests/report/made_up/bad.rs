//! Runs in which one promise was broken, one of each kind, as a checker would report them.

use jepsen_tests::check::{Finding, Problem, Verdict};
use jepsen_tests::history::{
    Answer, FeedItem, Happened, History, LifeRecord, Micros, Operation, Outcome, Proxied, Record, StateRecord,
};

use super::model::{good, key};
use super::{Case, finding};

pub(crate) const KINDS: &[&str] = &[
    "stale-read",
    "lost-write",
    "feed-gap",
    "dropped-node",
    "disagreement",
    "unavailable",
    "slow-recovery",
    "vacuous",
    "undecided",
    "failed",
    "several",
];

pub(crate) fn make(kind: &str) -> Case {
    let mut case = good(7);
    match kind {
        "stale-read" => stale_read(&mut case),
        "lost-write" => lost_write(&mut case),
        "feed-gap" => feed_gap(&mut case),
        "dropped-node" => dropped_node(&mut case),
        "disagreement" => disagreement(&mut case),
        "unavailable" => unavailable(&mut case),
        "slow-recovery" => slow_recovery(&mut case),
        "vacuous" => {
            let what = "no member but the first one ever led: 0 of 1 leader changes".to_owned();
            blame(
                &mut case,
                "vacuous",
                Verdict::Invalid,
                Problem { what, ..problem("leader_changes", None) },
            );
        }
        "undecided" => {
            let what = "the search was given up after 5,000,000 states".to_owned();
            let problem = Problem { what, ..problem("too_hard", Some(key(8002).to_string())) };
            blame(&mut case, "linearizable", Verdict::Unknown, problem);
        }
        "failed" => {
            case.failures.push("while waiting for a leader: the harness panicked: no leader".to_owned());
        }
        "several" => {
            stale_read(&mut case);
            lost_write(&mut case);
            feed_gap(&mut case);
        }
        other => panic!("no such kind: {other}"),
    }
    case
}

fn problem(rule: &str, key: Option<String>) -> Problem {
    Problem { rule: rule.to_owned(), what: String::new(), key, at: None, records: Vec::new() }
}

/// Lets a checker report a problem.
fn blame(case: &mut Case, checker: &str, verdict: Verdict, problem: Problem) {
    if !case.findings.iter().any(|finding| finding.checker == checker) {
        case.findings.push(finding(checker, verdict, &[]));
    }
    let finding: &mut Finding = case.findings.iter_mut().find(|finding| finding.checker == checker).unwrap();
    finding.verdict = verdict;
    finding.problems.push(problem);
}

/// Reads of the key in question that showed a node, and when.
fn reads(history: &History, port: u16, from: Micros) -> impl Iterator<Item = (usize, &Operation)> {
    history.records.iter().enumerate().filter_map(move |(index, record)| match record {
        Record::Operation(operation)
            if operation.key == key(port)
                && operation.called >= from
                && matches!(operation.outcome, Outcome::Done(Answer::Node(_))) =>
        {
            Some((index, operation))
        }
        _ => None,
    })
}

/// A read shows what was there before an acknowledged write, shortly after a kill.
fn stale_read(case: &mut Case) {
    let found = |wanted: bool, from| {
        reads(&case.history, 8001, from)
            .find(|(_, operation)| operation.action.is_write() == wanted)
            .unwrap()
            .0
    };
    let old = found(true, 18_000_000);
    let write = found(true, 20_500_000);
    let Record::Operation(written) = &case.history.records[write] else { unreachable!() };
    let read = found(false, written.returned + 1);
    let Record::Operation(Operation { outcome: before, .. }) = case.history.records[old].clone() else {
        unreachable!()
    };
    let Record::Operation(operation) = &mut case.history.records[read] else { unreachable!() };
    operation.outcome = before;
    let at = Some(operation.returned);
    let what = "a read shows a revision that an acknowledged write had replaced before it began".to_owned();
    let problem = problem("stale_read", Some(key(8001).to_string()));
    blame(
        case,
        "linearizable",
        Verdict::Invalid,
        Problem { what, at, records: vec![write, read], ..problem },
    );
}

/// The last acknowledged write of a key is in no state at the end.
fn lost_write(case: &mut Case) {
    let write =
        reads(&case.history, 8002, 55_000_000).find(|(_, operation)| operation.action.is_write()).unwrap().0;
    for member in 1..=3 {
        case.history.records.push(Record::State(state(61_000_000 + member, member, 1_300, true)));
    }
    let state = case.history.records.len() - 1;
    let what = "an acknowledged write is in no member's state at the end".to_owned();
    let problem = problem("lost", Some(key(8002).to_string()));
    blame(case, "durability", Verdict::Invalid, Problem { what, records: vec![write, state], ..problem });
}

fn state(at: Micros, member: u64, revision: u64, is_final: bool) -> StateRecord {
    StateRecord { asked: at, at, member, revision, namespaces: Vec::new(), nodes: Vec::new(), is_final }
}

/// Two revisions never reach a watcher.
fn feed_gap(case: &mut Case) {
    let is_told = |record: &Record| {
        matches!(record, Record::Feed(feed) if feed.watcher == 3 && feed.at > 41_000_000
            && matches!(feed.item, FeedItem::Change { .. }))
    };
    let told: Vec<usize> = (0..case.history.records.len())
        .filter(|index| is_told(&case.history.records[*index]))
        .take(4)
        .collect();
    let what = "watcher 3 was not told of 2 revisions".to_owned();
    // Removing would move the records behind; what they were does not matter here.
    for index in [told[1], told[2]] {
        let at = Happened::Ready;
        case.history.records[index] =
            Record::Life(LifeRecord { at: 41_000_000, process: "member 1".to_owned(), happened: at });
    }
    let records = vec![told[0], told[3]];
    blame(case, "feed", Verdict::Invalid, Problem { what, records, ..problem("gap", None) });
}

/// A node that kept beating is seen offline.
fn dropped_node(case: &mut Case) {
    let found =
        reads(&case.history, 8003, 30_000_000).find(|(_, operation)| !operation.action.is_write()).unwrap();
    let (read, at) = (found.0, Some(found.1.returned));
    let beats: Vec<usize> = case.history.records[..read]
        .iter()
        .enumerate()
        .filter(|(_, record)| {
            matches!(record, Record::Operation(operation) if operation.key == key(8003)
                && operation.action == jepsen_tests::history::Action::Heartbeat)
        })
        .map(|(index, _)| index)
        .collect();
    let records = beats[beats.len() - 3..].iter().copied().chain([read]).collect();
    let what = "a node is offline 0.4 s after an acknowledged heartbeat".to_owned();
    let problem = problem("dropped", Some(key(8003).to_string()));
    blame(case, "heartbeats", Verdict::Invalid, Problem { what, at, records, ..problem });
}

/// Two members have another state at the same revision.
fn disagreement(case: &mut Case) {
    let records = [1, 3].map(|member| {
        case.history.records.push(Record::State(state(61_000_000 + member, member, 1_480, true)));
        case.history.records.len() - 1
    });
    let what = "members 1 and 3 have different nodes at revision 1480".to_owned();
    let records = records.into();
    blame(case, "agreement", Verdict::Invalid, Problem { what, records, ..problem("different", None) });
}

/// Requests through a gateway fail for longer than they may.
fn unavailable(case: &mut Case) {
    let mut records = Vec::new();
    for (index, record) in case.history.records.iter_mut().enumerate() {
        if let Record::Proxied(proxied @ Proxied { called: 41_000_000..43_000_000, .. }) = record {
            (proxied.status, proxied.node) = (None, None);
            proxied.error = Some("connection reset".to_owned());
            proxied.returned = proxied.called + 15_000;
            records.push(index);
        }
    }
    let what = format!("{} requests in a row failed, over 2.0 s", records.len());
    let at = Some(41_000_000);
    blame(case, "availability", Verdict::Invalid, Problem { what, at, records, ..problem("failed", None) });
}

/// Nothing is acknowledged for too long after the last fault.
fn slow_recovery(case: &mut Case) {
    for record in &mut case.history.records {
        if let Record::Operation(operation) = record
            && (47_000_000..56_000_000).contains(&operation.called)
        {
            operation.outcome = Outcome::NotDone { reason: "503 no_leader".to_owned() };
        }
    }
    let what = "the first write was acknowledged 9.0 s after the last fault; 5.0 s are allowed".to_owned();
    let at = Some(52_000_000);
    blame(case, "recovery", Verdict::Invalid, Problem { what, at, ..problem("slow", None) });
}
