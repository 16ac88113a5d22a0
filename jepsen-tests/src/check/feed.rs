//! The feed: in order, each revision once, without a gap, whole, from where a watcher resumed, the same
//! for everybody, complete in the end, and of nothing that was not committed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kenger_types::ClusterId;
use kenger_types::feed::{Change, ChangeEvent, NodeCause};

use super::evidence::{Event, Item, Stream, Told};
use super::report::Report;
use super::{Checker, Evidence, Finding, Problem};
use crate::history::{Action, Outcome, PASSING_WATCHERS_FROM};

/// See the module.
pub(super) struct Feed;

impl Checker for Feed {
    fn name(&self) -> &'static str {
        "feed"
    }

    fn rules(&self) -> &'static [&'static str] {
        &[
            "body",
            "id",
            "foreign",
            "beginning",
            "resume",
            "back",
            "gap",
            "repeat",
            "empty",
            "filter",
            "last",
            "atomic",
            "differs",
            "uncommitted",
            "converge",
        ]
    }

    fn judge(&self, evidence: &Evidence<'_>) -> Finding {
        let mut report = Report::new(self);
        if !evidence.streams.is_empty() {
            report.applies();
        }
        let mut cluster = None;
        let mut cursors: HashMap<u32, u64> = HashMap::new();
        for stream in &evidence.streams {
            let mut reader =
                Reader { stream, told: &evidence.told, cursor: stream.after, report: &mut report };
            reader.same_place(cursors.get(&stream.watcher).copied());
            for (number, item) in stream.items.iter().enumerate() {
                reader.same_cluster(item, &mut cluster);
                reader.read(number, item);
            }
            cursors.extend(reader.cursor.map(|cursor| (stream.watcher, cursor)));
        }
        uncommitted(evidence, &mut report);
        converge(evidence, &mut report);
        report.figure("streams", evidence.streams.len() as u64);
        report.figure("revisions", evidence.told.len() as u64);
        report.finish()
    }
}

/// Follows one stream.
struct Reader<'a> {
    stream: &'a Stream<'a>,
    told: &'a BTreeMap<u64, Told>,
    /// Everything up to here has been told.
    cursor: Option<u64>,
    report: &'a mut Report,
}

impl Reader<'_> {
    fn broken(&mut self, rule: &str, item: &Item, what: &str) {
        let Stream { watcher, member, .. } = self.stream;
        let what = format!("watcher {watcher} at member {member}: {what}");
        self.report.broken(Problem::new(rule, what).at(item.at).shown_by([self.stream.opened, item.place]));
    }

    /// A watcher that resumes after what it has not been told will never be.
    fn same_place(&mut self, told: Option<u64>) {
        let Some(first) = self.stream.items.first() else { return };
        if let (Some(after), Some(told)) = (self.stream.after, told)
            && after > told
            && !matches!(first.event, Event::Snapshot(_))
        {
            self.broken("gap", first, &format!("it resumed after {after}, and had been told up to {told}"));
        }
    }

    fn same_cluster(&mut self, item: &Item, cluster: &mut Option<ClusterId>) {
        let id = match &item.event {
            Event::Snapshot(snapshot) => snapshot.cluster_id,
            Event::Bookmark(bookmark) => bookmark.cluster_id,
            Event::Leader(leader) => leader.cluster_id,
            Event::Change(_) | Event::Unreadable(_) => return,
        };
        let first = *cluster.get_or_insert(id);
        if first != id {
            self.broken("foreign", item, &format!("cluster {id} after {first}"));
        }
    }

    fn read(&mut self, number: usize, item: &Item) {
        let before = number.checked_sub(1).map(|before| &self.stream.items[before].event);
        if matches!(before, Some(Event::Leader(_))) {
            self.broken("last", item, "something came after the event that ends the stream");
        }
        let revision = match &item.event {
            Event::Unreadable(why) => return self.broken("body", item, why),
            Event::Leader(_) => return,
            Event::Snapshot(snapshot) => snapshot.revision.0,
            Event::Change(change) => change.revision.0,
            Event::Bookmark(bookmark) => bookmark.revision.0,
        };
        if item.id != Some(revision) {
            self.broken("id", item, &format!("the id {:?} of revision {revision}", item.id));
        }
        match &item.event {
            Event::Snapshot(_) => self.snapshot(number, item, revision),
            Event::Change(change) => self.change(number, item, change),
            _ => self.bookmark(number, item, revision),
        }
        self.cursor = Some(revision);
    }

    fn snapshot(&mut self, number: usize, item: &Item, revision: u64) {
        if let Some(cursor) = self.cursor.filter(|cursor| *cursor > revision) {
            let rule = if number == 0 { "resume" } else { "back" };
            self.broken(rule, item, &format!("a snapshot of revision {revision} after {cursor}"));
        }
    }

    fn bookmark(&mut self, number: usize, item: &Item, revision: u64) {
        let Some(cursor) = self.cursor else {
            let what = "a stream without a place to resume from began with a bookmark";
            return self.broken("beginning", item, what);
        };
        if revision < cursor {
            let rule = if number == 0 { "resume" } else { "back" };
            self.broken(rule, item, &format!("a bookmark at revision {revision} after {cursor}"));
        } else if let Some(missed) = self.missed(cursor, revision + 1) {
            let rule = if number == 0 { "resume" } else { "gap" };
            self.broken(rule, item, &format!("a bookmark at revision {revision} hides {missed}"));
        }
    }

    fn change(&mut self, number: usize, item: &Item, change: &Arc<ChangeEvent>) {
        let revision = change.revision.0;
        if number == 0 {
            self.broken("beginning", item, "the first event was a change: whose history is it?");
        }
        if change.changes.is_empty() {
            self.broken("empty", item, &format!("revision {revision} changes nothing"));
        }
        match self.cursor {
            Some(cursor) if revision <= cursor => {
                self.broken("repeat", item, &format!("revision {revision} after {cursor}"));
            }
            Some(cursor) => {
                if let Some(missed) = self.missed(cursor, revision) {
                    self.broken(
                        "gap",
                        item,
                        &format!("revision {revision} after {cursor}: {missed} is missing"),
                    );
                }
            }
            None => {}
        }
        let is_foreign = |change: &Change| !self.stream.wants(change.namespace().as_str());
        if change.changes.iter().any(is_foreign) {
            self.broken("filter", item, &format!("revision {revision} has changes that nobody asked for"));
        }
        self.compare(item, change);
    }

    /// The first revision between `after` and `before` that should have been told.
    fn missed(&self, after: u64, before: u64) -> Option<u64> {
        if self.stream.namespaces.is_empty() {
            return (after + 1 < before).then_some(after + 1);
        }
        let is_wanted = |told: &Told| {
            told.event.changes.iter().any(|change| self.stream.wants(change.namespace().as_str()))
        };
        if after + 1 >= before {
            return None;
        }
        self.told.range(after + 1..before).find(|(_, told)| is_wanted(told)).map(|(revision, _)| *revision)
    }

    fn compare(&mut self, item: &Item, change: &Arc<ChangeEvent>) {
        let Some(told) = self.told.get(&change.revision.0).filter(|told| told.is_whole) else { return };
        if Arc::ptr_eq(&told.event, change) {
            return;
        }
        let wanted = |change: &&Change| self.stream.wants(change.namespace().as_str());
        let expected: Vec<&Change> = told.event.changes.iter().filter(wanted).collect();
        let found: Vec<&Change> = change.changes.iter().collect();
        if expected == found {
            return;
        }
        let is_part = |part: &[&Change], whole: &[&Change]| part.iter().all(|change| whole.contains(change));
        let rule =
            if is_part(&found, &expected) || is_part(&expected, &found) { "atomic" } else { "differs" };
        let what = format!("revision {} is {found:?}, and {expected:?} elsewhere", change.revision);
        self.broken(rule, item, &what);
    }
}

/// Registrations that were told although they were refused, or before they were asked for; revisions
/// that the members do not have in the end.
fn uncommitted(evidence: &Evidence<'_>, report: &mut Report) {
    let asked: HashMap<u64, _> = evidence
        .operations
        .iter()
        .filter_map(|(place, operation)| match operation.action {
            Action::Register { value, .. } => Some((value, (*place, *operation))),
            _ => None,
        })
        .collect();
    let last = evidence.states.iter().filter(|(_, state)| state.is_final).map(|(_, state)| state);
    let last = last.max_by_key(|state| state.revision);
    for (revision, told) in &evidence.told {
        if let Some(last) = last.filter(|last| last.revision < *revision && told.seen <= last.asked) {
            let what = format!("revision {revision} was told, and members end at {}", last.revision);
            report.broken(Problem::new("uncommitted", what).at(told.seen).shown_by([told.place]));
        }
        for change in &told.event.changes {
            let Change::NodePut { cause: NodeCause::Registered, node } = change else { continue };
            let Some((place, operation)) =
                super::evidence::value_of(node).and_then(|value| asked.get(&value))
            else {
                continue;
            };
            let why = match operation.outcome {
                Outcome::NotDone { .. } | Outcome::Rejected(_) => "it was refused",
                _ if told.seen < operation.called => "nobody had asked for it yet",
                _ => continue,
            };
            let what = format!("revision {revision} tells {:?}, and {why}", operation.action);
            let problem = Problem::new("uncommitted", what).of(&operation.key).at(told.seen);
            report.broken(problem.shown_by([*place, told.place]));
        }
    }
}

/// In the end each watcher has been told everything.
fn converge(evidence: &Evidence<'_>, report: &mut Report) {
    let finals = evidence.states.iter().filter(|(_, state)| state.is_final);
    let Some((place, last)) = finals.max_by_key(|(_, state)| state.revision) else { return };
    let mut cursors: BTreeMap<u32, (&Stream<'_>, Option<u64>)> = BTreeMap::new();
    let lasting = |stream: &&Stream<'_>| stream.watcher < PASSING_WATCHERS_FROM;
    for stream in evidence.streams.iter().filter(lasting) {
        let reached = stream.items.iter().rev().find_map(|item| match &item.event {
            Event::Snapshot(snapshot) => Some(snapshot.revision.0),
            Event::Change(change) => Some(change.revision.0),
            Event::Bookmark(bookmark) => Some(bookmark.revision.0),
            Event::Leader(_) | Event::Unreadable(_) => None,
        });
        let before = cursors.get(&stream.watcher).and_then(|(_, cursor)| *cursor);
        cursors.insert(stream.watcher, (stream, reached.or(before)));
    }
    for (watcher, (stream, cursor)) in cursors {
        let is_wanted =
            |told: &Told| told.event.changes.iter().any(|change| stream.wants(change.namespace().as_str()));
        let newest = if stream.namespaces.is_empty() {
            last.revision
        } else {
            let mut told = evidence.told.range(..=last.revision).rev();
            told.find(|(_, told)| is_wanted(told)).map_or(0, |(revision, _)| *revision)
        };
        if cursor.is_none_or(|cursor| cursor < newest) {
            let what = format!("watcher {watcher} has come to {cursor:?}, and there are {newest} revisions");
            report.broken(Problem::new("converge", what).at(last.at).shown_by([stream.opened, *place]));
        }
    }
}
