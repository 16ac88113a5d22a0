//! Members that have applied the same revision have the same state, whichever member and whenever; in
//! the end all have applied the same.

use std::collections::BTreeMap;

use kenger_types::{Namespace, Node};

use super::report::Report;
use super::{Checker, Evidence, Finding, Problem};
use crate::history::{Happened, StateRecord};

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
    let namespaces = |state: &StateRecord| -> BTreeMap<_, Namespace> {
        state.namespaces.iter().map(|namespace| (namespace.id, uncounted(namespace))).collect()
    };
    let nodes = |state: &StateRecord| -> BTreeMap<_, Node> {
        state.nodes.iter().map(|node| (node.id, unheard(node))).collect()
    };
    first_difference(&namespaces(a), &namespaces(b)).or_else(|| first_difference(&nodes(a), &nodes(b)))
}

fn first_difference<K: Ord, V: PartialEq + std::fmt::Debug>(
    a: &BTreeMap<K, V>,
    b: &BTreeMap<K, V>,
) -> Option<String> {
    let keys = a.keys().chain(b.keys());
    let key = keys.into_iter().find(|key| a.get(key) != b.get(key))?;
    Some(format!("{:?} and {:?}", a.get(key), b.get(key)))
}

/// The counts are derived, and not in every view.
pub(super) fn uncounted(namespace: &Namespace) -> Namespace {
    Namespace { node_count: None, online_count: None, ..namespace.clone() }
}

/// When a node was last heard from is not replicated.
pub(super) fn unheard(node: &Node) -> Node {
    Node { last_heartbeat: None, ..node.clone() }
}
