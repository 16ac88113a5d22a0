//! Random legal histories: clients at once, watchers that come and go, members that are asked for their
//! state, nodes that fall silent, answers that are lost. Everything is carried out at one moment between
//! its call and its answer (or later, if nobody was answered), by [`Registry`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;
use jepsen_tests::history::{
    Action, FeedItem, FeedRecord, Floor, History, Key, Micros, Operation, Outcome, Record, Run, StateRecord,
    Timers,
};
use kenger_types::feed::{BookmarkEvent, Change, ChangeEvent, SnapshotEvent};
use kenger_types::{ClusterId, MemberId, Revision};

use crate::registry::Registry;

const MS: Micros = 1_000;
const TICK: Micros = 100 * MS;
const MEMBERS: u64 = 3;

/// How large a history is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) clients: u32,
    pub(crate) keys: u16,
    pub(crate) operations_per_client: u32,
    pub(crate) watchers: u32,
    /// Between two requests of one client, at most.
    pub(crate) pause: Micros,
    pub(crate) ttl: Micros,
    /// Of a hundred requests, how many are not answered.
    pub(crate) unanswered: u32,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Apply(usize),
    Tick,
    Sample(u64),
    Turn(u32),
}

struct Watcher {
    number: u32,
    namespaces: Vec<String>,
    /// How far it has come; what its filter does not want moves it, too.
    cursor: Option<u64>,
    /// The id of the last event, which is what it resumes after.
    told: Option<u64>,
    is_open: bool,
    member: u64,
    /// Nothing that is told later arrives before this.
    at: Micros,
}

struct World {
    rng: Rng,
    size: Size,
    registry: Registry,
    operations: Vec<(Operation, bool)>,
    watchers: Vec<Watcher>,
    log: Vec<Vec<Change>>,
    records: Vec<(Micros, Record)>,
    end: Micros,
    values: u64,
}

/// A legal history.
pub(crate) fn history(seed: u64, size: Size) -> History {
    let mut world = World {
        rng: Rng::with_seed(seed),
        size,
        registry: Registry::default(),
        operations: Vec::new(),
        watchers: Vec::new(),
        log: Vec::new(),
        records: Vec::new(),
        end: 0,
        values: 0,
    };
    world.plan();
    world.run();
    world.records.sort_by_key(|(at, _)| *at);
    let timers = Timers {
        node_ttl: size.ttl,
        node_delete_after: size.ttl * 3,
        lease_tick: TICK,
        election_timeout_max: 1_000 * MS,
    };
    let run = Run {
        command: "at random".to_owned(),
        seed,
        workloads: Vec::new(),
        nemeses: Vec::new(),
        members: MEMBERS,
        timers,
        floor: Floor::default(),
        began_unix_ms: None,
    };
    History { run, records: world.records.into_iter().map(|(_, record)| record).collect() }
}

impl World {
    fn plan(&mut self) {
        for process in 0..self.size.clients {
            let mut now = 10 * MS;
            for _ in 0..self.size.operations_per_client {
                let called = now + self.rng.u64(1..=self.size.pause);
                let returned = called + self.rng.u64(1..=20 * MS);
                let operation = Operation {
                    process,
                    member: self.rng.u64(1..=MEMBERS),
                    key: self.key(),
                    action: self.action(),
                    called,
                    returned,
                    outcome: Outcome::Unknown { reason: "not yet".to_owned() },
                };
                self.operations.push((operation, true));
                now = returned;
                self.end = self.end.max(now);
            }
        }
        for number in 0..self.size.watchers {
            let namespaces = if number % 3 == 2 { vec!["a".to_owned()] } else { Vec::new() };
            let member = u64::from(number) % MEMBERS + 1;
            self.watchers.push(Watcher {
                number,
                namespaces,
                cursor: None,
                told: None,
                is_open: false,
                member,
                at: 0,
            });
        }
    }

    fn key(&mut self) -> Key {
        let number = self.rng.u16(0..self.size.keys);
        let ns = if number.is_multiple_of(2) { "a" } else { "b" };
        Key { ns: ns.to_owned(), host: format!("h{number}"), port: 1 }
    }

    fn action(&mut self) -> Action {
        self.values += 1;
        // What to compare with is known when it is carried out.
        let if_revision = (self.rng.u32(0..4) == 0).then_some(0);
        match self.rng.u32(0..20) {
            0..=4 => Action::Register { weight: self.rng.u32(1..4) * 50, value: self.values, if_revision },
            5..=8 => {
                let weight = (self.rng.u32(0..4) > 0).then(|| self.rng.u32(0..4) * 50);
                Action::SetWeight { weight, if_revision }
            }
            9 => Action::Deregister { if_revision },
            10..=13 => Action::Heartbeat,
            _ => Action::Read,
        }
    }

    fn run(&mut self) {
        let mut events: BinaryHeap<Reverse<(Micros, Event)>> = BinaryHeap::new();
        for place in 0..self.operations.len() {
            if let Some(at) = self.when(place) {
                events.push(Reverse((at, Event::Apply(place))));
            }
        }
        let end = self.end;
        let times = |every: Micros| (1..=end / every).map(move |turn| turn * every);
        events.extend(times(TICK).map(|at| Reverse((at, Event::Tick))));
        events.extend(times(400 * MS).map(|at| Reverse((at, Event::Sample(at / (400 * MS) % MEMBERS + 1)))));
        for watcher in 0..self.size.watchers {
            let every = 300 * MS + u64::from(watcher) * 170 * MS;
            // Gone for a moment.
            let turns = times(every).flat_map(|at| [at, at + 60 * MS]);
            events.extend(turns.map(|at| Reverse((at, Event::Turn(watcher)))));
            events.push(Reverse((u64::from(watcher), Event::Turn(watcher))));
        }
        while let Some(Reverse((now, event))) = events.pop() {
            match event {
                Event::Apply(place) => self.apply(now, place),
                Event::Tick => {
                    let changes = self.registry.tick(now, self.size.ttl, self.size.ttl * 3);
                    self.tell(now, changes);
                }
                Event::Sample(member) => self.sample(now, member, false),
                Event::Turn(watcher) => self.turn(now, watcher as usize),
            }
            self.end = self.end.max(now);
        }
        for watcher in 0..self.watchers.len() {
            if !self.watchers[watcher].is_open {
                self.turn(self.end, watcher);
            }
        }
        let last = self.watchers.iter().map(|watcher| watcher.at).max().unwrap_or(0).max(self.end);
        for member in 1..=MEMBERS {
            self.sample(last + 30 * MS, member, true);
        }
        for (operation, _) in std::mem::take(&mut self.operations) {
            self.records.push((operation.returned, Record::Operation(operation)));
        }
    }

    /// When a request is carried out; `None`: never.
    fn when(&mut self, place: usize) -> Option<Micros> {
        let is_answered = self.rng.u32(0..100) >= self.size.unanswered;
        let (operation, answered) = &mut self.operations[place];
        *answered = is_answered;
        if is_answered {
            return Some(self.rng.u64(operation.called..=operation.returned));
        }
        match self.rng.u32(0..4) {
            0 => None,
            1 => {
                operation.outcome = Outcome::NotDone { reason: "no leader".to_owned() };
                None
            }
            2 => Some(self.rng.u64(operation.called..=operation.returned)),
            _ => Some(operation.called + self.rng.u64(1..=2_000 * MS)),
        }
    }

    fn apply(&mut self, now: Micros, place: usize) {
        let (operation, is_answered) = &mut self.operations[place];
        let current = self.registry.nodes.get(&operation.key).map_or(0, |entry| entry.node.mod_revision.0);
        if let Action::Register { if_revision: Some(expected), .. }
        | Action::SetWeight { if_revision: Some(expected), .. }
        | Action::Deregister { if_revision: Some(expected) } = &mut operation.action
        {
            *expected = if self.rng.bool() { current } else { self.rng.u64(0..=self.registry.revision) };
        }
        let (outcome, changes) = self.registry.carry_out(now, &operation.key, &operation.action);
        if *is_answered {
            operation.outcome = outcome;
        }
        self.tell(now, changes);
    }

    fn tell(&mut self, now: Micros, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        self.log.push(changes);
        assert_eq!(self.log.len() as u64, self.registry.revision);
        for watcher in 0..self.watchers.len() {
            if self.watchers[watcher].is_open {
                self.catch_up(now, watcher);
            }
        }
    }

    /// Tells a watcher all that it has not been told.
    fn catch_up(&mut self, now: Micros, watcher: usize) {
        let cursor = self.watchers[watcher].cursor.unwrap();
        for revision in cursor + 1..=self.registry.revision {
            let wanted = &self.watchers[watcher].namespaces;
            let is_wanted =
                |change: &&Change| wanted.is_empty() || wanted.contains(&change.namespace().to_string());
            let changes: Vec<Change> =
                self.log[usize::try_from(revision).unwrap() - 1].iter().filter(is_wanted).cloned().collect();
            self.watchers[watcher].cursor = Some(revision);
            if !changes.is_empty() {
                let event = ChangeEvent { revision: Revision(revision), changes };
                let body = serde_json::to_string(&event).unwrap();
                self.item(now, watcher, FeedItem::Change { id: Some(revision), body });
            }
        }
    }

    fn item(&mut self, now: Micros, watcher: usize, item: FeedItem) {
        let delay = self.rng.u64(0..5 * MS);
        let it = &mut self.watchers[watcher];
        it.at = it.at.max(now + delay);
        if let FeedItem::Snapshot { id, .. } | FeedItem::Change { id, .. } | FeedItem::Bookmark { id, .. } =
            &item
        {
            it.told = *id;
        }
        let record = FeedRecord { at: it.at, watcher: it.number, member: it.member, item };
        self.records.push((it.at, Record::Feed(record)));
    }

    /// A watcher that is there goes, one that is not comes.
    fn turn(&mut self, now: Micros, watcher: usize) {
        if self.watchers[watcher].is_open {
            self.watchers[watcher].is_open = false;
            return self.item(now, watcher, FeedItem::Ended { reason: "at random".to_owned() });
        }
        self.watchers[watcher].is_open = true;
        self.watchers[watcher].member = self.rng.u64(1..=MEMBERS);
        let Watcher { told, namespaces, .. } = &self.watchers[watcher];
        let (after, namespaces) = (*told, namespaces.clone());
        self.item(now, watcher, FeedItem::Opened { after, namespaces: namespaces.clone() });
        let revision = Revision(self.registry.revision);
        let wants = |ns: &str| namespaces.is_empty() || namespaces.iter().any(|it| it == ns);
        // Now and then it has been away for too long.
        if after.is_none() || self.rng.u32(0..4) == 0 {
            let mut snapshot = SnapshotEvent {
                cluster_id: ClusterId(7),
                revision,
                namespaces: self.registry.namespaces(),
                nodes: self.registry.nodes(),
            };
            snapshot.namespaces.retain(|namespace| wants(namespace.name.as_str()));
            snapshot.nodes.retain(|node| wants(node.ns.as_str()));
            let body = serde_json::to_string(&snapshot).unwrap();
            self.watchers[watcher].cursor = Some(revision.0);
            return self.item(now, watcher, FeedItem::Snapshot { id: Some(revision.0), body });
        }
        self.watchers[watcher].cursor = after;
        let revision = Revision(after.unwrap());
        let member_id = MemberId(self.watchers[watcher].member);
        let bookmark = BookmarkEvent { cluster_id: ClusterId(7), revision, member_id, leader: None };
        let body = serde_json::to_string(&bookmark).unwrap();
        self.item(now, watcher, FeedItem::Bookmark { id: Some(revision.0), body });
        self.catch_up(now, watcher);
    }

    fn sample(&mut self, now: Micros, member: u64, is_final: bool) {
        let at = now + self.rng.u64(0..3 * MS);
        let state = StateRecord {
            asked: now,
            at,
            member,
            revision: self.registry.revision,
            namespaces: self.registry.namespaces(),
            nodes: self.registry.nodes(),
            is_final,
        };
        self.records.push((at, Record::State(state)));
    }
}
