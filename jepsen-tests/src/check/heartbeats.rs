//! A node whose heartbeats are acknowledged stays online and known; one that is silent goes offline,
//! and is deleted, in time.
//!
//! All is counted so that it errs in favour of the cluster: a heartbeat counts from when it was asked
//! for, what the feed tells from when it can have happened at the latest or at the earliest.

use std::collections::BTreeMap;

use kenger_types::NodeStatus;

use super::changes::{Cause, Clock, Told, changes};
use super::report::{Report, ms};
use super::{Checker, Evidence, Finding, Problem};
use crate::history::{Action, Answer, Key, Micros, Operation, Outcome};

/// How much later than promised a silent node may go offline, on a machine that has too much to do:
/// ticks that come late give time back to all leases.
const LIVENESS_MARGIN: Micros = 5_000_000;

/// See the module.
pub(super) struct Heartbeats;

impl Checker for Heartbeats {
    fn name(&self) -> &'static str {
        "heartbeats"
    }

    fn rules(&self) -> &'static [&'static str] {
        &["early", "seen_offline", "deleted_early", "forgotten", "late", "undeleted"]
    }

    fn judge(&self, evidence: &Evidence<'_>) -> Finding {
        let mut report = Report::new(self);
        let changes = changes(evidence);
        let clock = Clock::of(evidence);
        let disturbances = disturbances(evidence);
        let mut of_key: BTreeMap<&Key, Vec<(usize, &Operation)>> = BTreeMap::new();
        for (place, operation) in &evidence.operations {
            of_key.entry(&operation.key).or_default().push((*place, operation));
        }
        let (mut beats, mut offline, mut silences) = (0, 0, Vec::new());
        for (key, operations) in of_key {
            let node = Life {
                evidence,
                clock: &clock,
                key,
                told: changes.get(key).map_or(&[], Vec::as_slice),
                beats: acknowledged(&operations),
                operations,
            };
            beats += node.beats.len() as u64;
            offline += node.told.iter().filter(|told| is_offline(told)).count() as u64;
            node.stays_online(&mut report, &mut silences);
            node.is_seen_online(&mut report);
            node.is_known(&mut report);
            node.goes_in_time(&disturbances, &mut report);
        }
        if beats > 0 || offline > 0 {
            report.applies();
        }
        report.figure("acknowledged heartbeats", beats);
        report.figure("went offline", offline);
        report.times("offline after the last sign of life", &mut silences);
        report.finish()
    }
}

/// An acknowledged heartbeat.
#[derive(Clone, Copy)]
struct Beat {
    place: usize,
    called: Micros,
    returned: Micros,
}

fn acknowledged(operations: &[(usize, &Operation)]) -> Vec<Beat> {
    let done = operations.iter().filter(|(_, operation)| {
        operation.action == Action::Heartbeat && matches!(operation.outcome, Outcome::Done(_))
    });
    let mut beats: Vec<Beat> =
        done.map(|(place, it)| Beat { place: *place, called: it.called, returned: it.returned }).collect();
    beats.sort_by_key(|beat| beat.called);
    beats
}

/// From when to when leases may have begun anew, or heartbeats could not get through.
fn disturbances(evidence: &Evidence<'_>) -> Vec<(Micros, Micros)> {
    let leads = evidence.leads.iter().map(|(_, lead)| (lead.at, lead.at));
    let mut all: Vec<_> = evidence.spans().chain(leads).collect();
    all.sort_unstable();
    all
}

fn is_offline(told: &Told) -> bool {
    told.cause == Cause::Lease && told.node.as_ref().is_some_and(|node| !node.is_online)
}

fn is_renewal(told: &Told) -> bool {
    told.cause == Cause::Register
        || (told.cause == Cause::Lease && told.node.as_ref().is_some_and(|node| node.is_online))
}

/// All that is known of one node.
struct Life<'a> {
    evidence: &'a Evidence<'a>,
    clock: &'a Clock,
    key: &'a Key,
    told: &'a [Told],
    beats: Vec<Beat>,
    operations: Vec<(usize, &'a Operation)>,
}

impl Life<'_> {
    fn ttl(&self, told: Option<&Told>) -> Micros {
        let own = told.and_then(|told| told.node.as_ref()?.ttl);
        own.unwrap_or(self.evidence.history.run.timers.node_ttl)
    }

    /// Silence after which it is deleted: a node with a time to live of its own stays offline for as long
    /// as any other.
    fn delete_after(&self, told: &[Told]) -> Micros {
        let timers = &self.evidence.history.run.timers;
        timers.node_delete_after + self.last_ttl(told).saturating_sub(timers.node_ttl)
    }

    /// The time to live that it was last told with; its end tells none.
    fn last_ttl(&self, told: &[Told]) -> Micros {
        self.ttl(told.iter().rev().find(|told| told.node.is_some()))
    }

    /// The time before which the last renewal of the lease before this change was not.
    fn renewed(&self, index: usize) -> Option<Micros> {
        let before = self.told[..index].iter().rev().find(|told| is_renewal(told))?;
        let value = before.node.as_ref().and_then(|node| node.value);
        let asked = self.operations.iter().find(|(_, it)| {
            before.cause == Cause::Register
                && matches!(it.action, Action::Register { value: asked, .. } if Some(asked) == value)
        });
        let called = asked.map_or(0, |(_, operation)| operation.called);
        Some(called.max(self.clock.not_before(before.revision)))
    }

    /// Neither goes offline nor is deleted before its time.
    fn stays_online(&self, report: &mut Report, silences: &mut Vec<Micros>) {
        let mut went_offline = None;
        for (index, told) in self.told.iter().enumerate() {
            let is_deletion = told.cause == Cause::Lease && told.node.is_none();
            if is_offline(told) {
                went_offline = Some(told.revision);
                self.not_early(index, told, report, silences);
            } else if is_deletion {
                let certain = self.clock.not_before(went_offline.take().unwrap_or(told.revision));
                let beat =
                    self.beats.iter().filter(|beat| beat.returned <= certain).map(|beat| beat.called).max();
                let Some(renewed) = self.renewed(index).max(beat) else { continue };
                let at = self.clock.not_after(told.revision);
                let due = renewed + self.delete_after(&self.told[..index]);
                if at < due {
                    let what = format!("deleted {} after it was last heard from", ms(at - renewed.min(at)));
                    report.broken(
                        Problem::new("deleted_early", what).of(self.key).at(at).shown_by([told.place]),
                    );
                }
            }
        }
    }

    /// Follows the acknowledged heartbeats from the last renewal on: each that was answered before the
    /// lease ran out has renewed it. The one that was marked offline must lie behind all of them.
    fn not_early(&self, index: usize, told: &Told, report: &mut Report, silences: &mut Vec<Micros>) {
        let ttl = self.ttl(Some(told));
        let (from, until) = (self.clock.not_before(told.revision), self.clock.not_after(told.revision));
        let certain = self
            .beats
            .iter()
            .filter(|beat| beat.returned <= from)
            .map(|beat| (beat.called, beat.place))
            .max();
        let begin = self.renewed(index).map(|at| (at, told.place)).max(certain);
        let Some((mut renewed, mut by)) = begin else { return };
        for beat in self.beats.iter().filter(|beat| beat.called > begin.map_or(0, |(at, _)| at)) {
            if beat.returned >= renewed + ttl || beat.called > until {
                break;
            }
            (renewed, by) = (beat.called, beat.place);
        }
        silences.push(until.saturating_sub(renewed));
        if until < renewed + ttl {
            let what = format!(
                "marked offline at revision {}, {} after a renewal, with a time to live of {}",
                told.revision,
                ms(until.saturating_sub(renewed)),
                ms(ttl)
            );
            report.broken(Problem::new("early", what).of(self.key).at(until).shown_by([by, told.place]));
        }
    }

    /// A read does not show a node offline that has just been heard from.
    fn is_seen_online(&self, report: &mut Report) {
        let ttl = self.last_ttl(self.told);
        for (place, operation) in &self.operations {
            let Outcome::Done(Answer::Node(node)) = &operation.outcome else { continue };
            if operation.action != Action::Read || node.status == NodeStatus::Online {
                continue;
            }
            let heard = self
                .beats
                .iter()
                .find(|beat| beat.returned < operation.called && operation.returned < beat.called + ttl);
            if let Some(beat) = heard {
                let what = format!(
                    "a read shows it offline {} after a heartbeat",
                    ms(operation.returned - beat.called)
                );
                let problem = Problem::new("seen_offline", what).of(self.key).at(operation.returned);
                report.broken(problem.shown_by([beat.place, *place]));
            }
        }
    }

    /// A heartbeat of a node that is registered finds it.
    fn is_known(&self, report: &mut Report) {
        let delete_after = self.delete_after(self.told);
        for (place, beat) in &self.operations {
            let is_unknown =
                beat.action == Action::Heartbeat && matches!(beat.outcome, Outcome::Rejected(Answer::Absent));
            if !is_unknown {
                continue;
            }
            let registered = self.operations.iter().filter(|(_, it)| {
                let is_done = matches!(it.outcome, Outcome::Done(_));
                matches!(it.action, Action::Register { .. }) && is_done && it.returned < beat.called
            });
            let Some((registration, last)) = registered.max_by_key(|(_, it)| it.called) else { continue };
            let may_be_removed = self.operations.iter().any(|(_, it)| {
                matches!(it.action, Action::Deregister { .. })
                    && it.called <= beat.returned
                    && match it.outcome {
                        Outcome::Done(_) => it.returned >= last.called,
                        Outcome::Unknown { .. } | Outcome::Foreign { .. } => true,
                        Outcome::NotDone { .. } | Outcome::Rejected(_) => false,
                    }
            });
            let heard = self
                .beats
                .iter()
                .filter(|heard| heard.returned < beat.called)
                .map(|heard| heard.called)
                .max();
            let renewed = heard.unwrap_or(0).max(last.called);
            if !may_be_removed && beat.returned < renewed + delete_after {
                let what = "a heartbeat was told that there is no such node".to_owned();
                let problem = Problem::new("forgotten", what).of(self.key).at(beat.returned);
                report.broken(problem.shown_by([*registration, *place]));
            }
        }
    }

    /// A silent node is not seen online when it has to be offline, nor at all when it has to be gone.
    fn goes_in_time(&self, disturbances: &[(Micros, Micros)], report: &mut Report) {
        let timers = &self.evidence.history.run.timers;
        let slack = timers.lease_tick + timers.election_timeout_max + LIVENESS_MARGIN;
        for (silent, heard) in self.silences() {
            for (rule, after) in
                [("late", self.last_ttl(self.told)), ("undeleted", self.delete_after(self.told))]
            {
                let Some(due) = due(silent, after + slack, disturbances).filter(|due| *due < heard) else {
                    continue;
                };
                let must_be_gone = rule == "undeleted";
                if let Some((place, at)) = self.seen(due, heard, must_be_gone) {
                    let what = format!(
                        "silent since {}, to be {} by {}, and seen at {}",
                        ms(silent),
                        if must_be_gone { "deleted" } else { "offline" },
                        ms(due),
                        ms(at)
                    );
                    report.broken(Problem::new(rule, what).of(self.key).at(at).shown_by([place]));
                }
            }
        }
    }

    /// From when to when nobody said that the node is alive, whether that was acknowledged or not.
    fn silences(&self) -> Vec<(Micros, Micros)> {
        let signs = self
            .operations
            .iter()
            .filter(|(_, it)| matches!(it.action, Action::Heartbeat | Action::Register { .. }));
        let signs = signs.map(|(_, it)| (it.called, it.returned));
        let told = self.told.iter().filter(|told| is_renewal(told));
        let told = told.map(|told| self.clock.not_after(told.revision)).filter(|at| *at <= self.evidence.end);
        let mut signs: Vec<_> = signs.chain(told.map(|at| (at, at))).collect();
        signs.sort_unstable();
        let mut silences = Vec::new();
        let mut last = None;
        for (called, returned) in signs {
            silences.extend(last.filter(|last| *last < called).map(|last| (last, called)));
            last = last.max(Some(returned));
        }
        silences.extend(last.map(|last| (last, Micros::MAX)));
        silences
    }

    /// The first answer, or final state, between these times that shows the node (online, unless it
    /// must be gone).
    fn seen(&self, from: Micros, until: Micros, must_be_gone: bool) -> Option<(usize, Micros)> {
        let is_wrong = |status: NodeStatus| must_be_gone || status == NodeStatus::Online;
        let read = self.operations.iter().find_map(|(place, it)| match &it.outcome {
            Outcome::Done(Answer::Node(node))
                if it.action == Action::Read
                    && it.called > from
                    && it.returned < until
                    && is_wrong(node.status) =>
            {
                Some((*place, it.returned))
            }
            _ => None,
        });
        // A member that was left behind is another checker's.
        let finals = self.evidence.states.iter().filter(|(_, state)| state.is_final);
        let newest = finals.map(|(_, state)| state.revision).max();
        read.or_else(|| {
            self.evidence.states.iter().find_map(|(place, state)| {
                let is_then =
                    state.is_final && Some(state.revision) == newest && state.at > from && state.at < until;
                let mut nodes = state.nodes.iter();
                let is_shown = is_then
                    && nodes.any(|node| super::evidence::is_at(node, self.key) && is_wrong(node.status));
                is_shown.then_some((*place, state.at))
            })
        })
    }
}

/// When something that takes `after` without a disturbance has to have happened; `None` if disturbances
/// do not end.
fn due(from: Micros, after: Micros, disturbances: &[(Micros, Micros)]) -> Option<Micros> {
    let mut from = from;
    for (begin, end) in disturbances {
        if *begin > from.checked_add(after)? {
            break;
        }
        from = from.max(*end);
    }
    from.checked_add(after)
}
