//! The page: what comes first, what follows, and the policy that it is shown under.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::facts::{Class, Facts, times};
use super::logs::MemberLog;
use super::overview::ProblemMark;
use super::text::{clean, count, counted, length, list, moment};
use super::{findings, logs, overview, timeline, watchers};
use crate::check::{Finding, Verdict};
use crate::history::{History, Run};
use crate::run::{Conclusion, HISTORY_FILE, VERDICTS_FILE, Verdicts};

/// Most faults that are listed.
const FAULTS_MAX: usize = 200;
/// Most failures of the harness that are named.
const FAILURES_MAX: usize = 10;

// Spelled out rather than made by the template, which would leave these elements open: the page is
// well-formed XML too, so that a strict parser can judge it.
const HEAD: &str = "<meta charset=\"utf-8\"/>\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
    <meta name=\"color-scheme\" content=\"light dark\"/>\
    <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>";
const STYLE: &str = include_str!("style.css");

/// The whole page.
pub(super) fn render(
    history: &History,
    verdicts: &Verdicts,
    logs: &[MemberLog],
    directory: Option<&Path>,
) -> String {
    let facts = Facts::of(history);
    let findings = &verdicts.findings;
    let subjects = timeline::subjects(findings);
    let drawn = subjects.len().min(timeline::TIMELINES_MAX);
    let feed = watchers::section(history);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                (PreEscaped(HEAD))
                title { "Kenger: " (conclusion(verdicts).0) ", " (name(&history.run)) ", seed " (history.run.seed) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (head(&history.run, &facts, verdicts))
                nav { ul {
                    li { a href="#checkers" { "Checkers" } }
                    @if drawn > 0 { li { a href="#timelines" { "Timelines" } } }
                    li { a href="#run" { "Whole run" } }
                    li { a href="#faults" { "Faults" } }
                    @if feed.is_some() { li { a href="#feed" { "Feed" } } }
                    li { a href="#logs" { "Logs" } }
                } }
                main {
                    (findings::section(history, findings, &subjects, drawn))
                    @if drawn > 0 { (timelines(history, &facts, &subjects, drawn)) }
                    section id="run" { h2 { "Whole run" } (overview::draw(history, &facts, &marks(history, findings))) }
                    (faults(&facts))
                    @if let Some(feed) = feed { (feed) }
                    (logs::section(history, &facts, findings, logs))
                }
                (foot(directory))
            }
        }
    };
    page.into_string()
}

fn name(run: &Run) -> String {
    let part = |names: &[String], none: &str| if names.is_empty() { none.to_owned() } else { list(names) };
    clean(&format!("{} under {}", part(&run.workloads, "no workload"), part(&run.nemeses, "no faults")), 160)
}

/// What a run came to, and its class in the style sheet.
fn conclusion(verdicts: &Verdicts) -> (&'static str, &'static str) {
    match verdicts.conclusion {
        Conclusion::Valid => ("valid", "valid"),
        Conclusion::Invalid => ("invalid", "invalid"),
        Conclusion::Unknown => ("unknown", "undecided"),
    }
}

fn head(run: &Run, facts: &Facts<'_>, verdicts: &Verdicts) -> Markup {
    let (name_of, css) = conclusion(verdicts);
    let failures = &verdicts.failures;
    html! {
        header {
            p.banner.(css) { strong { (name_of) } " " (reason(verdicts)) }
            @if !failures.is_empty() {
                ul.failures { @for failure in failures.iter().take(FAILURES_MAX) { li { (clean(failure, 2_000)) } } }
            }
            @if failures.len() > FAILURES_MAX {
                p.note { (counted((failures.len() - FAILURES_MAX) as u64, "more failure", "more failures")) }
            }
            h1 { (name(run)) }
            (numbers(run, facts))
            p.repeat { "Repeat it:" }
            pre.command { code { (clean(&run.command, 2_000)) } }
        }
    }
}

/// Why a run came to what it came to, in a sentence or two.
fn reason(verdicts: &Verdicts) -> String {
    let findings = &verdicts.findings;
    let not_passed = findings.iter().filter(|finding| !finding.verdict.is_pass());
    let not_passed: Vec<String> =
        not_passed.map(|finding| format!("{} ({})", clean(&finding.checker, 40), finding.verdict)).collect();
    let not_passed = match not_passed.as_slice() {
        [] => String::new(),
        few if few.len() <= 6 => format!(" Not passed: {}.", list(few)),
        many => format!(" Not passed: {} and {} more.", many[..5].join(", "), many.len() - 5),
    };
    match verdicts.conclusion {
        Conclusion::Invalid if !verdicts.failures.is_empty() => format!("The run itself failed.{not_passed}"),
        Conclusion::Invalid => format!("A promise was broken.{not_passed}"),
        Conclusion::Unknown if findings.is_empty() => "No checker has judged this run.".to_owned(),
        Conclusion::Unknown => format!(
            "It could not be decided, or the run did too little to show anything; that counts as a failure.\
             {not_passed}"
        ),
        Conclusion::Valid => {
            let valid = findings.iter().filter(|finding| finding.verdict == Verdict::Valid).count() as u64;
            format!(
                "Every promise that was looked at was kept: {} agree.",
                counted(valid, "checker", "checkers")
            )
        }
    }
}

fn numbers(run: &Run, facts: &Facts<'_>) -> Markup {
    let took_hold = facts.spans.iter().filter(|span| span.took_hold()).count() as u64;
    let faults = match facts.spans.len() as u64 {
        all if all == took_hold => count(all),
        all => format!("{} of {} took hold", count(took_hold), count(all)),
    };
    let began = run.began_unix_ms.and_then(|began| UNIX_EPOCH.checked_add(Duration::from_millis(began)));
    // Years of more than four digits cannot be written.
    let began =
        began.filter(|at| at.duration_since(UNIX_EPOCH).is_ok_and(|since| since.as_secs() < 253_402_300_800));
    html! {
        dl {
            (number("operations", &count(facts.operations())))
            @for class in Class::ALL {
                @let number_of = facts.outcomes[class as usize];
                div.minor.bad[class == Class::Foreign && number_of > 0] { dt { (class.name()) } dd { (count(number_of)) } }
            }
            (number("keys", &count(facts.keys)))
            (number("revisions", &count(facts.revision)))
            (number("faults", &faults))
            (number("leader changes", &count(facts.leader_changes)))
            @if facts.watchers > 0 {
                (number("changes told", &format!("{} to {}", count(facts.changes), counted(facts.watchers, "watcher", "watchers"))))
            }
            @if facts.proxied > 0 {
                (number("through gateways", &format!("{}, {} failed", count(facts.proxied), count(facts.proxied_failed))))
            }
            (number("members", &count(run.members)))
            (number("length", &length(facts.end)))
            (number("seed", &run.seed.to_string()))
            @if let Some(began) = began { (number("began", &humantime::format_rfc3339_seconds(began).to_string())) }
        }
    }
}

fn number(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn timelines(
    history: &History,
    facts: &Facts<'_>,
    subjects: &[timeline::Subject<'_>],
    drawn: usize,
) -> Markup {
    html! {
        section id="timelines" {
            h2 { "Timelines" }
            @for (subject, number) in subjects.iter().take(drawn).zip(1..) {
                (timeline::draw(history, facts, subject, number))
            }
            @if subjects.len() > drawn {
                p.note { (counted((subjects.len() - drawn) as u64, "more has", "more have")) " problems and no timeline: "
                    (clean(&subjects[drawn..].iter().map(|s| s.title.as_str()).collect::<Vec<_>>().join(", "), 600)) }
            }
        }
    }
}

/// Where in the run the problems lie, as far as they say so.
fn marks(history: &History, findings: &[Finding]) -> Vec<ProblemMark> {
    let problems = findings.iter().flat_map(|finding| finding.problems.iter().map(move |p| (finding, p)));
    problems
        .filter_map(|(finding, problem)| {
            let records = problem.records.iter().filter_map(|index| history.records.get(*index));
            let at = problem.at.or_else(|| records.map(|record| times(record).1).max())?;
            let text = format!(
                "{} · {}: {}",
                clean(&finding.checker, 40),
                clean(&problem.rule, 40),
                clean(&problem.what, 200)
            );
            Some(ProblemMark { at, text })
        })
        .collect()
}

fn faults(facts: &Facts<'_>) -> Markup {
    html! {
        section id="faults" {
            h2 { "Faults" }
            @if facts.spans.is_empty() {
                p { "No fault was injected." }
            } @else {
                div.scroll { table.faults {
                    thead { tr { th { "Fault" } th { "members" } th { "from" } th { "to" } th { "took hold" } th { "more about it" } } }
                    tbody { @for span in facts.spans.iter().take(FAULTS_MAX) { tr.bad[!span.took_hold()] {
                        td { (clean(&span.fault.name, 40)) " " span.note { (span.fault.number) } }
                        td.number { (clean(&list(&span.fault.members), 40)) }
                        td.number { (moment(span.begin)) }
                        td.number { (span.end.map_or("not ended".to_owned(), moment)) }
                        td { (span.fault.evidence.as_deref().map_or("not known to".to_owned(), |e| clean(e, 160))) }
                        td { (clean(&span.fault.detail, 160)) }
                    } } }
                } }
                @if facts.spans.len() > FAULTS_MAX {
                    p.note { "The first " (FAULTS_MAX) " of " (count(facts.spans.len() as u64)) " faults are listed." }
                }
            }
        }
    }
}

fn foot(directory: Option<&Path>) -> Markup {
    html! {
        footer {
            @if let Some(directory) = directory {
                p { "The files of this run lie in " code.path { (clean(&directory.display().to_string(), 400)) }
                    ": " code { (HISTORY_FILE) } ", " code { (VERDICTS_FILE) } " and the logs. Numbers with # count the records of the history from 0, "
                    "whose line in the file is that number plus two." }
            } @else {
                p { "The files of this run were not kept." }
            }
        }
    }
}
