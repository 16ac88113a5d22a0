//! Members that have applied the same revision have the same state, whichever member and whenever; in
//! the end all have applied the same.

use std::collections::BTreeMap;

use super::report::Report;
use super::{Checker, Evidence, Finding, Problem};
use crate::history::{Happened, StateRecord};
use crate::observe::Replica;

/// See the module.
pub(super) struct Agreement;

impl Checker for Agreement {
    fn name(&self) -> &'static str {
        "agreement"
    }

    fn rules(&self) -> &'static [&'static str] {
        &["differs", "final_revision", "back"]
    }

    fn judge(&self, evidence: &Evidence<'_>) -> Finding {
        let mut report = Report::new(self);
        if evidence.states.len() > 1 {
            report.applies();
        }
        let mut at_revision: BTreeMap<u64, (usize, &StateRecord)> = BTreeMap::new();
        let mut compared = 0;
        for (place, state) in &evidence.states {
            let (first_place, first) = *at_revision.entry(state.revision).or_insert((*place, state));
            if first_place == *place {
                continue;
            }
            compared += 1;
            if let Some(difference) = difference(first, state) {
                let what = format!(
                    "members {} and {} differ at revision {}: {difference}",
                    first.member, state.member, state.revision
                );
                report.broken(Problem::new("differs", what).at(state.at).shown_by([first_place, *place]));
            }
        }
        final_revisions(evidence, &mut report);
        steps_back(evidence, &mut report);
        report.figure("states", evidence.states.len() as u64);
        report.figure("compared", compared);
        report.finish()
    }
}

fn final_revisions(evidence: &Evidence<'_>, report: &mut Report) {
    // A member may be read more than once until it has caught up: its last state counts.
    let mut of_member: BTreeMap<u64, (usize, &StateRecord)> = BTreeMap::new();
    for (place, state) in evidence.states.iter().filter(|(_, state)| state.is_final) {
        of_member.insert(state.member, (*place, state));
    }
    let Some((_, (first_place, first))) = of_member.first_key_value() else { return };
    for (place, state) in of_member.values().filter(|(_, state)| state.revision != first.revision) {
        let what = format!(
            "in the end member {} is at revision {} and member {} at {}",
            first.member, first.revision, state.member, state.revision
        );
        report.broken(Problem::new("final_revision", what).at(state.at).shown_by([*first_place, *place]));
    }
}

/// What a member has applied it has not unlearned later, as long as the process lives.
fn steps_back(evidence: &Evidence<'_>, report: &mut Report) {
    let mut last: BTreeMap<u64, (usize, &StateRecord)> = BTreeMap::new();
    for (place, state) in &evidence.states {
        if let Some((before_place, before)) = last.insert(state.member, (*place, state))
            && state.revision < before.revision
            && !was_restarted(evidence, state.member, before.at, state.at)
        {
            let what = format!(
                "member {} went back from revision {} to {}",
                state.member, before.revision, state.revision
            );
            report.broken(Problem::new("back", what).at(state.at).shown_by([before_place, *place]));
        }
    }
}

fn was_restarted(evidence: &Evidence<'_>, member: u64, from: u64, to: u64) -> bool {
    let process = format!("member {member}");
    evidence.lives.iter().any(|(_, life)| {
        life.process == process && (from..=to).contains(&life.at) && life.happened != Happened::Ready
    })
}

/// The first thing in which two states differ; `None` if they are equal.
fn difference(a: &StateRecord, b: &StateRecord) -> Option<String> {
    let all = |state: &StateRecord| Replica::of(state.revision, &state.namespaces, &state.nodes);
    all(a).difference(&all(b))
}
