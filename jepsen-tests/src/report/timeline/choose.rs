//! Which records a timeline shows: those that problems point at, and what happened nearest to them.

use std::collections::{BTreeSet, HashMap};

use crate::check::{Finding, Problem};
use crate::history::{Action, History, Key, Micros, Operation, Record};
use crate::report::facts::times;

/// Most records of a timeline.
pub(super) const RECORDS_MAX: usize = 60;
/// None is left out for want of room when there are no more than these.
pub(super) const RECORDS_MIN: usize = 12;
/// Most records that are shown because a problem points at them.
const POINTED_MAX: usize = 40;

/// The records of a timeline.
#[derive(Debug)]
pub(super) struct Chosen {
    /// Place in the history, and whether a problem points at it; in the order of their beginnings.
    pub(super) records: Vec<(usize, bool)>,
    /// How many of them are operations.
    pub(super) operations: usize,
    /// Of how many: operations of the key, or records of the lanes.
    pub(super) of: usize,
    /// How many heartbeats were left out, because no problem is about one.
    pub(super) heartbeats: usize,
}

/// All records that a timeline may show, the more important ones first.
#[derive(Debug)]
pub(super) struct Ranked {
    /// Those that a problem points at.
    pointed: BTreeSet<usize>,
    /// The others, the nearest first.
    others: Vec<usize>,
    of: usize,
    heartbeats: usize,
}

impl Ranked {
    /// For a key, or, without one, for what the problems point at.
    pub(super) fn of(history: &History, key: Option<&str>, problems: &[(&Finding, &Problem)]) -> Self {
        let pointed = problems.iter().flat_map(|(_, problem)| problem.records.iter());
        let mut shown: BTreeSet<usize> = BTreeSet::new();
        for index in pointed.filter(|index| **index < history.records.len()) {
            if shown.len() < POINTED_MAX {
                shown.insert(*index);
            }
        }
        let focus = focus(history, &shown, problems);
        let is_heartbeat = |index: &usize| {
            let record = &history.records[*index];
            matches!(record, Record::Operation(Operation { action: Action::Heartbeat, .. }))
        };
        let candidates = match key {
            Some(key) => of_key(history, key),
            None => of_lanes(history, &shown),
        };
        let of = candidates.len();
        let with_heartbeats =
            key.is_none() || shown.iter().any(is_heartbeat) || candidates.iter().all(is_heartbeat);
        let heartbeats =
            if with_heartbeats { 0 } else { candidates.iter().filter(|i| is_heartbeat(i)).count() };
        let mut nearest: Vec<(Micros, usize)> = candidates
            .into_iter()
            .filter(|index| !shown.contains(index) && (with_heartbeats || !is_heartbeat(index)))
            .map(|index| (distance(times(&history.records[index]), &focus), index))
            .collect();
        nearest.sort_unstable();
        let others = nearest.into_iter().map(|(_, index)| index).take(RECORDS_MAX).collect();
        Self { pointed: shown, others, of, heartbeats }
    }

    /// The `most` most important ones.
    pub(super) fn take(&self, history: &History, most: usize) -> Chosen {
        let pointed = self.pointed.iter().map(|index| (*index, true));
        let others = self.others.iter().map(|index| (*index, false));
        let mut records: Vec<(usize, bool)> = pointed.chain(others).take(most).collect();
        records.sort_by_key(|(index, _)| times(&history.records[*index]));
        let is_operation =
            |(index, _): &&(usize, bool)| matches!(history.records[*index], Record::Operation(_));
        let operations = records.iter().filter(is_operation).count();
        Chosen { records, operations, of: self.of.max(operations), heartbeats: self.heartbeats }
    }
}

/// From when to when what matters happened.
fn focus(
    history: &History,
    pointed: &BTreeSet<usize>,
    problems: &[(&Finding, &Problem)],
) -> Vec<(Micros, Micros)> {
    let mut focus: Vec<(Micros, Micros)> =
        pointed.iter().map(|index| times(&history.records[*index])).collect();
    focus.extend(problems.iter().filter_map(|(_, problem)| problem.at).map(|at| (at, at)));
    if focus.is_empty() {
        // Nothing says where to look: the end is where a state was found to be wrong.
        focus.push((Micros::MAX, Micros::MAX));
    }
    focus
}

/// The operations of a key, which problems name as it is written.
fn of_key(history: &History, name: &str) -> Vec<usize> {
    // Written out once for each key, not once for each operation.
    let mut known: HashMap<&Key, bool> = HashMap::new();
    let mut found = Vec::new();
    for (index, record) in history.records.iter().enumerate() {
        if let Record::Operation(Operation { key, .. }) = record
            && *known.entry(key).or_insert_with(|| key.to_string() == name)
        {
            found.push(index);
        }
    }
    found
}

/// What the same clients, watchers or gateways did as those whose records are shown.
fn of_lanes(history: &History, shown: &BTreeSet<usize>) -> Vec<usize> {
    let lanes: Vec<(u8, u64)> = shown.iter().map(|index| lane(&history.records[*index])).collect();
    let records = history.records.iter().enumerate();
    records.filter(|(_, record)| lanes.contains(&lane(record))).map(|(index, _)| index).collect()
}

/// Orders lanes: clients first, by their number.
pub(super) fn lane(record: &Record) -> (u8, u64) {
    match record {
        Record::Operation(operation) => (0, operation.process.into()),
        Record::Feed(feed) => (1, feed.watcher.into()),
        Record::State(state) => (2, state.member),
        Record::Lead(lead) => (3, lead.member),
        Record::Proxied(proxied) => (4, proxied.gateway.into()),
        Record::Life(_) => (5, 0),
        Record::Fault(_) => (6, 0),
    }
}

/// How much time lies between a record and what matters; none if they overlap.
fn distance((begin, end): (Micros, Micros), focus: &[(Micros, Micros)]) -> Micros {
    let to = |(from, until): &(Micros, Micros)| from.saturating_sub(end).max(begin.saturating_sub(*until));
    focus.iter().map(to).min().unwrap_or(0)
}
