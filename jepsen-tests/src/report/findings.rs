//! What the checkers found: a table, and each problem with the records that show it.

use maud::{Markup, html};

use super::describe;
use super::facts::times;
use super::text::{clean, counted, figure, moment};
use super::timeline::Subject;
use crate::check::{Finding, Problem, Verdict};
use crate::history::History;

/// Most checkers that are listed.
const CHECKERS_MAX: usize = 40;
/// Most problems that are shown, of all checkers together.
const PROBLEMS_MAX: usize = 40;
/// Most records that are shown with a problem.
const EVIDENCE_MAX: usize = 8;
/// Most figures of a checker that are shown.
const FIGURES_MAX: usize = 12;
/// Longest text of a problem, in characters.
const WHAT_MAX: usize = 600;

/// A verdict's class in the style sheet.
pub(super) fn css(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "valid",
        Verdict::Invalid => "invalid",
        Verdict::Unknown => "undecided",
        Verdict::NotApplicable => "none",
    }
}

/// The section about the checkers. Of the subjects, the first `drawn` have a timeline to point at.
pub(super) fn section(
    history: &History,
    findings: &[Finding],
    subjects: &[Subject<'_>],
    drawn: usize,
) -> Markup {
    // The worst first; those with the same verdict in the order in which they judged.
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
    let problems: Vec<(&Finding, &Problem)> = sorted
        .iter()
        .flat_map(|finding| finding.problems.iter().map(move |problem| (*finding, problem)))
        .collect();
    html! {
        section id="checkers" {
            h2 { "Checkers" }
            @if findings.is_empty() {
                p { "No checker has judged this run." }
            } @else {
                (table(&sorted))
            }
            @if !problems.is_empty() {
                h3 { "Problems" }
                ol.problems-list {
                    @for (finding, problem) in problems.iter().take(PROBLEMS_MAX) {
                        @let timeline = subjects.iter().take(drawn).position(|s| s.is_of(finding, problem));
                        (draw_problem(history, finding, problem, timeline))
                    }
                }
                @if problems.len() > PROBLEMS_MAX {
                    p.note { "The first " (PROBLEMS_MAX) " of " (problems.len()) " problems are shown." }
                }
            }
        }
    }
}

fn table(findings: &[&Finding]) -> Markup {
    html! {
        div.scroll { table.checkers {
            thead { tr { th { "Checker" } th { "verdict" } th { "problems" } th { "looked at" } } }
            tbody { @for finding in findings.iter().take(CHECKERS_MAX) {
                tr {
                    td { code { (clean(&finding.checker, 60)) } }
                    td { span.verdict.(css(finding.verdict)) { (maud::display(finding.verdict)) } }
                    td.number { @if finding.problems.is_empty() { "–" } @else { (finding.problems.len()) } }
                    td.figures { @for (name, value) in finding.figures.iter().take(FIGURES_MAX) {
                        span.figure { (clean(name, 60).replace('_', " ")) " " b { (figure(*value)) } } " "
                    } }
                }
            } }
        } }
        @if findings.len() > CHECKERS_MAX {
            p.note { "The first " (CHECKERS_MAX) " of " (findings.len()) " checkers are listed." }
        }
    }
}

fn draw_problem(history: &History, finding: &Finding, problem: &Problem, timeline: Option<usize>) -> Markup {
    html! {
        li {
            p.what {
                code.rule.(css(finding.verdict)) { (clean(&finding.checker, 40)) " · " (clean(&problem.rule, 40)) }
                " " (clean(&problem.what, WHAT_MAX))
            }
            p.where {
                @if let Some(key) = &problem.key { "key " code { (clean(key, 120)) } " " }
                @if let Some(at) = problem.at { "at " (moment(at)) " " }
                @if let Some(number) = timeline { a href=(format_args!("#timeline-{}", number + 1)) { "timeline" } }
            }
            @if !problem.records.is_empty() {
                ul.evidence {
                    @for index in problem.records.iter().take(EVIDENCE_MAX) { (evidence(history, *index)) }
                    @if problem.records.len() > EVIDENCE_MAX {
                        li.note { (counted((problem.records.len() - EVIDENCE_MAX) as u64, "more record", "more records")) }
                    }
                }
            }
        }
    }
}

fn evidence(history: &History, index: usize) -> Markup {
    html! {
        li {
            span.number { "#" (index) }
            @match history.records.get(index) {
                Some(record) => { " " span.number { (moment(times(record).0)) } " " (describe::line(record)) }
                None => { " is not in the history" }
            }
        }
    }
}
