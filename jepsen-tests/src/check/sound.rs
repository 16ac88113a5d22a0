//! The ground that the other checkers stand on: no foreign answers, no process that ended by itself,
//! one leader a term, and a history that can have happened.

use std::collections::BTreeMap;

use super::report::{Report, ms};
use super::{Checker, Evidence, Finding, Problem};
use crate::history::{Happened, Outcome};

/// See the module.
pub(super) struct Sound;

impl Checker for Sound {
    fn name(&self) -> &'static str {
        "sound"
    }

    fn rules(&self) -> &'static [&'static str] {
        &["foreign", "ended", "two_leaders", "history"]
    }

    fn judge(&self, evidence: &Evidence<'_>) -> Finding {
        let mut report = Report::new(self);
        if !evidence.history.records.is_empty() {
            report.applies();
        }
        foreign_answers(evidence, &mut report);
        ended(evidence, &mut report);
        two_leaders(evidence, &mut report);
        impossible(evidence, &mut report);
        report.figure("records", evidence.history.records.len() as u64);
        report.finish()
    }
}

fn foreign_answers(evidence: &Evidence<'_>, report: &mut Report) {
    for (place, operation) in &evidence.operations {
        if let Outcome::Foreign { what } = &operation.outcome {
            let what = format!("member {} answered {:?} with {what}", operation.member, operation.action);
            report.broken(
                Problem::new("foreign", what).of(&operation.key).at(operation.returned).shown_by([*place]),
            );
        }
    }
}

fn ended(evidence: &Evidence<'_>, report: &mut Report) {
    for (place, life) in &evidence.lives {
        if let Happened::Ended { how, is_expected: false } = &life.happened {
            let what = format!("{} ended by itself: {how}", life.process);
            report.broken(Problem::new("ended", what).at(life.at).shown_by([*place]));
        }
    }
}

fn two_leaders(evidence: &Evidence<'_>, report: &mut Report) {
    let mut of_term = BTreeMap::new();
    for (index, (place, lead)) in evidence.leads.iter().enumerate() {
        // A member may tell that it leads a moment before it tells in which term: what it says next counts.
        let next = evidence.leads[index + 1..].iter().find(|(_, next)| next.member == lead.member);
        if next.is_some_and(|(_, next)| next.leader == lead.leader && next.term > lead.term) {
            continue;
        }
        // Only who leads knows in which term: another member can hear of a leader before it has heard of
        // the term.
        let Some(leader) = lead.leader.filter(|leader| *leader == lead.member) else { continue };
        let (first, first_place) = *of_term.entry(lead.term).or_insert((leader, *place));
        if first != leader {
            let what = format!("members {first} and {leader} both led in term {}", lead.term);
            report.broken(Problem::new("two_leaders", what).at(lead.at).shown_by([first_place, *place]));
        }
    }
}

/// A client makes one request after the other, and time does not go back. A history in which this is
/// not so was noted wrongly, and nothing that is said about it would mean anything.
fn impossible(evidence: &Evidence<'_>, report: &mut Report) {
    let mut by_process: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for (place, operation) in &evidence.operations {
        if operation.returned < operation.called {
            let what =
                format!("an answer came {} before its request", ms(operation.called - operation.returned));
            report.broken(
                Problem::new("history", what).of(&operation.key).at(operation.called).shown_by([*place]),
            );
        }
        by_process.entry(operation.process).or_default().push((operation.called, operation.returned, *place));
    }
    for (process, mut operations) in by_process {
        operations.sort_unstable();
        for pair in operations.windows(2) {
            if pair[1].0 < pair[0].1 {
                let what = format!("client {process} made two requests at once");
                report.broken(Problem::new("history", what).at(pair[1].0).shown_by([pair[0].2, pair[1].2]));
            }
        }
    }
}
