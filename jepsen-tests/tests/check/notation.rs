//! A short notation for histories, so that one can be read at a glance. Times are milliseconds.
//!
//! ```text
//! run ttl=3000 floor.faults=1                                  timers and floor
//! 10-20 c1 m2 h1 register v=7 w=100 if=0 => id=1 mod=4 at=4      an operation; c, m and if may be left out
//! 10-20 h1 weight w=5 => w=5 mod=6                             weight w=- gives it back
//! 10-20 h1 read => absent                                      or mismatch=5, ok, notdone, unknown, foreign
//! 25 w1@2 opened after=5 ns=a,b                                a watcher, at member 2
//! 25 w1 snapshot 5 | ns a mod=1 | h1 id=1 v=7 mod=4            also bookmark 5, leader, ended
//! 26 w1 change 6 | put h1 registered id=1 v=7 | del h1 expired id=1     ttl=60: seconds of its own
//!                                                              event=7: with that id; noid, unreadable
//! 30 m1 state 6 final | h1 id=1 v=7 mod=6
//! 30 m1 lead 2 1                                               term and leader; - for none
//! 30 fault kill 1 m1,m2 begin                                  or end; unseen: without evidence
//! 30 life member 1 killed                                      started, ready, ended, expected
//! 9x 10-20 h1 weight w=# => unknown                            nine of them, of weight 0 to 8
//! 30-40 g1 proxied 200 h1:1                                    or proxied 502, proxied error
//! ```

use jepsen_tests::history::{
    Action, Answer, Fault, FeedItem, FeedRecord, Floor, Happened, History, Key, Lead, LifeRecord, Micros,
    Observed, Operation, Outcome, Phase, Proxied, Record, Run, StateRecord, Timers,
};
use kenger_types::feed::{BookmarkEvent, Change, ChangeEvent, LeaderEvent, NodeCause, SnapshotEvent};
use kenger_types::{
    ClusterId, MemberId, Metadata, Namespace, NamespaceId, Node, NodeId, NodeStatus, Revision, Timestamp,
};

/// The notation counts milliseconds.
const MS: Micros = 1_000;

/// What a run has if nothing else is said.
fn run() -> Run {
    Run {
        command: "by hand".to_owned(),
        seed: 0,
        workloads: Vec::new(),
        nemeses: Vec::new(),
        members: 3,
        timers: Timers {
            node_ttl: 3_000 * MS,
            node_delete_after: 12_000 * MS,
            lease_tick: 100 * MS,
            election_timeout_max: 1_000 * MS,
        },
        floor: Floor::default(),
        began_unix_ms: None,
    }
}

/// The history that these numbered lines are.
pub(crate) fn history(lines: &[(usize, String)]) -> History {
    let mut history = History { run: run(), records: Vec::new() };
    for (number, line) in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words[0] == "run" {
            words[1..].iter().for_each(|word| set(&mut history.run, word));
            continue;
        }
        let (times, line) = repeated(line);
        for turn in 0..times {
            let line = line.replace('#', &turn.to_string());
            let words: Vec<&str> = line.split_whitespace().collect();
            let record = record(*number * 1_000 + turn, &words);
            history.records.push(record.unwrap_or_else(|| panic!("line {number}: {line}")));
        }
    }
    history
}

/// How often a line counts.
fn repeated(line: &str) -> (usize, &str) {
    let times = line.split_once("x ").and_then(|(times, line)| Some((times.parse().ok()?, line)));
    times.unwrap_or((1, line))
}

fn set(run: &mut Run, word: &str) {
    let (name, value) = word.split_once('=').unwrap();
    let value: u64 = value.parse().unwrap();
    let place = match name {
        "ttl" => return run.timers.node_ttl = value * MS,
        "delete" => return run.timers.node_delete_after = value * MS,
        "floor.acknowledged" => &mut run.floor.acknowledged,
        "floor.acknowledged_per_key" => &mut run.floor.acknowledged_per_key,
        "floor.leader_changes" => &mut run.floor.leader_changes,
        "floor.faults" => &mut run.floor.faults,
        "floor.changes_per_watcher" => &mut run.floor.changes_per_watcher,
        "floor.proxied" => &mut run.floor.proxied,
        other => panic!("no setting {other}"),
    };
    *place = value;
}

fn record(number: usize, words: &[&str]) -> Option<Record> {
    let (first, rest) = words.split_first()?;
    if let Some((called, returned)) = first.split_once('-') {
        let times = (called.parse::<Micros>().ok()? * MS, returned.parse::<Micros>().ok()? * MS);
        return match rest[0].strip_prefix('g') {
            Some(gateway) if rest[1] == "proxied" => proxied(times, gateway.parse().ok()?, &rest[2..]),
            _ => operation(number, times, rest),
        };
    }
    let at = first.parse::<Micros>().ok()? * MS;
    match rest[0] {
        "fault" => fault(at, &rest[1..]),
        "life" => {
            let (happened, process) = rest[1..].split_last()?;
            let happened = match *happened {
                "started" => Happened::Started,
                "ready" => Happened::Ready,
                "killed" => Happened::Killed,
                how => Happened::Ended { how: "status 1".to_owned(), is_expected: how == "expected" },
            };
            Some(Record::Life(LifeRecord { at, process: process.join(" "), happened }))
        }
        who if who.starts_with('w') => {
            let (watcher, member) = who[1..].split_once('@').unwrap_or((&who[1..], "1"));
            let (watcher, member) = (watcher.parse().ok()?, member.parse().ok()?);
            Some(Record::Feed(FeedRecord { at, watcher, member, item: feed_item(member, &rest[1..])? }))
        }
        who => {
            let member = who.strip_prefix('m')?.parse().ok()?;
            match rest[1] {
                "lead" => {
                    let leader = rest[3].parse().ok();
                    Some(Record::Lead(Lead { at, member, term: rest[2].parse().ok()?, leader }))
                }
                "state" => {
                    let revision = rest[2].parse().ok()?;
                    let (namespaces, nodes) = contents(revision, &rest[3..]);
                    let is_final = rest[3..].first() == Some(&"final");
                    Some(Record::State(StateRecord {
                        asked: at,
                        at,
                        member,
                        revision,
                        namespaces,
                        nodes,
                        is_final,
                    }))
                }
                _ => None,
            }
        }
    }
}

/// The value of `name=value` among the words.
fn value<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

fn number<T: std::str::FromStr>(words: &[&str], name: &str) -> Option<T> {
    value(words, name)?.parse().ok()
}

fn key(word: &str) -> Key {
    let (ns, host) = word.split_once('/').unwrap_or(("a", word));
    Key { ns: ns.to_owned(), host: host.to_owned(), port: 1 }
}

fn operation(line: usize, (called, returned): (Micros, Micros), words: &[&str]) -> Option<Record> {
    let arrow = words.iter().position(|word| *word == "=>")?;
    let (asked, answered) = (&words[..arrow], &words[arrow + 1..]);
    let numbered =
        |letter: char| asked.iter().find_map(|word| word.strip_prefix(letter)?.parse::<u32>().ok());
    let is_action = |word: &&str| ["register", "weight", "deregister", "read", "heartbeat"].contains(word);
    let at = asked.iter().position(is_action)?;
    let if_revision = number(asked, "if");
    let action = match asked[at] {
        "register" => Action::Register {
            weight: number(asked, "w").unwrap_or(100),
            value: number(asked, "v")?,
            if_revision,
        },
        "weight" => Action::SetWeight { weight: number(asked, "w"), if_revision },
        "deregister" => Action::Deregister { if_revision },
        "read" => Action::Read,
        _ => Action::Heartbeat,
    };
    Some(Record::Operation(Operation {
        process: numbered('c').unwrap_or(u32::try_from(line).unwrap() + 1_000),
        member: numbered('m').unwrap_or(1).into(),
        key: key(asked[at - 1]),
        outcome: outcome(&action, answered)?,
        action,
        called,
        returned,
    }))
}

fn outcome(action: &Action, words: &[&str]) -> Option<Outcome> {
    let reason = "by hand".to_owned();
    Some(match *words.first()? {
        "ok" => Outcome::Done(Answer::Nothing),
        "absent" if *action == Action::Read => Outcome::Done(Answer::Absent),
        "absent" => Outcome::Rejected(Answer::Absent),
        "mismatch" => Outcome::Rejected(Answer::Mismatch { current: None }),
        "notdone" => Outcome::NotDone { reason },
        "unknown" => Outcome::Unknown { reason },
        "foreign" => Outcome::Foreign { what: reason },
        word if word.starts_with("mismatch=") => {
            Outcome::Rejected(Answer::Mismatch { current: Some(number(words, "mismatch")?) })
        }
        _ => {
            let (declared, declared_value, set) = match action {
                Action::Register { weight, value, .. } => (*weight, Some(*value), None),
                Action::SetWeight { weight, .. } => (100, None, *weight),
                _ => (100, None, None),
            };
            let registered_weight = number(words, "rw").unwrap_or(declared);
            Outcome::Done(Answer::Node(Observed {
                id: number(words, "id").unwrap_or(1),
                value: number(words, "v").or(declared_value),
                weight: number(words, "w").or(set).unwrap_or(registered_weight),
                registered_weight,
                status: status(words),
                mod_revision: number(words, "mod")?,
                revision: number(words, "at"),
            }))
        }
    })
}

fn status(words: &[&str]) -> NodeStatus {
    if words.contains(&"offline") { NodeStatus::Offline } else { NodeStatus::Online }
}

fn fault(at: Micros, words: &[&str]) -> Option<Record> {
    let [name, number, members, phase, rest @ ..] = words else { return None };
    let members = members.split(',').map(|member| member[1..].parse().unwrap()).collect();
    Some(Record::Fault(Fault {
        at,
        name: (*name).to_owned(),
        number: number.parse().ok()?,
        members,
        phase: if *phase == "begin" { Phase::Begin } else { Phase::End },
        evidence: (!rest.contains(&"unseen")).then(|| "seen".to_owned()),
        detail: String::new(),
    }))
}

fn proxied((called, returned): (Micros, Micros), gateway: u32, words: &[&str]) -> Option<Record> {
    let status = words[0].parse().ok();
    Some(Record::Proxied(Proxied {
        called,
        returned,
        gateway,
        status,
        node: words.get(1).map(|node| (*node).to_owned()),
        error: status.is_none().then(|| "reset".to_owned()),
    }))
}

fn feed_item(member: u64, words: &[&str]) -> Option<FeedItem> {
    let revision = || Some(Revision(words.get(1)?.parse().ok()?));
    let id = number(words, "event").or(revision().map(|revision| revision.0));
    let id = id.filter(|_| !words.contains(&"noid"));
    let cluster_id = ClusterId(number(words, "cluster").unwrap_or(1));
    let groups = || words.iter().position(|word| *word == "|").map_or(&[] as &[_], |at| &words[at..]);
    let unreadable = words.contains(&"unreadable").then(|| "{".to_owned());
    let text = |body: serde_json::Value| unreadable.clone().unwrap_or_else(|| body.to_string());
    Some(match words[0] {
        "opened" => FeedItem::Opened {
            after: number(words, "after"),
            namespaces: value(words, "ns")
                .map(|ns| ns.split(',').map(str::to_owned).collect())
                .unwrap_or_default(),
        },
        "snapshot" => {
            let revision = revision()?;
            let (namespaces, nodes) = contents(revision.0, groups());
            let body = SnapshotEvent { cluster_id, revision, namespaces, nodes };
            FeedItem::Snapshot { id, body: text(serde_json::to_value(body).unwrap()) }
        }
        "change" => {
            let revision = revision()?;
            let changes = groups().split(|word| *word == "|").filter(|group| !group.is_empty());
            let changes = changes.map(|group| change(revision.0, group)).collect();
            let body = ChangeEvent { revision, changes };
            FeedItem::Change { id, body: text(serde_json::to_value(body).unwrap()) }
        }
        "bookmark" => {
            let revision = revision()?;
            let body = BookmarkEvent { cluster_id, revision, member_id: MemberId(member), leader: None };
            FeedItem::Bookmark { id, body: text(serde_json::to_value(body).unwrap()) }
        }
        "leader" => {
            let body = LeaderEvent { cluster_id, reason: "by hand".to_owned(), leader: None };
            FeedItem::Leader { body: text(serde_json::to_value(body).unwrap()) }
        }
        _ => FeedItem::Ended { reason: "by hand".to_owned() },
    })
}

fn change(revision: u64, words: &[&str]) -> Change {
    let cause = || -> NodeCause { serde_json::from_value(words[2].into()).unwrap() };
    match words[0] {
        "ns" => Change::NamespacePut { namespace: namespace(revision, &words[1..]) },
        "nsdel" => {
            let namespace = namespace(revision, &words[1..]);
            Change::NamespaceDeleted { id: namespace.id, name: namespace.name }
        }
        "put" => Change::NodePut { cause: cause(), node: node(revision, &words[1..]) },
        _ => {
            let Node { id, ns, host, port, .. } = node(revision, &words[1..]);
            Change::NodeDeleted { cause: cause(), id, ns, host, port }
        }
    }
}

/// Namespaces and nodes, in groups after `|`. Without a namespace, there is `a`, as of revision 1.
fn contents(revision: u64, words: &[&str]) -> (Vec<Namespace>, Vec<Node>) {
    let groups = words.split(|word| *word == "|").skip(1);
    let (namespaces, nodes): (Vec<_>, Vec<_>) = groups.partition(|group| group[0] == "ns");
    let mut namespaces: Vec<_> = namespaces.iter().map(|words| namespace(revision, &words[1..])).collect();
    if namespaces.is_empty() && revision > 0 {
        namespaces.push(namespace(1, &["a"]));
    }
    (namespaces, nodes.iter().map(|words| node(revision, words)).collect())
}

/// A namespace whose number comes from the first letter of its name.
fn namespace(revision: u64, words: &[&str]) -> Namespace {
    let mod_revision = number(words, "mod").unwrap_or(revision);
    Namespace {
        id: NamespaceId(u64::from(words[0].as_bytes()[0] - b'a') + 1),
        name: words[0].parse().unwrap(),
        description: Default::default(),
        health_path: Default::default(),
        created_at: Timestamp::from_unix_ms(0),
        updated_at: Timestamp::from_unix_ms(mod_revision),
        mod_revision: Revision(mod_revision),
        node_count: None,
        online_count: None,
    }
}

/// A node; the first word is its key.
fn node(revision: u64, words: &[&str]) -> Node {
    let key = key(words[0]);
    let mod_revision = number(words, "mod").unwrap_or(revision);
    let weight: i64 = number(words, "rw").unwrap_or(100);
    let metadata = number::<u64>(words, "v").map(|value| ("value".to_owned(), value.to_string()));
    Node {
        id: NodeId(number(words, "id").unwrap_or(1)),
        ns: key.ns.parse().unwrap(),
        host: key.host.parse().unwrap(),
        port: 1_i64.try_into().unwrap(),
        weight: number::<i64>(words, "w").unwrap_or(weight).try_into().unwrap(),
        registered_weight: weight.try_into().unwrap(),
        health_path: None,
        status: status(words),
        metadata: Metadata::try_from(metadata.into_iter().collect::<std::collections::BTreeMap<_, _>>())
            .unwrap(),
        ttl_seconds: number::<i64>(words, "ttl").map(|seconds| seconds.try_into().unwrap()),
        last_heartbeat: None,
        created_at: Timestamp::from_unix_ms(0),
        updated_at: Timestamp::from_unix_ms(mod_revision),
        mod_revision: Revision(mod_revision),
    }
}
