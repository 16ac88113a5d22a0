//! What the members logged around the problems and around the faults, laid beside the time of the run.

use std::time::UNIX_EPOCH;

use maud::{Markup, html};

use super::draw::fault_text;
use super::facts::{Facts, times};
use super::text::{clean, count, moment};
use crate::check::Finding;
use crate::history::{History, Micros};

/// What a member logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberLog {
    /// Who.
    pub member: u64,
    /// Its lines; each begins with a time as RFC 3339 has it, in UTC, or belongs to the one before.
    pub text: String,
}

/// Most stretches of time that are shown.
const WINDOWS_MAX: usize = 12;
/// Of these, at most so many for problems, so that the faults of a bad run are seen too.
const PROBLEM_WINDOWS_MAX: usize = 8;
/// Most lines of one stretch, of all members together.
const LINES_MAX: usize = 50;
/// Longest line, in characters.
const LINE_MAX: usize = 260;
/// Lines at the end of each log that are shown where the times cannot be aligned.
const TAIL_LINES: usize = 40;
/// Most logs that are looked at.
const LOGS_MAX: usize = 9;
/// How much is shown before and after a problem, in microseconds.
const PROBLEM_MARGINS: (i64, i64) = (1_000_000, 500_000);
/// How much is shown before and after a fault begins or ends, in microseconds: an election is within it.
const FAULT_MARGINS: (i64, i64) = (100_000, 1_900_000);

/// A line, and when it was logged, in microseconds since the run began.
struct Line<'a> {
    at: i64,
    member: u64,
    text: &'a str,
}

impl Line<'_> {
    fn is_warning(&self) -> bool {
        // Of either format, and of a panic, which has none.
        let head = self.text.get(..120).unwrap_or(self.text);
        [" WARN ", " ERROR ", "\"WARN\"", "\"ERROR\"", "panicked"].iter().any(|mark| head.contains(mark))
    }
}

/// A stretch of time that is shown, and why.
#[derive(Debug, PartialEq, Eq)]
struct Window {
    from: i64,
    to: i64,
    reasons: Vec<String>,
    is_problem: bool,
}

/// The section about the logs.
pub(super) fn section(
    history: &History,
    facts: &Facts<'_>,
    findings: &[Finding],
    logs: &[MemberLog],
) -> Markup {
    html! {
        section id="logs" {
            h2 { "Members' logs" }
            @if logs.is_empty() {
                p { "The run kept no logs." }
            } @else if let Some(began) = history.run.began_unix_ms {
                (aligned(began, history, facts, findings, &logs[..logs.len().min(LOGS_MAX)]))
            } @else {
                p { "The history does not say when the run began on the wall clock, so these are the ends of the logs." }
                @for log in logs.iter().take(LOGS_MAX) { (tail(log)) }
            }
            @if logs.len() > LOGS_MAX { p.note { "The first " (LOGS_MAX) " of " (logs.len()) " logs are shown." } }
        }
    }
}

fn aligned(
    began: u64,
    history: &History,
    facts: &Facts<'_>,
    findings: &[Finding],
    logs: &[MemberLog],
) -> Markup {
    let lines: Vec<Line<'_>> = logs.iter().flat_map(|log| parse(log, began)).collect();
    let (windows, left_out) = windows(history, facts, findings);
    html! {
        p.note {
            "Times are seconds since the run began, by the members' own clocks; a fault that moves a clock moves them. "
            "At most " (LINES_MAX) " lines are shown of a stretch: warnings and errors first, then those nearest to its middle."
        }
        @if windows.is_empty() { p { "There was neither a problem nor a fault to look around." } }
        @for window in &windows { (draw_window(window, &lines)) }
        @if left_out > 0 { p.note { (count(left_out as u64)) " more beginnings and ends of faults or problems are not shown." } }
    }
}

fn draw_window(window: &Window, lines: &[Line<'_>]) -> Markup {
    let mut within: Vec<&Line<'_>> =
        lines.iter().filter(|line| (window.from..=window.to).contains(&line.at)).collect();
    let total = within.len();
    let middle = i64::midpoint(window.from, window.to);
    within.sort_by_key(|line| (!line.is_warning(), line.at.abs_diff(middle)));
    within.truncate(LINES_MAX);
    // A stable sort: lines of one moment stay in the order of their log.
    within.sort_by_key(|line| (line.at, line.member, std::ptr::from_ref(*line)));
    html! {
        details.log open=[window.is_problem.then_some("")] {
            summary {
                span.number { (signed(window.from)) " to " (signed(window.to)) }
                " – " (window.reasons.iter().take(4).map(String::as_str).collect::<Vec<_>>().join("; "))
                @if window.reasons.len() > 4 { "; and " (window.reasons.len() - 4) " more" }
            }
            @if within.is_empty() {
                p.note { "Nobody logged anything." }
            } @else {
                div.scroll { table.lines { thead { tr { th { "at" } th { "member" } th { "line" } } } tbody { @for line in &within {
                    tr.bad[line.is_warning()] {
                        td.number { (signed(line.at)) }
                        td.number { (line.member) }
                        td { (clean(without_time(line.text), LINE_MAX)) }
                    }
                } } } }
                @if total > within.len() { p.note { (count((total - within.len()) as u64)) " more lines are in the logs." } }
            }
        }
    }
}

fn tail(log: &MemberLog) -> Markup {
    let mut lines: Vec<&str> = log.text.lines().rev().take(TAIL_LINES).collect();
    lines.reverse();
    html! {
        details.log { summary { "Member " (log.member) } div.scroll { table.lines { tbody {
            @for line in lines { tr { td { (clean(line, LINE_MAX)) } } }
        } } } }
    }
}

/// Lines with their times; one without a time was logged together with the one before.
fn parse(log: &MemberLog, began_unix_ms: u64) -> impl Iterator<Item = Line<'_>> {
    let began = i64::try_from(began_unix_ms).unwrap_or(i64::MAX).saturating_mul(1_000);
    let mut last = None;
    log.text.lines().filter(|line| !line.trim().is_empty()).filter_map(move |text| {
        last = time(text).map(|unix| unix.saturating_sub(began)).or(last);
        Some(Line { at: last?, member: log.member, text })
    })
}

/// When a line was logged, in microseconds of Unix time. In JSON, the time is the first field.
fn time(line: &str) -> Option<i64> {
    let (time, _) = split_time(line)?;
    let since = humantime::parse_rfc3339(time).ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_micros()).ok()
}

fn split_time(line: &str) -> Option<(&str, &str)> {
    match line.strip_prefix("{\"timestamp\":\"") {
        Some(rest) => rest.split_once('"'),
        None => line.split_once(' '),
    }
}

/// The rest of a line whose time is shown beside it.
fn without_time(line: &str) -> &str {
    match split_time(line) {
        Some((_, rest)) if time(line).is_some() => rest.trim_start_matches([' ', ',']),
        _ => line,
    }
}

/// Before the run began the cluster was started: then a time is negative.
fn signed(at: i64) -> String {
    let text = moment(at.unsigned_abs());
    if at < 0 { format!("−{text}") } else { text }
}

/// What is shown, in the order of time, and how many occasions are not.
fn windows(history: &History, facts: &Facts<'_>, findings: &[Finding]) -> (Vec<Window>, usize) {
    let problems: Vec<Window> = problem_windows(history, findings);
    let mut faults: Vec<Window> = fault_windows(facts);
    // Of the faults, those nearest to a problem come first; without a problem, the first ones do.
    let distance = |window: &Window| {
        problems.iter().map(|problem| problem.from.abs_diff(window.from)).min().unwrap_or(0)
    };
    faults.sort_by_key(distance);
    let total = problems.len() + faults.len();
    let mut shown: Vec<Window> = problems.into_iter().take(PROBLEM_WINDOWS_MAX).collect();
    let room = WINDOWS_MAX - shown.len();
    shown.extend(faults.into_iter().take(room));
    let left_out = total - shown.len();
    shown.sort_by_key(|window| window.from);
    (merge(shown), left_out)
}

fn problem_windows(history: &History, findings: &[Finding]) -> Vec<Window> {
    let mut windows = Vec::new();
    for finding in findings {
        for problem in &finding.problems {
            let of = |index: &usize| history.records.get(*index).map(times);
            let records = || problem.records.iter().filter_map(of);
            // The last of what shows a problem is what went wrong; the others are what it is measured by.
            let at: Option<Micros> = problem.at.or_else(|| records().map(|(_, end)| end).max());
            if let Some(at) = at.and_then(|at| i64::try_from(at).ok()) {
                let reason = format!("{}: {}", clean(&finding.checker, 40), clean(&problem.rule, 40));
                windows.push(window(at, PROBLEM_MARGINS, reason, true));
            }
        }
    }
    // Many problems at one moment are one occasion.
    windows.sort_by_key(|window| window.from);
    merge(windows)
}

fn fault_windows(facts: &Facts<'_>) -> Vec<Window> {
    let mut windows = Vec::new();
    for span in &facts.spans {
        let text = clean(&fault_text(span), 140);
        let ends = [(Some(span.begin), "begins"), (span.end, "ends")];
        for (at, what) in ends {
            if let Some(at) = at.and_then(|at| i64::try_from(at).ok()) {
                windows.push(window(at, FAULT_MARGINS, format!("fault {what}: {text}"), false));
            }
        }
    }
    windows
}

fn window(at: i64, (before, after): (i64, i64), reason: String, is_problem: bool) -> Window {
    Window {
        from: at.saturating_sub(before),
        to: at.saturating_add(after),
        reasons: vec![reason],
        is_problem,
    }
}

/// Joins those that overlap, of a list in the order of time.
fn merge(windows: Vec<Window>) -> Vec<Window> {
    let mut merged: Vec<Window> = Vec::new();
    for window in windows {
        match merged.last_mut() {
            Some(last) if window.from <= last.to => {
                last.to = last.to.max(window.to);
                last.is_problem |= window.is_problem;
                last.reasons.extend(
                    window.reasons.into_iter().filter(|r| !last.reasons.contains(r)).collect::<Vec<_>>(),
                );
            }
            _ => merged.push(window),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_laid_beside_the_run() {
        let text = "2026-11-26T18:00:40.338208Z  INFO kenger: a\n\
                    thread 'main' panicked\n\n\
                    {\"timestamp\":\"2026-11-26T18:00:39.000001Z\",\"level\":\"WARN\",\"message\":\"b\"}\n";
        let log = MemberLog { member: 2, text: format!("no time yet\n{text}") };
        let lines: Vec<Line<'_>> = parse(&log, 1_795_716_040_000).collect();
        assert_eq!(lines.iter().map(|line| line.at).collect::<Vec<_>>(), [338_208, 338_208, -999_999]);
        assert_eq!(lines.iter().map(Line::is_warning).collect::<Vec<_>>(), [false, true, true]);
        assert_eq!(without_time(lines[0].text), "INFO kenger: a");
        assert_eq!(without_time(lines[1].text), "thread 'main' panicked");
        assert!(without_time(lines[2].text).starts_with("\"level\""));
        assert_eq!(signed(-999_999), "−0.999 s");
    }

    #[test]
    fn what_overlaps_is_one_window() {
        let windows = [(0, false), (600_000, true), (600_001, true), (9_000_000, false)]
            .map(|(at, is_problem)| window(at, (500_000, 500_000), at.to_string(), is_problem));
        let merged = merge(windows.into());
        let shape: Vec<_> = merged.iter().map(|w| (w.from, w.to, w.reasons.len(), w.is_problem)).collect();
        assert_eq!(shape, [(-500_000, 1_100_001, 3, true), (8_500_000, 9_500_000, 1, false)]);
    }
}
