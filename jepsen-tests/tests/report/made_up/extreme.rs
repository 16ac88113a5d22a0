//! Runs at the edges: nothing at all, very much, and strings and numbers that mean harm.

use jepsen_tests::check::{Finding, Problem, Verdict};
use jepsen_tests::history::{
    Action, Answer, Fault, FeedItem, FeedRecord, Floor, Happened, History, Key, Lead, LifeRecord, Operation,
    Outcome, Phase, Proxied, Record, Run, StateRecord,
};
use jepsen_tests::report::MemberLog;

use super::model::good;
use super::{Case, run};

/// Begins with what it is to be looked for by; the rest is here to be cut off.
fn harm() -> String {
    format!(
        "</script><b>&\"'<img src=x onerror=alert(1)>]]>{{{{7*7}}}}\u{0}\u{1b}[31m\u{202e}\u{ffff}{}",
        "<\"&".repeat(700)
    )
}

pub(crate) fn empty() -> Case {
    let run = Run { workloads: Vec::new(), nemeses: Vec::new(), began_unix_ms: None, ..run(0) };
    Case {
        history: History { run, records: Vec::new() },
        findings: Vec::new(),
        failures: Vec::new(),
        logs: Vec::new(),
    }
}

/// A good run, many times over: 20,000 operations of many keys, with as much of all else.
pub(crate) fn huge() -> Case {
    let mut case = good(3);
    let minute = case.history.records.clone();
    for round in 1..8_u64 {
        let shift = |at: u64| at + round * 60_000_000;
        case.history.records.extend(minute.iter().cloned().map(|mut record| {
            match &mut record {
                Record::Operation(o) => {
                    (o.called, o.returned, o.key.port) =
                        (shift(o.called), shift(o.returned), o.key.port + u16::try_from(round).unwrap() * 10);
                }
                Record::Proxied(p) => (p.called, p.returned) = (shift(p.called), shift(p.returned)),
                Record::Feed(feed) => feed.at = shift(feed.at),
                Record::Fault(fault) => {
                    (fault.at, fault.number) =
                        (shift(fault.at), fault.number + 100 * u32::try_from(round).unwrap());
                }
                Record::Lead(lead) => (lead.at, lead.term) = (shift(lead.at), lead.term + round * 3),
                Record::State(_) | Record::Life(_) => {}
            }
            record
        }));
    }
    if let Some(Record::Operation(slow)) = case.history.records.iter_mut().rev().find(|record| {
        matches!(record, Record::Operation(Operation { outcome: Outcome::Done(_), action: Action::Read, .. }))
    }) {
        slow.called = slow.returned - 29_000_000;
    }
    for number in 0..1_000_u32 {
        for phase in [Phase::Begin, Phase::End] {
            let at = u64::from(number) * 480_000 + if phase == Phase::End { 300_000 } else { 0 };
            case.history.records.push(fault(at, &format!("fault-{}", number % 30), 10_000 + number, phase));
        }
    }
    let keys: std::collections::BTreeSet<String> =
        case.history.operations().map(|o| o.key.to_string()).collect();
    let all = case.history.records.len();
    for (index, key) in keys.into_iter().enumerate() {
        let records = (0..200).map(|n| (index * 977 + n * 31) % all).collect();
        let what = "made up: ".to_owned() + &"long ".repeat(100);
        case.findings[0].verdict = Verdict::Invalid;
        case.findings[0].problems.push(Problem {
            rule: "stale_read".to_owned(),
            what,
            key: Some(key),
            at: None,
            records,
        });
    }
    for log in &mut case.logs {
        log.text = log.text.repeat(300);
    }
    case
}

fn fault(at: u64, name: &str, number: u32, phase: Phase) -> Record {
    let detail = "many of them".to_owned();
    let evidence = (!number.is_multiple_of(7)).then(|| "seen".to_owned());
    Record::Fault(Fault {
        at,
        name: name.to_owned(),
        number,
        members: vec![u64::from(number) % 3 + 1],
        phase,
        evidence,
        detail,
    })
}

/// Every string means harm, and every number is at its edge.
pub(crate) fn hostile() -> Case {
    let run = Run {
        command: harm(),
        seed: u64::MAX,
        workloads: vec![harm(); 3],
        nemeses: vec![harm(); 3],
        members: u64::MAX,
        timers: jepsen_tests::history::Timers {
            node_ttl: u64::MAX,
            node_delete_after: 0,
            lease_tick: u64::MAX,
            election_timeout_max: 0,
        },
        floor: Floor::default(),
        began_unix_ms: Some(u64::MAX),
    };
    let mut records: Vec<Record> = (0..150_u64).flat_map(hostile_records).collect();
    let key = Key { ns: harm(), host: harm(), port: 0 }.to_string();
    let finding = |number: usize| Finding {
        checker: format!("{number}{}", harm()),
        verdict: [Verdict::Invalid, Verdict::Unknown][number % 2],
        problems: (0..20)
            .map(|problem| Problem {
                rule: harm(),
                what: harm(),
                key: (problem % 2 == 0).then(|| format!("{key}{}", problem % 5)),
                at: [None, Some(0), Some(u64::MAX)][problem % 3],
                records: (0..300).map(|n| n * 7 + problem).chain([usize::MAX]).collect(),
            })
            .collect(),
        figures: vec![(harm(), f64::NAN), (harm(), f64::INFINITY), (harm(), -1e300), (harm(), 1e-300)],
    };
    let mut findings: Vec<Finding> = (0..60).map(finding).collect();
    findings[0].problems[0].key = Some(key);
    records.push(Record::Life(LifeRecord { at: u64::MAX, process: harm(), happened: Happened::Started }));
    let lines = format!("2026-11-26T18:00:00.000000Z  WARN {}\n9999-99-99T99:99:99Z x\n-\n", harm());
    let logs = (0..20).map(|member| MemberLog { member, text: lines.repeat(50) }).collect();
    Case { history: History { run, records }, findings, failures: vec![harm(); 50], logs }
}

fn hostile_records(number: u64) -> Vec<Record> {
    // Ends before it begins, every third time.
    let (called, returned) =
        [(0, u64::MAX), (number * 1_000, number * 1_000 + 5), (u64::MAX, 0)][(number % 3) as usize];
    let key = Key { ns: harm(), host: harm(), port: 0 };
    let process = u32::try_from(number % 97).unwrap();
    let outcome = match number % 5 {
        0 => Outcome::Unknown { reason: harm() },
        1 => Outcome::Foreign { what: harm() },
        2 => Outcome::NotDone { reason: harm() },
        3 => Outcome::Done(Answer::Mismatch { current: Some(u64::MAX) }),
        _ => Outcome::Rejected(Answer::Nothing),
    };
    let action = Action::Register { weight: u32::MAX, value: u64::MAX, if_revision: Some(u64::MAX) };
    let item = match number % 3 {
        0 => FeedItem::Opened { after: Some(u64::MAX), namespaces: vec![harm(); (number % 2) as usize] },
        1 => FeedItem::Change { id: Some(number % 2 * u64::MAX), body: harm() },
        _ => FeedItem::Ended { reason: harm() },
    };
    let phase = if number.is_multiple_of(2) { Phase::Begin } else { Phase::End };
    let members = vec![u64::MAX; 50];
    vec![
        Record::Operation(Operation { process, member: u64::MAX, key, action, called, returned, outcome }),
        Record::Feed(FeedRecord { at: called, watcher: process, member: number, item }),
        Record::Fault(Fault {
            at: returned,
            name: format!("{}{}", number % 20, harm()),
            number: process,
            members,
            phase,
            evidence: Some(harm()),
            detail: harm(),
        }),
        Record::Lead(Lead {
            at: called,
            member: number,
            term: u64::MAX - number,
            leader: Some(u64::MAX - number),
        }),
        Record::State(StateRecord {
            asked: called,
            at: called,
            member: number,
            revision: u64::MAX,
            namespaces: Vec::new(),
            nodes: Vec::new(),
            is_final: true,
        }),
        Record::Life(LifeRecord {
            at: returned,
            process: harm(),
            happened: Happened::Ended { how: harm(), is_expected: false },
        }),
        Record::Proxied(Proxied {
            called,
            returned,
            gateway: process,
            status: None,
            node: Some(harm()),
            error: Some(harm()),
        }),
    ]
}
