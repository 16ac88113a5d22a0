//! Revisions: their order is that of time, what an answer shows at a revision is what the feed tells of
//! it, and a snapshot with the changes after it is the state of any member at any revision.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kenger_types::Node;
use kenger_types::feed::Change;

use super::evidence::{Event, Told, shows};
use super::report::Report;
use super::{Checker, Evidence, Finding, Problem};
use crate::history::{Action, Answer, Key, Micros, Observed, Operation, Outcome};
use crate::observe::Replica;

/// See the module.
pub(super) struct Revisions;

impl Checker for Revisions {
    fn name(&self) -> &'static str {
        "revisions"
    }

    fn rules(&self) -> &'static [&'static str] {
        &["order", "ahead", "reused", "unfed", "told_otherwise", "stamp", "unfit", "replay", "snapshot"]
    }

    fn judge(&self, evidence: &Evidence<'_>) -> Finding {
        let mut report = Report::new(self);
        let observed: Vec<_> = evidence.operations.iter().filter_map(observed).collect();
        if !observed.is_empty() || !evidence.told.is_empty() {
            report.applies();
        }
        order(evidence, &observed, &mut report);
        reused(&observed, &mut report);
        fed(evidence, &observed, &mut report);
        stamps(evidence, &mut report);
        replay(evidence, &mut report);
        report.figure("answers", observed.len() as u64);
        report.figure("revisions", evidence.told.len() as u64);
        report.finish()
    }
}

/// An answer that shows a node.
struct Shown<'a> {
    place: usize,
    operation: &'a Operation,
    node: &'a Observed,
}

impl Shown<'_> {
    fn problem(&self, rule: &str, what: String) -> Problem {
        Problem::new(rule, what).of(&self.operation.key).at(self.operation.returned).shown_by([self.place])
    }

    /// A registration always changes something, because no two say the same.
    fn is_registration(&self) -> bool {
        matches!(self.operation.action, Action::Register { .. })
    }
}

fn observed<'a>((place, operation): &(usize, &'a Operation)) -> Option<Shown<'a>> {
    match &operation.outcome {
        Outcome::Done(Answer::Node(node)) => Some(Shown { place: *place, operation, node }),
        _ => None,
    }
}

/// What was known before a request was made is not newer than its answer.
fn order(evidence: &Evidence<'_>, observed: &[Shown<'_>], report: &mut Report) {
    let mut known: Vec<(Micros, u64, usize)> = Vec::new();
    for shown in observed {
        let revision = shown.node.revision.unwrap_or(0).max(shown.node.mod_revision);
        known.push((shown.operation.returned, revision, shown.place));
        if shown.node.revision.is_some_and(|revision| revision < shown.node.mod_revision) {
            let what =
                format!("revision {:?} shows mod_revision {}", shown.node.revision, shown.node.mod_revision);
            report.broken(shown.problem("ahead", what));
        }
    }
    known.extend(evidence.told.iter().map(|(revision, told)| (told.seen, *revision, told.place)));
    known.extend(evidence.states.iter().map(|(place, state)| (state.at, state.revision, *place)));
    known.sort_unstable();
    let mut newest = (0, 0);
    for (_, revision, place) in &mut known {
        newest = newest.max((*revision, *place));
        (*revision, *place) = newest;
    }
    for shown in observed {
        let before = known.partition_point(|(at, ..)| *at < shown.operation.called);
        let Some((_, newest, place)) = before.checked_sub(1).map(|last| known[last]) else { continue };
        let is_behind = shown.node.revision.is_some_and(|revision| revision < newest)
            || (shown.is_registration() && shown.node.mod_revision <= newest);
        if is_behind {
            let Observed { mod_revision, revision, .. } = shown.node;
            let what = format!(
                "an answer is of revision {revision:?} with mod_revision {mod_revision}, and {newest} was known before"
            );
            let problem = shown.problem("order", what);
            report.broken(problem.shown_by([place, shown.place]));
        }
    }
}

fn reused(observed: &[Shown<'_>], report: &mut Report) {
    let mut made: HashMap<u64, usize> = HashMap::new();
    for shown in observed.iter().filter(|shown| shown.is_registration()) {
        if let Some(other) = made.insert(shown.node.mod_revision, shown.place) {
            let what = format!("two registrations made revision {}", shown.node.mod_revision);
            report.broken(shown.problem("reused", what).shown_by([other, shown.place]));
        }
    }
}

/// A node that was last changed at a revision is in the feed at that revision, as it was shown.
fn fed(evidence: &Evidence<'_>, observed: &[Shown<'_>], report: &mut Report) {
    let mut ranges: HashMap<&str, Vec<(u64, u64)>> = HashMap::new();
    let mut compared = 0;
    for shown in observed {
        let key = &shown.operation.key;
        let revision = shown.node.mod_revision;
        let ranges = ranges.entry(&key.ns).or_insert_with(|| evidence.covered(&key.ns));
        if !ranges.iter().any(|(after, up_to)| (after + 1..=*up_to).contains(&revision)) {
            continue;
        }
        compared += 1;
        let told = evidence.told.get(&revision);
        match told.and_then(|told| Some((told, put(told, key)?))) {
            None => {
                let what = format!(
                    "{:?} made revision {revision}, which the feed does not tell",
                    shown.operation.action
                );
                let places = told.map(|told| told.place).into_iter().chain([shown.place]);
                report.broken(shown.problem("unfed", what).shown_by(places));
            }
            Some((told, node)) if !shows(shown.node, node) => {
                let what = format!("{:?} was answered, and the feed tells {node:?}", shown.node);
                report.broken(shown.problem("told_otherwise", what).shown_by([told.place, shown.place]));
            }
            Some(_) => {}
        }
    }
    report.figure("compared with the feed", compared);
}

/// The node as the revision left it, if it has it.
fn put<'a>(told: &'a Told, key: &Key) -> Option<&'a Node> {
    told.event.changes.iter().rev().find_map(|change| match change {
        Change::NodePut { node, .. } if super::evidence::is_at(node, key) => Some(node),
        _ => None,
    })
}

fn stamps(evidence: &Evidence<'_>, report: &mut Report) {
    for (revision, told) in &evidence.told {
        for change in &told.event.changes {
            let stamp = match change {
                Change::NodePut { node, .. } => node.mod_revision.0,
                Change::NamespacePut { namespace } => namespace.mod_revision.0,
                Change::NodeDeleted { .. } | Change::NamespaceDeleted { .. } => continue,
            };
            if stamp != *revision {
                let what = format!("revision {revision} has a change of mod_revision {stamp}");
                report.broken(Problem::new("stamp", what).at(told.seen).shown_by([told.place]));
            }
        }
    }
}

/// Something that shows everything at one revision.
struct View<'a> {
    rule: &'static str,
    place: usize,
    at: Micros,
    namespaces: &'a [String],
    replica: Replica,
}

/// One replica is begun with a snapshot and kept up by changes; all that anybody was shown whole is
/// compared with it.
fn replay(evidence: &Evidence<'_>, report: &mut Report) {
    let mut views: BTreeMap<u64, Vec<View<'_>>> = BTreeMap::new();
    for stream in &evidence.streams {
        for item in &stream.items {
            let Event::Snapshot(snapshot) = &item.event else { continue };
            let replica = Replica::of(snapshot.revision.0, &snapshot.namespaces, &snapshot.nodes);
            let namespaces = stream.namespaces;
            let view = View { rule: "snapshot", place: item.place, at: item.at, namespaces, replica };
            views.entry(snapshot.revision.0).or_default().push(view);
        }
    }
    for (place, state) in &evidence.states {
        let replica = Replica::of(state.revision, &state.namespaces, &state.nodes);
        let view = View { rule: "replay", place: *place, at: state.at, namespaces: &[], replica };
        views.entry(state.revision).or_default().push(view);
    }
    let revisions: BTreeSet<u64> = evidence.told.keys().chain(views.keys()).copied().collect();
    let mut replica: Option<Replica> = None;
    let mut compared = 0;
    for revision in revisions {
        replica = replica.filter(|replica| replica.revision < revision).and_then(|mut replica| {
            let told = evidence.told.get(&revision).filter(|told| told.is_whole)?;
            if replica.revision + 1 != revision {
                return None;
            }
            let applied = replica.apply(told.event.as_ref().clone());
            if let Err(what) = &applied {
                report.broken(Problem::new("unfit", what.clone()).at(told.seen).shown_by([told.place]));
            }
            applied.ok().map(|()| replica)
        });
        let views = views.get(&revision).map_or(&[] as &[_], Vec::as_slice);
        let begin = || views.iter().find(|view| view.namespaces.is_empty() && view.rule == "snapshot");
        replica = replica.or_else(|| begin().map(|view| view.replica.clone()));
        let Some(replica) = &replica else { continue };
        for view in views {
            compared += 1;
            let wants = |ns: &str| view.namespaces.is_empty() || view.namespaces.iter().any(|it| it == ns);
            if let Some(difference) = replica.only(wants).difference(&view.replica) {
                let what = format!("at revision {revision} the feed has led to another state: {difference}");
                report.broken(Problem::new(view.rule, what).at(view.at).shown_by([view.place]));
            }
        }
    }
    report.figure("states compared", compared);
}
