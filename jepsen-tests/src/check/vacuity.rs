//! A run shows something only if something happened in it: enough answers, changes of leader, faults
//! that took hold. One that did less than its floor fails.

use std::collections::BTreeMap;

use super::report::Report;
use super::{Checker, Evidence, Finding, Problem};
use crate::history::{FeedItem, Key, Operation, Outcome, PASSING_WATCHERS_FROM, PROBE_NAMESPACE, Phase};

/// See the module.
pub(super) struct Vacuity;

impl Checker for Vacuity {
    fn name(&self) -> &'static str {
        "vacuity"
    }

    fn rules(&self) -> &'static [&'static str] {
        &[
            "acknowledged",
            "acknowledged_per_key",
            "leader_changes",
            "faults",
            "evidence",
            "changes_per_watcher",
            "proxied",
        ]
    }

    fn judge(&self, evidence: &Evidence<'_>) -> Finding {
        let mut report = Report::new(self);
        report.applies();
        for (place, fault) in &evidence.faults {
            if fault.phase == Phase::Begin && fault.evidence.is_none() {
                let what = format!("nothing shows that {} {} took hold", fault.name, fault.number);
                report.broken(Problem::new("evidence", what).at(fault.at).shown_by([*place]));
            }
        }
        let floor = &evidence.history.run.floor;
        for (rule, found, floor) in [
            ("acknowledged", acknowledged(evidence), floor.acknowledged),
            ("acknowledged_per_key", fewest_per_key(evidence), floor.acknowledged_per_key),
            ("leader_changes", leader_changes(evidence), floor.leader_changes),
            ("faults", faults(evidence), floor.faults),
            ("changes_per_watcher", fewest_changes(evidence), floor.changes_per_watcher),
            ("proxied", evidence.proxied.len() as u64, floor.proxied),
        ] {
            report.figure(rule, found);
            if found < floor {
                report.broken(Problem::new(rule, format!("{found}, and at least {floor} were to be")));
            }
        }
        report.finish()
    }
}

/// What the workloads asked for.
fn of_workloads<'a>(evidence: &'a Evidence<'_>) -> impl Iterator<Item = &'a Operation> {
    let operations = evidence.operations.iter().map(|(_, operation)| *operation);
    operations.filter(|operation| operation.key.ns != PROBE_NAMESPACE)
}

fn acknowledged(evidence: &Evidence<'_>) -> u64 {
    of_workloads(evidence).filter(|operation| matches!(operation.outcome, Outcome::Done(_))).count() as u64
}

/// Acknowledged writes of the key that has the fewest of them. A key that was only read or only sent
/// heartbeats was not meant to be written.
fn fewest_per_key(evidence: &Evidence<'_>) -> u64 {
    let mut of_key: BTreeMap<&Key, u64> = BTreeMap::new();
    for operation in of_workloads(evidence).filter(|operation| operation.action.is_write()) {
        let is_done = matches!(operation.outcome, Outcome::Done(_));
        *of_key.entry(&operation.key).or_default() += u64::from(is_done);
    }
    of_key.into_values().min().unwrap_or(0)
}

/// Times that another member began to lead, in the order of terms.
fn leader_changes(evidence: &Evidence<'_>) -> u64 {
    let mut of_term: BTreeMap<u64, u64> = BTreeMap::new();
    for (_, lead) in &evidence.leads {
        let Some(leader) = lead.leader else { continue };
        // Only who leads knows in which term; of others, the first to say so is as good as any.
        if leader == lead.member {
            of_term.insert(lead.term, leader);
        } else {
            of_term.entry(lead.term).or_insert(leader);
        }
    }
    let leaders: Vec<u64> = of_term.into_values().collect();
    leaders.windows(2).filter(|pair| pair[0] != pair[1]).count() as u64
}

fn faults(evidence: &Evidence<'_>) -> u64 {
    let took_hold = |fault: &crate::history::Fault| fault.phase == Phase::Begin && fault.evidence.is_some();
    evidence.faults.iter().filter(|(_, fault)| took_hold(fault)).count() as u64
}

/// Changes that the watcher was told of that was told of the fewest.
fn fewest_changes(evidence: &Evidence<'_>) -> u64 {
    let mut of_watcher: BTreeMap<u32, u64> = BTreeMap::new();
    for record in evidence.history.feeds().filter(|record| record.watcher < PASSING_WATCHERS_FROM) {
        let is_change = matches!(record.item, FeedItem::Change { .. });
        *of_watcher.entry(record.watcher).or_default() += u64::from(is_change);
    }
    of_watcher.into_values().min().unwrap_or(0)
}
