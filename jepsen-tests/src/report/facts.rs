//! What a history amounts to: its numbers, how long each fault lasted, who led when.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::history::{Answer, Fault, FeedItem, History, Micros, Operation, Outcome, Phase, Proxied, Record};

/// A fault from its beginning to its end.
#[derive(Debug)]
pub(super) struct Span<'a> {
    pub(super) fault: &'a Fault,
    pub(super) begin: Micros,
    /// `None`: it was never ended.
    pub(super) end: Option<Micros>,
}

impl Span<'_> {
    /// Whether it is known that it took hold.
    pub(super) fn took_hold(&self) -> bool {
        self.fault.evidence.is_some()
    }
}

/// The beginning of a member's lead.
#[derive(Debug)]
pub(super) struct Reign {
    /// When the first member said so.
    pub(super) at: Micros,
    pub(super) term: u64,
    pub(super) leader: u64,
    /// Another member led before.
    pub(super) is_change: bool,
}

/// How an operation ended, in the order in which legends and tables name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Done,
    Rejected,
    NotDone,
    Unknown,
    Foreign,
}

impl Class {
    pub(super) const ALL: [Class; 5] =
        [Class::Done, Class::Rejected, Class::NotDone, Class::Unknown, Class::Foreign];

    pub(super) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Done(_) => Class::Done,
            Outcome::Rejected(_) => Class::Rejected,
            Outcome::NotDone { .. } => Class::NotDone,
            Outcome::Unknown { .. } => Class::Unknown,
            Outcome::Foreign { .. } => Class::Foreign,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Class::Done => "done",
            Class::Rejected => "rejected",
            Class::NotDone => "not done",
            Class::Unknown => "unknown",
            Class::Foreign => "foreign",
        }
    }

    /// Its class in the style sheet.
    pub(super) fn css(self) -> &'static str {
        match self {
            Class::Done => "o-done",
            Class::Rejected => "o-rejected",
            Class::NotDone => "o-notdone",
            Class::Unknown => "o-unknown",
            Class::Foreign => "o-foreign",
        }
    }
}

/// Whether a request through a gateway was answered by a node.
pub(super) fn is_served(proxied: &Proxied) -> bool {
    proxied.error.is_none() && proxied.status.is_some_and(|status| status < 500)
}

/// The numbers of a run.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    /// When the last thing was noted.
    pub(super) end: Micros,
    /// Operations by how they ended.
    pub(super) outcomes: [u64; Class::ALL.len()],
    pub(super) keys: u64,
    pub(super) spans: Vec<Span<'a>>,
    pub(super) reigns: Vec<Reign>,
    /// Times that another member began to lead. Each term counts once, whoever is said to lead in it.
    pub(super) leader_changes: u64,
    /// The highest revision that anybody was told of.
    pub(super) revision: u64,
    pub(super) watchers: u64,
    /// Events `change` that watchers were told of.
    pub(super) changes: u64,
    pub(super) proxied: u64,
    /// Of those, the ones that no node answered.
    pub(super) proxied_failed: u64,
}

impl<'a> Facts<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let mut outcomes = [0; Class::ALL.len()];
        let mut keys = BTreeSet::new();
        for operation in history.operations() {
            outcomes[Class::of(&operation.outcome) as usize] += 1;
            keys.insert(&operation.key);
        }
        let watchers: BTreeSet<u32> = history.feeds().map(|record| record.watcher).collect();
        let changes = history.feeds().filter(|record| matches!(record.item, FeedItem::Change { .. })).count();
        let failed = history.proxied().filter(|proxied| !is_served(proxied)).count();
        Self {
            end: history.records.iter().map(|record| times(record).1).max().unwrap_or(0),
            outcomes,
            keys: keys.len() as u64,
            spans: spans(history),
            reigns: reigns(history),
            leader_changes: leader_changes(history),
            revision: history.records.iter().filter_map(revision).max().unwrap_or(0),
            watchers: watchers.len() as u64,
            changes: changes as u64,
            proxied: history.proxied().count() as u64,
            proxied_failed: failed as u64,
        }
    }

    pub(super) fn operations(&self) -> u64 {
        self.outcomes.iter().sum()
    }
}

/// From when to when a record goes.
pub(super) fn times(record: &Record) -> (Micros, Micros) {
    match record {
        Record::Operation(operation) => (operation.called, operation.returned.max(operation.called)),
        Record::Proxied(proxied) => (proxied.called, proxied.returned.max(proxied.called)),
        Record::Feed(feed) => (feed.at, feed.at),
        Record::Fault(fault) => (fault.at, fault.at),
        Record::State(state) => (state.at, state.at),
        Record::Lead(lead) => (lead.at, lead.at),
        Record::Life(life) => (life.at, life.at),
    }
}

/// The revision that a record tells of.
fn revision(record: &Record) -> Option<u64> {
    match record {
        Record::Operation(Operation {
            outcome: Outcome::Done(Answer::Node(node)) | Outcome::Rejected(Answer::Node(node)),
            ..
        }) => node.revision.max(Some(node.mod_revision)),
        Record::Feed(feed) => match feed.item {
            FeedItem::Change { id, .. } | FeedItem::Snapshot { id, .. } | FeedItem::Bookmark { id, .. } => id,
            FeedItem::Opened { .. } | FeedItem::Leader { .. } | FeedItem::Ended { .. } => None,
        },
        Record::State(state) => Some(state.revision),
        _ => None,
    }
}

/// All faults, in the order in which they began.
fn spans(history: &History) -> Vec<Span<'_>> {
    let mut spans: Vec<Span<'_>> = Vec::new();
    let mut open: HashMap<(&str, u32), usize> = HashMap::new();
    for fault in history.faults() {
        let name = (fault.name.as_str(), fault.number);
        match fault.phase {
            Phase::Begin => {
                open.insert(name, spans.len());
                spans.push(Span { fault, begin: fault.at, end: None });
            }
            // One that ends without having begun is shown where it ended.
            Phase::End => match open.remove(&name) {
                Some(index) => spans[index].end = Some(fault.at.max(spans[index].begin)),
                None => spans.push(Span { fault, begin: fault.at, end: Some(fault.at) }),
            },
        }
    }
    spans.sort_by_key(|span| span.begin);
    spans
}

/// Each lead once, in the order of the terms.
fn reigns(history: &History) -> Vec<Reign> {
    // Two leaders of one term would be a broken promise; then both are shown.
    let mut began: BTreeMap<(u64, u64), Micros> = BTreeMap::new();
    for lead in history.leads() {
        if let Some(leader) = lead.leader {
            let at = began.entry((lead.term, leader)).or_insert(lead.at);
            *at = lead.at.min(*at);
        }
    }
    let mut before = None;
    let reign = |((term, leader), at)| {
        let is_change = before.replace(leader).is_some_and(|before| before != leader);
        Reign { at, term, leader, is_change }
    };
    began.into_iter().map(reign).collect()
}

fn leader_changes(history: &History) -> u64 {
    let of_term: BTreeMap<u64, u64> =
        history.leads().filter_map(|lead| Some((lead.term, lead.leader?))).collect();
    let leaders: Vec<u64> = of_term.into_values().collect();
    leaders.windows(2).filter(|pair| pair[0] != pair[1]).count() as u64
}
