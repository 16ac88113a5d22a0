//! Each node by itself behaves as if one request after the other were carried out, each at one moment
//! between its call and its answer: no read is stale, no acknowledged write is undone, no refusal is
//! without a reason.
//!
//! What became of a write without an answer is looked up in the feed and in later answers first. Only
//! what nobody has seen is left open to the search.

mod model;
mod search;
mod state;
mod timeline;

use std::collections::{BTreeMap, HashMap};

use self::model::{Model, Op};
use self::search::{Outcome as Found, search};
use self::timeline::Timeline;
use super::changes::{Cause, Told};
use super::report::Report;
use super::{Checker, Evidence, Finding, Problem};
use crate::history::{Action, Answer, Key, Micros, Operation, Outcome};

/// Records of a problem: the operation that cannot be explained, and those before it.
const RECORDS_BEFORE: usize = 8;

/// See the module.
pub(super) struct Linearizable;

impl Checker for Linearizable {
    fn name(&self) -> &'static str {
        "linearizable"
    }

    fn rules(&self) -> &'static [&'static str] {
        &["stale_read", "read", "write", "refusal", "unexplained", "bound"]
    }

    fn judge(&self, evidence: &Evidence<'_>) -> Finding {
        let mut report = Report::new(self);
        let mut of_key: BTreeMap<&Key, Vec<(usize, &Operation)>> = BTreeMap::new();
        for (place, operation) in &evidence.operations {
            if operation.action != Action::Heartbeat {
                of_key.entry(&operation.key).or_default().push((*place, operation));
            }
        }
        let changes = super::changes::changes(evidence);
        let (mut steps, mut configs, mut with_feed, mut searched, mut open) = (0, 0, 0, 0, 0);
        for (key, operations) in &of_key {
            report.applies();
            let told = changes.get(*key).map_or(&[] as &[_], Vec::as_slice);
            let (model, ops) = prepare(evidence, key, told, operations);
            let (found, effort) = search(&model, &ops);
            steps += effort.steps;
            configs = configs.max(effort.configs as u64);
            with_feed += u64::from(model.timeline.is_some());
            searched += ops.len() as u64;
            open += ops.iter().filter(|op| op.returned.is_none()).count() as u64;
            if let Some(problem) = problem(key, &model, &ops, &found) {
                let report_it =
                    if matches!(found, Found::GivenUp { .. }) { Report::undecided } else { Report::broken };
                report_it(&mut report, problem);
            }
        }
        report.figure("keys", of_key.len() as u64);
        report.figure("keys whose feed is whole", with_feed);
        report.figure("operations", searched);
        report.figure("operations that may never have happened", open);
        report.figure("steps", steps);
        report.figure("most configurations", configs);
        report.finish()
    }
}

fn prepare(
    evidence: &Evidence<'_>,
    key: &Key,
    told: &[Told],
    operations: &[(usize, &Operation)],
) -> (Model, Vec<Op>) {
    let writes = operations.iter().filter(|(_, operation)| operation.action.is_write());
    let first_write = writes.map(|(_, operation)| operation.called).min().unwrap_or(Micros::MAX);
    let timers = &evidence.history.run.timers;
    let model = Model {
        timeline: timeline::timeline(evidence, key, told, first_write),
        may_expire: evidence.end >= timers.node_ttl,
        may_be_deleted: evidence.end >= timers.node_delete_after,
    };
    let seen = seen_values(told, operations);
    let ops = operations
        .iter()
        .filter_map(|(place, operation)| op(*place, operation, model.timeline.as_ref(), &seen))
        .collect();
    (model, ops)
}

/// When each registered value was first seen by a watcher or in an answer.
fn seen_values(told: &[Told], operations: &[(usize, &Operation)]) -> HashMap<u64, Micros> {
    let in_feed = told.iter().filter_map(|told| Some((told.node.as_ref()?.value?, told.seen)));
    let in_answers = operations.iter().filter_map(|(_, operation)| match &operation.outcome {
        Outcome::Done(Answer::Node(node)) => Some((node.value?, operation.returned)),
        _ => None,
    });
    let mut seen: HashMap<u64, Micros> = HashMap::new();
    for (value, at) in in_feed.chain(in_answers) {
        seen.entry(value).and_modify(|first| *first = at.min(*first)).or_insert(at);
    }
    seen
}

/// What the search has to know of an operation; `None` if it can have had no effect.
fn op(
    place: usize,
    operation: &Operation,
    timeline: Option<&Timeline>,
    seen: &HashMap<u64, Micros>,
) -> Option<Op> {
    let Operation { action, called, returned, .. } = operation;
    let op = |answer, is_refusal, returned| Op {
        place,
        action: action.clone(),
        answer,
        is_refusal,
        called: *called,
        returned,
    };
    match &operation.outcome {
        Outcome::Done(answer) => Some(op(Some(answer.clone()), false, Some(*returned))),
        Outcome::Rejected(answer) if *action == Action::Read => {
            Some(op(Some(answer.clone()), false, Some(*returned)))
        }
        Outcome::Rejected(answer) => Some(op(Some(answer.clone()), true, Some(*returned))),
        Outcome::NotDone { .. } => None,
        Outcome::Unknown { .. } | Outcome::Foreign { .. } if !action.is_write() => None,
        Outcome::Unknown { .. } | Outcome::Foreign { .. } => {
            let happened = match action {
                Action::Register { value, .. } => seen.get(value).map(|at| (*at).max(*called)),
                _ => None,
            };
            let is_possible = happened.is_some()
                || timeline
                    .is_none_or(|timeline| !timeline.is_closed || may_be_told(timeline, action, *called));
            is_possible.then(|| op(None, false, happened))
        }
    }
}

/// Whether the feed told of a change that this write may have made.
fn may_be_told(timeline: &Timeline, action: &Action, called: Micros) -> bool {
    timeline.told.iter().filter(|told| told.seen >= called).any(|told| {
        match (action, told.cause, &told.node) {
            (Action::Register { value, .. }, Cause::Register, Some(node)) => node.value == Some(*value),
            (Action::SetWeight { weight, .. }, Cause::SetWeight, Some(node)) => {
                node.weight == weight.unwrap_or(node.registered_weight)
            }
            (Action::Deregister { .. }, Cause::Deregister, None) | (_, Cause::Gap { .. }, _) => true,
            _ => false,
        }
    })
}

fn problem(key: &Key, model: &Model, ops: &[Op], found: &Found) -> Option<Problem> {
    match found {
        Found::Found => None,
        Found::GivenUp { why } => {
            Some(Problem::new("bound", format!("the search was given up: {why}")).of(key))
        }
        Found::Unexplained { before } => {
            let told = model.next_told(before)?;
            let what = format!(
                "no request explains that at revision {} the node became {:?} ({:?}); before: {}",
                told.revision,
                told.node,
                told.cause,
                before.describe()
            );
            Some(Problem::new("unexplained", what).of(key).at(told.seen).shown_by([told.place]))
        }
        Found::Stuck { op, before } => {
            let op = &ops[*op];
            let rule = match (&op.action, &op.answer) {
                (Action::Read, Some(Answer::Node(shown)))
                    if before.iter().all(|state| shown.mod_revision < model.floor(state, op)) =>
                {
                    "stale_read"
                }
                (Action::Read, _) => "read",
                _ if op.is_refusal => "refusal",
                _ => "write",
            };
            let states: Vec<String> = before.iter().take(3).map(|state| state.describe()).collect();
            let what = format!(
                "{:?} was answered {:?}, which no order explains; before it could be: {}",
                op.action,
                op.answer,
                states.join(" or ")
            );
            let at = op.returned.unwrap_or(op.called);
            Some(Problem::new(rule, what).of(key).at(at).shown_by(records(ops, op)))
        }
    }
}

/// The operation, after the last ones that had been answered, or were under way, before it was.
fn records(ops: &[Op], stuck: &Op) -> Vec<usize> {
    let mut before: Vec<&Op> = ops.iter().filter(|op| Some(op.called) < stuck.returned).collect();
    before.sort_by_key(|op| op.returned.unwrap_or(Micros::MAX).min(stuck.called));
    let from = before.len().saturating_sub(RECORDS_BEFORE);
    let mut records: Vec<usize> =
        before[from..].iter().map(|op| op.place).filter(|place| *place != stuck.place).collect();
    records.push(stuck.place);
    records
}
