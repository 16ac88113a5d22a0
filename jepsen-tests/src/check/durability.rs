//! What was acknowledged is there in the end, unless another write took its place; what was refused is
//! not; nothing is there that nobody asked for.

use std::collections::{BTreeMap, BTreeSet};

use kenger_types::Node;

use super::changes::{Told, changes};
use super::evidence::{shows, value_of};
use super::report::Report;
use super::{Checker, Evidence, Finding, Problem};
use crate::history::{Action, Answer, Key, Observed, Operation, Outcome, StateRecord};

/// See the module.
pub(super) struct Durability;

impl Checker for Durability {
    fn name(&self) -> &'static str {
        "durability"
    }

    fn rules(&self) -> &'static [&'static str] {
        &["lost", "altered", "override_lost", "refused", "resurrected", "invented"]
    }

    fn judge(&self, evidence: &Evidence<'_>) -> Finding {
        let mut report = Report::new(self);
        let finals = evidence.states.iter().filter(|(_, state)| state.is_final);
        let Some((place, state)) = finals.max_by_key(|(_, state)| state.revision) else {
            return report.finish();
        };
        report.applies();
        let changes = changes(evidence);
        let mut of_key: BTreeMap<&Key, Vec<(usize, &Operation)>> = BTreeMap::new();
        for (place, operation) in evidence.operations.iter().filter(|(_, it)| it.action.is_write()) {
            of_key.entry(&operation.key).or_default().push((*place, operation));
        }
        let mut nodes: BTreeMap<Key, &Node> = BTreeMap::new();
        for node in &state.nodes {
            let (ns, host) = (node.ns.as_str().to_owned(), node.host.as_str().to_owned());
            nodes.insert(Key { ns, host, port: node.port.get() }, node);
        }
        let keys: BTreeSet<&Key> = of_key.keys().copied().chain(nodes.keys()).collect();
        for key in &keys {
            let end = End {
                evidence,
                key,
                state,
                place: *place,
                writes: of_key.get(*key).map_or(&[], Vec::as_slice),
                told: changes.get(*key).map_or(&[], Vec::as_slice),
            };
            match nodes.get(*key) {
                Some(node) => end.present(node, &mut report),
                None => end.absent(&mut report),
            }
        }
        namespaces(evidence, state, *place, &mut report);
        report.figure("keys", keys.len() as u64);
        report.figure("nodes in the end", nodes.len() as u64);
        report.finish()
    }
}

fn namespaces(evidence: &Evidence<'_>, state: &StateRecord, place: usize, report: &mut Report) {
    let asked: BTreeSet<&str> = evidence.operations.iter().map(|(_, it)| it.key.ns.as_str()).collect();
    for namespace in state.namespaces.iter().filter(|it| !asked.contains(it.name.as_str())) {
        let what = format!("nobody asked for the namespace {}", namespace.name);
        report.broken(Problem::new("invented", what).at(state.at).shown_by([place]));
    }
}

/// What a node came to in the end, and everything that was asked for it.
struct End<'a> {
    evidence: &'a Evidence<'a>,
    key: &'a Key,
    state: &'a StateRecord,
    place: usize,
    writes: &'a [(usize, &'a Operation)],
    told: &'a [Told],
}

impl End<'_> {
    fn problem(&self, rule: &str, what: String, write: Option<usize>) -> Problem {
        Problem::new(rule, what)
            .of(self.key)
            .at(self.state.at)
            .shown_by(write.into_iter().chain([self.place]))
    }

    /// Acknowledged writes that show the node, and their places.
    fn acknowledged(&self) -> impl Iterator<Item = (usize, &Operation, &Observed)> {
        self.writes.iter().filter_map(|(place, write)| match (&write.action, &write.outcome) {
            (Action::Deregister { .. }, _) => None,
            (_, Outcome::Done(Answer::Node(node))) => Some((*place, *write, node)),
            _ => None,
        })
    }

    fn absent(&self, report: &mut Report) {
        let newest = self.acknowledged().max_by_key(|(_, _, node)| node.mod_revision);
        let Some((place, write, node)) = newest else { return };
        if !self.may_be_gone(write, node) {
            let what = format!(
                "{:?} was acknowledged at revision {}, and there is no such node",
                write.action, node.mod_revision
            );
            report.broken(self.problem("lost", what, Some(place)));
        }
    }

    /// Whether something can have removed the node after this write.
    fn may_be_gone(&self, write: &Operation, node: &Observed) -> bool {
        let ranges = self.evidence.covered(&self.key.ns);
        let is_told =
            ranges.iter().any(|(after, up_to)| *after <= node.mod_revision && self.state.revision <= *up_to);
        if is_told {
            return self.told.iter().any(|told| told.revision > node.mod_revision && told.node.is_none());
        }
        let is_removal = |(_, other): &&(usize, &Operation)| {
            matches!(other.action, Action::Deregister { .. })
                && match other.outcome {
                    Outcome::Done(_) => other.returned >= write.called,
                    Outcome::Unknown { .. } | Outcome::Foreign { .. } => true,
                    Outcome::Rejected(_) | Outcome::NotDone { .. } => false,
                }
        };
        // A registration gives it a full time to live; other writes do not keep it alive.
        let is_registration = |write: &Operation| matches!(write.action, Action::Register { .. });
        let registered = self.acknowledged().filter(|(_, write, _)| is_registration(write));
        let renewed = registered.map(|(_, write, _)| write.called).max().unwrap_or(0);
        let may_expire = self.state.at >= renewed + self.evidence.history.run.timers.node_delete_after;
        may_expire || self.writes.iter().any(|write| is_removal(&write))
    }

    fn present(&self, node: &Node, report: &mut Report) {
        let registration = value_of(node).and_then(|value| {
            let asked = |(_, it): &&(usize, &Operation)| matches!(it.action, Action::Register { value: asked, .. } if asked == value);
            self.writes.iter().find(asked)
        });
        let Some((place, registration)) = registration else {
            let what = format!("nobody asked for {node:?}");
            return report.broken(self.problem("invented", what, None));
        };
        match &registration.outcome {
            Outcome::NotDone { .. } | Outcome::Rejected(_) => {
                let what = format!("{:?} was refused, and is there", registration.action);
                report.broken(self.problem("refused", what, Some(*place)));
            }
            Outcome::Done(answer) => self.is_current(node, (*place, registration), answer, report),
            Outcome::Unknown { .. } | Outcome::Foreign { .. } => {}
        }
        let newest = self.acknowledged().max_by_key(|(_, _, shown)| shown.mod_revision);
        if let Some((place, write, shown)) = newest {
            if shown.mod_revision > node.mod_revision.0 {
                let what = format!(
                    "{:?} was acknowledged at revision {}, and the node is of revision {}",
                    write.action, shown.mod_revision, node.mod_revision
                );
                report.broken(self.problem("lost", what, Some(place)));
            } else if shown.mod_revision == node.mod_revision.0 && !shows(shown, node) {
                let what = format!("{shown:?} was acknowledged, and there is {node:?}");
                report.broken(self.problem("altered", what, Some(place)));
            }
        }
        self.weight(node, report);
    }

    /// No other registration came after the one that is there, nor was the node removed after it.
    fn is_current(
        &self,
        node: &Node,
        (place, registration): (usize, &Operation),
        answer: &Answer,
        report: &mut Report,
    ) {
        let removal = self.writes.iter().find(|(_, other)| {
            let is_done = matches!(other.outcome, Outcome::Done(_));
            matches!(other.action, Action::Deregister { .. })
                && is_done
                && other.called > registration.returned
        });
        if let Some((removal, _)) = removal {
            let what = format!("{:?} was followed by its removal, and is there", registration.action);
            report.broken(
                self.problem("resurrected", what, Some(place)).shown_by([place, *removal, self.place]),
            );
        }
        let Answer::Node(mine) = answer else { return };
        let later = self.acknowledged().find(|(_, other, shown)| {
            let is_registration = matches!(other.action, Action::Register { .. });
            is_registration && (mine.mod_revision + 1..=node.mod_revision.0).contains(&shown.mod_revision)
        });
        if let Some((later, other, shown)) = later {
            let what = format!(
                "{:?} was acknowledged at revision {}, and the node has the value of before",
                other.action, shown.mod_revision
            );
            report.broken(self.problem("lost", what, Some(later)));
        }
    }

    /// The weight is that of the last acknowledged request for one, or of one without an answer.
    fn weight(&self, node: &Node, report: &mut Report) {
        let weight = u32::from(node.weight.get());
        let declared = u32::from(node.registered_weight.get());
        let asked = |(place, write): &(usize, &'_ Operation)| match write.action {
            Action::SetWeight { weight, .. } => Some((*place, weight.unwrap_or(declared))),
            _ => None,
        };
        let is_open =
            |write: &Operation| matches!(write.outcome, Outcome::Unknown { .. } | Outcome::Foreign { .. });
        let open = self.writes.iter().filter(|(_, write)| is_open(write)).filter_map(asked);
        let is_possible = open.map(|(_, weight)| weight).any(|possible| possible == weight);
        let done = self.acknowledged().filter(|(_, write, shown)| {
            matches!(write.action, Action::SetWeight { .. }) && shown.id == node.id.0
        });
        let last = done.max_by_key(|(_, _, shown)| shown.mod_revision);
        match last.and_then(|(place, write, _)| asked(&(place, write))) {
            Some((place, set)) if set != weight && !is_possible => {
                let what = format!("the weight was set to {set}, and is {weight}");
                report.broken(self.problem("override_lost", what, Some(place)));
            }
            None if weight != declared && !is_possible => {
                let refused = self.writes.iter().filter_map(asked).find(|(_, asked)| *asked == weight);
                let rule = if refused.is_some() { "refused" } else { "invented" };
                let what = format!("the weight is {weight}, and nobody has set it in this registration");
                report.broken(self.problem(rule, what, refused.map(|(place, _)| place)));
            }
            _ => {}
        }
    }
}
