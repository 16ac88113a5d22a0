//! A small model of a cluster that keeps its promises, asked by clients while members fail.

use std::collections::BTreeMap;
use std::fmt::Write;

use fastrand::Rng;
use jepsen_tests::history::{
    Action, Answer, Fault, FeedItem, FeedRecord, History, Key, Lead, Micros, Observed, Operation, Outcome,
    Phase, Proxied, Record,
};
use jepsen_tests::report::MemberLog;
use kenger_types::NodeStatus;

use super::{Case, findings, run};

const SECOND: Micros = 1_000_000;
const LENGTH: Micros = 60 * SECOND;

/// Faults: name, members, begin and end in tenths of a second, and whether the cluster falters.
const FAULTS: [(&str, &[u64], u64, u64, bool); 4] = [
    ("kill", &[2], 190, 232, true),
    ("pause", &[3], 280, 310, false),
    ("partition", &[1], 400, 460, true),
    ("kill", &[3], 455, 470, false),
];

/// The state of a node in the model.
type Registered = Option<Observed>;

pub(crate) struct Model {
    rng: Rng,
    pub(crate) records: Vec<Record>,
    nodes: BTreeMap<u16, Registered>,
    revision: u64,
    next_id: u64,
    /// Each revision and when it came.
    changes: Vec<(u64, Micros)>,
}

pub(crate) fn key(port: u16) -> Key {
    Key { ns: "shop".to_owned(), host: "192.0.2.10".to_owned(), port }
}

/// A run of a minute in which all promises were kept.
pub(crate) fn good(seed: u64) -> Case {
    let mut model = Model {
        rng: Rng::with_seed(seed),
        records: Vec::new(),
        nodes: (8001..8004).map(|port| (port, None)).collect(),
        revision: 0,
        next_id: 1,
        changes: Vec::new(),
    };
    model.operations(5, LENGTH);
    model.watchers(3);
    model.gateway();
    model.faults_and_leads();
    // A stable sort: what was noted at one moment stays in its order.
    model.records.sort_by_key(noted);
    let history = History { run: run(seed), records: model.records };
    Case { logs: logs(&history), findings: findings(), failures: Vec::new(), history }
}

/// When a record was noted.
fn noted(record: &Record) -> Micros {
    match record {
        Record::Operation(operation) => operation.returned,
        Record::Proxied(proxied) => proxied.returned,
        Record::Feed(feed) => feed.at,
        Record::Fault(fault) => fault.at,
        Record::Lead(lead) => lead.at,
        Record::State(state) => state.at,
        Record::Life(life) => life.at,
    }
}

/// Whether there was no leader then: the first 1.4 s of faults that hit one.
fn is_faltering(at: Micros) -> bool {
    FAULTS.iter().any(|fault| fault.4 && (fault.2 * 100_000..fault.2 * 100_000 + 1_400_000).contains(&at))
}

impl Model {
    /// Clients that ask one thing after the other, each at its own pace.
    fn operations(&mut self, processes: u32, length: Micros) {
        let mut next: Vec<Micros> = (0..processes).map(|process| u64::from(process) * 10_000).collect();
        loop {
            let process = (0..next.len()).min_by_key(|process| next[*process]).unwrap();
            let called = next[process];
            if called >= length {
                return;
            }
            let port = self.rng.u16(8001..8004);
            let action = self.action(port);
            let (outcome, took) = self.ask(port, &action, called);
            let returned = called + took;
            self.records.push(Record::Operation(Operation {
                process: u32::try_from(process).unwrap(),
                member: self.rng.u64(1..4),
                key: key(port),
                action,
                called,
                returned,
                outcome,
            }));
            next[process] = returned + self.rng.u64(20_000..140_000);
        }
    }

    fn action(&mut self, port: u16) -> Action {
        let current = self.nodes[&port].as_ref().map(|node| node.mod_revision);
        let if_revision =
            (self.rng.u8(..4) == 0).then(|| current.unwrap_or(0).saturating_sub(self.rng.u64(..2)));
        match self.rng.u8(..20) {
            0..7 => Action::Register { weight: 100, value: self.rng.u64(1..10_000), if_revision },
            7..10 => {
                Action::SetWeight { weight: (self.rng.bool()).then(|| self.rng.u32(..200)), if_revision }
            }
            10 => Action::Deregister { if_revision },
            11..13 => Action::Heartbeat,
            _ => Action::Read,
        }
    }

    fn ask(&mut self, port: u16, action: &Action, at: Micros) -> (Outcome, Micros) {
        // Mostly some milliseconds, sometimes much more.
        let took =
            900 + self.rng.u64(..2_500) + if self.rng.u8(..30) == 0 { self.rng.u64(..60_000) } else { 0 };
        if is_faltering(at) {
            return match self.rng.u8(..3) {
                0 => (Outcome::NotDone { reason: "503 no_leader".to_owned() }, took),
                1 => (Outcome::Unknown { reason: "timed out after 1 s".to_owned() }, SECOND),
                _ => (self.apply(port, action, at + 1_400_000), 1_400_000 + took),
            };
        }
        (self.apply(port, action, at + took / 2), took)
    }

    fn apply(&mut self, port: u16, action: &Action, at: Micros) -> Outcome {
        let current = self.nodes[&port].clone();
        let condition = match action {
            Action::Register { if_revision, .. }
            | Action::SetWeight { if_revision, .. }
            | Action::Deregister { if_revision } => *if_revision,
            Action::Read | Action::Heartbeat => None,
        };
        let has = current.as_ref().map_or(0, |node| node.mod_revision);
        if condition.is_some_and(|wanted| wanted != has) {
            return Outcome::Rejected(Answer::Mismatch { current: Some(has) });
        }
        let changed = match (action, current) {
            (Action::Register { weight, value, .. }, current) => {
                let id = current.map_or(self.next_id, |node| node.id);
                self.next_id = self.next_id.max(id + 1);
                Some(node(id, *value, *weight))
            }
            (Action::Read, None) => return Outcome::Done(Answer::Absent),
            (_, None) => return Outcome::Rejected(Answer::Absent),
            (Action::SetWeight { weight, .. }, Some(node)) => {
                Some(Observed { weight: weight.unwrap_or(node.registered_weight), ..node })
            }
            (Action::Deregister { .. }, Some(_)) => None,
            (Action::Read, Some(node)) => return Outcome::Done(Answer::Node(node)),
            (Action::Heartbeat, Some(_)) => return Outcome::Done(Answer::Nothing),
        };
        self.revision += 1;
        self.changes.push((self.revision, at));
        let revision = self.revision;
        let changed =
            changed.map(|node| Observed { mod_revision: revision, revision: Some(revision), ..node });
        self.nodes.insert(port, changed.clone());
        Outcome::Done(changed.map_or(Answer::Nothing, Answer::Node))
    }

    /// Each is told of every change; each opens its stream again now and then, once with a snapshot.
    fn watchers(&mut self, watchers: u32) {
        let mut changes = self.changes.clone();
        // Told in the order of the revisions, however the answers came.
        let mut last = 0;
        for (_, at) in &mut changes {
            last = last.max(*at);
            *at = last;
        }
        for watcher in 1..=watchers {
            let mut member = u64::from(watcher);
            let mut tell = |at, member, item| {
                self.records.push(Record::Feed(FeedRecord { at, watcher, member, item }));
            };
            tell(0, member, FeedItem::Opened { after: None, namespaces: Vec::new() });
            tell(500, member, FeedItem::Snapshot { id: Some(0), body: "{}".to_owned() });
            for (index, (revision, at)) in changes.iter().enumerate() {
                if index % 400 == 399 {
                    tell(*at + 10, member, FeedItem::Ended { reason: "connection closed".to_owned() });
                    member = member % 3 + 1;
                    tell(
                        *at + 20,
                        member,
                        FeedItem::Opened { after: Some(revision - 1), namespaces: Vec::new() },
                    );
                    if watcher == 2 && index == 399 {
                        tell(
                            *at + 30,
                            member,
                            FeedItem::Snapshot { id: Some(revision - 1), body: "{}".to_owned() },
                        );
                    }
                }
                let body = format!("{{\"revision\":{revision},\"changes\":[]}}");
                tell(*at + 900, member, FeedItem::Change { id: Some(*revision), body });
            }
        }
    }

    fn gateway(&mut self) {
        let mut at = 5_000;
        while at < LENGTH {
            let is_failed = at > 19 * SECOND && at < 19 * SECOND + 400_000 && self.rng.u8(..4) == 0;
            let took = 400 + self.rng.u64(..900);
            self.records.push(Record::Proxied(Proxied {
                called: at,
                returned: at + took,
                gateway: 1,
                status: Some(if is_failed { 502 } else { 200 }),
                node: (!is_failed).then(|| "192.0.2.10:8001".to_owned()),
                error: is_failed.then(|| "connection refused".to_owned()),
            }));
            at += 20_000;
        }
    }

    fn faults_and_leads(&mut self) {
        for (number, (name, members, begin, end, _)) in (1..).zip(FAULTS) {
            for (phase, at) in [(Phase::Begin, begin * 100_000), (Phase::End, end * 100_000)] {
                self.records.push(Record::Fault(Fault {
                    at,
                    name: name.to_owned(),
                    number,
                    members: members.to_vec(),
                    phase,
                    evidence: Some("the process is gone".to_owned()),
                    detail: "made up".to_owned(),
                }));
            }
        }
        for (at, term, leader) in
            [(0, 1, Some(2)), (19_300_000, 1, None), (20_300_000, 2, Some(1)), (41_200_000, 3, Some(3))]
        {
            for member in 1..=3 {
                self.records.push(Record::Lead(Lead { at: at + member * 1_000, member, term, leader }));
            }
        }
    }
}

fn node(id: u64, value: u64, weight: u32) -> Observed {
    Observed {
        id,
        value: Some(value),
        weight,
        registered_weight: weight,
        status: NodeStatus::Online,
        mod_revision: 0,
        revision: None,
    }
}

/// What three members could have logged: a line now and then, and more about leaders.
pub(crate) fn logs(history: &History) -> Vec<MemberLog> {
    let line = |text: &mut String, millis: u64, rest: &str| {
        let (seconds, millis) = (millis / 1000, millis % 1000);
        writeln!(text, "2026-11-26T18:{:02}:{:02}.{millis:03}000Z {rest}", seconds / 60, seconds % 60)
            .unwrap();
    };
    (1..=3)
        .map(|member| {
            let mut text = String::new();
            for second in 0..60 {
                let millis = second * 1000 + member * 40;
                line(&mut text, millis, " INFO kenger_cluster::raft: snapshot built revision=17 took=3ms");
                let is_lead = |lead: &Lead| lead.leader == Some(member) && lead.member == member;
                for lead in history.leads().filter(|lead| is_lead(lead) && lead.at / SECOND == second) {
                    let rest =
                        format!(" INFO kenger_cluster::raft: this member leads now term={}", lead.term);
                    line(&mut text, lead.at / 1000, &rest);
                }
                if member == 1 && second == 20 {
                    line(&mut text, 20_000, " WARN kenger_cluster::transport: no answer peer=2 for=1.0s");
                }
            }
            MemberLog { member, text }
        })
        .collect()
}
