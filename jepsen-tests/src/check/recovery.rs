//! How long nobody can write: from the end of the last fault, and from the beginning of each fault
//! that ends one member alone, to the next acknowledged write.

use super::report::{Report, ms};
use super::{Checker, Evidence, Finding, Problem};
use crate::history::{Fault, Micros, Operation, Outcome, Phase};

/// Elections that recovery may take: the first can fail for a split vote, and one for each member
/// that comes back with a higher term.
const RECOVERY_MAX_ELECTIONS: u64 = 5;
/// On top of that, for processes that start and connections that are opened again on a machine that
/// has too much to do.
const RECOVERY_MARGIN: Micros = 5_000_000;

/// See the module.
pub(super) struct Recovery;

impl Checker for Recovery {
    fn name(&self) -> &'static str {
        "recovery"
    }

    fn rules(&self) -> &'static [&'static str] {
        &["late", "late_after_kill", "never", "untried"]
    }

    fn judge(&self, evidence: &Evidence<'_>) -> Finding {
        let mut report = Report::new(self);
        let writes: Vec<_> =
            evidence.operations.iter().filter(|(_, operation)| operation.action.is_write()).collect();
        if writes.is_empty() {
            return report.finish();
        }
        let bound =
            RECOVERY_MAX_ELECTIONS * evidence.history.run.timers.election_timeout_max + RECOVERY_MARGIN;
        if let Some((place, end)) = all_over(evidence) {
            report.applies();
            after_all(&mut report, evidence, (place, end), bound, &writes);
        }
        let mut times = Vec::new();
        for (place, kill) in single_kills(evidence) {
            report.applies();
            let until = evidence.faults_after(kill.at).min().unwrap_or(evidence.end);
            match next_acknowledged(&writes, kill.at) {
                Some((next, _)) if next > until && until < kill.at + bound => {}
                Some((next, write)) => {
                    times.push(next - kill.at);
                    if next > kill.at + bound {
                        let what = format!("{} after {} {}", ms(next - kill.at), kill.name, kill.number);
                        report
                            .broken(Problem::new("late_after_kill", what).at(next).shown_by([place, write]));
                    }
                }
                None if until >= kill.at + bound => {
                    let what = format!("nothing was acknowledged after {} {}", kill.name, kill.number);
                    report.broken(Problem::new("never", what).at(kill.at).shown_by([place]));
                }
                None => {}
            }
        }
        report.times("after a kill", &mut times);
        report.finish()
    }
}

fn after_all(
    report: &mut Report,
    evidence: &Evidence<'_>,
    (place, end): (usize, Micros),
    bound: Micros,
    writes: &[&(usize, &Operation)],
) {
    match next_acknowledged(writes, end) {
        Some((next, write)) => {
            report.times("after the last fault", &mut [next - end]);
            if next > end + bound {
                let what =
                    format!("the first write was acknowledged {} after the last fault", ms(next - end));
                report.broken(Problem::new("late", what).at(next).shown_by([place, write]));
            }
        }
        None if evidence.end < end + bound => {
            let what = format!("the run ended {} after the last fault", ms(evidence.end - end));
            report.undecided(Problem::new("untried", what).at(end).shown_by([place]));
        }
        None => {
            let what =
                format!("no write was acknowledged in {} after the last fault", ms(evidence.end - end));
            report.broken(Problem::new("never", what).at(end).shown_by([place]));
        }
    }
}

/// When all faults are over, and the record that says so.
fn all_over(evidence: &Evidence<'_>) -> Option<(usize, Micros)> {
    let (place, last) = evidence.faults.iter().max_by_key(|(_, fault)| fault.at)?;
    Some((*place, last.at))
}

/// When the first write was acknowledged that was asked for after `from`.
fn next_acknowledged(writes: &[&(usize, &Operation)], from: Micros) -> Option<(Micros, usize)> {
    let is_next =
        |operation: &Operation| operation.called >= from && matches!(operation.outcome, Outcome::Done(_));
    writes.iter().filter(|(_, write)| is_next(write)).map(|(place, write)| (write.returned, *place)).min()
}

/// Faults that ended one member while no other fault was in force.
fn single_kills<'a>(evidence: &'a Evidence<'_>) -> impl Iterator<Item = (usize, &'a Fault)> {
    evidence.faults.iter().filter_map(|(place, fault)| {
        let is_kill = fault.phase == Phase::Begin
            && fault.members.len() == 1
            && fault.evidence.is_some()
            && fault.name.starts_with("kill");
        (is_kill && !evidence.is_disturbed_by_others(fault)).then_some((*place, *fault))
    })
}
