//! What happened around a problem: a lane for each process, a bar for each operation.
//!
//! The order of calls and returns is what a reader must see, to tell which operations were under way
//! together. So the axis is not even: every call and every return has room, and long silence is short.

mod choose;
mod layout;

use maud::{Markup, html};

use self::choose::{Chosen, Ranked};
use self::layout::{Bar, Layout};
use super::describe;
use super::draw::{Px, fault_text, text_width};
use super::facts::{Class, Facts, times};
use super::overview::outcomes;
use super::text::{clean, count, length, list, moment};
use crate::check::{Finding, Problem};
use crate::history::{History, Micros, Record};

/// Most timelines of a report.
pub(super) const TIMELINES_MAX: usize = 8;
/// Widest drawing; operations are left out until it is met.
const WIDTH_MAX: f64 = 1_700.0;
/// Most faults and leads that are drawn in one timeline, each.
const MARKS_MAX: usize = 40;
/// Most rows of names of faults and leads.
const STRIP_ROWS_MAX: usize = 4;
const STRIP_ROW: f64 = 15.0;
const ROW: f64 = 30.0;
const BAR: f64 = 9.0;
/// Longest text of a cell, in characters.
const CELL_MAX: usize = 160;

/// What a timeline is about: a key, or a checker where its problems name none.
pub(super) struct Subject<'a> {
    pub(super) title: String,
    key: Option<&'a str>,
    problems: Vec<(&'a Finding, &'a Problem)>,
}

impl Subject<'_> {
    /// Whether it is what this problem is about.
    pub(super) fn is_of(&self, finding: &Finding, problem: &Problem) -> bool {
        match problem.key.as_deref() {
            Some(key) => self.key == Some(key),
            None if problem.records.is_empty() => false,
            None => self.key.is_none() && self.problems[0].0.checker == finding.checker,
        }
    }
}

/// All subjects, in the order in which problems name them.
pub(super) fn subjects(findings: &[Finding]) -> Vec<Subject<'_>> {
    let mut subjects: Vec<Subject<'_>> = Vec::new();
    for finding in findings {
        for problem in &finding.problems {
            let key = problem.key.as_deref();
            if key.is_none() && problem.records.is_empty() {
                continue;
            }
            match subjects.iter_mut().find(|subject| subject.is_of(finding, problem)) {
                Some(subject) => subject.problems.push((finding, problem)),
                None => {
                    let title = key.map_or_else(|| clean(&finding.checker, 60), |key| clean(key, 120));
                    subjects.push(Subject { title, key, problems: vec![(finding, problem)] });
                }
            }
        }
    }
    subjects
}

/// Draws a subject; `number` counts them, for links.
pub(super) fn draw(history: &History, facts: &Facts<'_>, subject: &Subject<'_>, number: usize) -> Markup {
    let ranked = Ranked::of(history, subject.key, &subject.problems);
    let mut limit = choose::RECORDS_MAX;
    let (chosen, layout) = loop {
        let chosen = ranked.take(history, limit);
        let layout = Layout::of(history, &chosen);
        if layout.width <= WIDTH_MAX || limit <= choose::RECORDS_MIN {
            break (chosen, layout);
        }
        limit = limit * 4 / 5;
    };
    html! {
        section.timeline id=(format_args!("timeline-{number}")) {
            h3 { @if subject.key.is_some() { "Key " } @else { "Checker " } code { (subject.title) } }
            ul.problems { @for (finding, problem) in subject.problems.iter().take(5) {
                li { code { (clean(&finding.checker, 40)) " · " (clean(&problem.rule, 40)) } " " (clean(&problem.what, 300)) }
            } }
            @if layout.bars.is_empty() {
                p.note { "The history has no record of it." }
            } @else {
                p.legend { (outcomes()) span.key { svg.patch width="12" height="12" viewBox="0 0 12 12" aria-hidden="true" {
                    rect.bar.pointed x="2" y="2" width="8" height="8" rx="1" {} } "a problem points at it" } }
                div.scroll { (drawing(history, facts, &layout, &subject.title)) }
                p.note { (caption(&chosen, subject.key.is_some())) }
                details { summary { "The records of this timeline as a table" } (table(history, &chosen)) }
            }
        }
    }
}

fn caption(chosen: &Chosen, is_of_key: bool) -> String {
    let shown = chosen.records.len() as u64;
    let mut caption = if is_of_key {
        format!("{} of {} operations", count(chosen.operations as u64), count(chosen.of as u64))
    } else {
        format!("{} of {} records of these lanes", count(shown), count(chosen.of as u64))
    };
    caption += ": those that problems point at and those nearest to them. ";
    if chosen.heartbeats > 0 {
        caption += &format!("{} heartbeats are left out. ", count(chosen.heartbeats as u64));
    }
    caption + "The axis gives every call and return its room: order is to be trusted, length is not."
}

fn drawing(history: &History, facts: &Facts<'_>, layout: &Layout, title: &str) -> Markup {
    let marks = marks(facts, layout);
    let rows = marks.iter().filter_map(|mark| mark.row).max().map_or(0, |row| row + 1);
    let top = 6.0 + STRIP_ROW * super::draw::to_f64(rows as u64);
    let bottom = top + ROW * super::draw::to_f64(layout.rows as u64) + 4.0;
    html! {
        svg.lanes width=(format_args!("{:.0}", layout.width)) viewBox=(format_args!("0 0 {:.0} {:.0}", layout.width, bottom + 36.0))
            role="img" aria-label=(format_args!("Operations of {title}")) {
            @for mark in &marks { (draw_mark(mark, top, bottom)) }
            @for (lane, row) in &layout.lanes {
                @let y = top + ROW * super::draw::to_f64(*row as u64);
                path.grid d=(format_args!("M0 {y:.1}H{:.0}", layout.width)) {}
                text.tick x="4" y=(Px(y + ROW - 9.0)) { (lane) }
            }
            (axis(layout, top, bottom))
            @for bar in &layout.bars { (draw_bar(history, layout, bar, top)) }
        }
    }
}

fn draw_bar(history: &History, layout: &Layout, bar: &Bar, top: f64) -> Markup {
    let record = &history.records[bar.record];
    let css = match record {
        Record::Operation(operation) => Class::of(&operation.outcome).css(),
        _ => "o-other",
    };
    let pointed = if bar.is_pointed { " pointed" } else { "" };
    let x = bar.x;
    let width = (layout.x(bar.end) - x).max(4.0);
    let y = top + ROW * super::draw::to_f64(bar.row as u64) + ROW - BAR - 7.0;
    html! {
        @if bar.begin == bar.end {
            path class=(format_args!("bar {css}{pointed}")) d=(format_args!("M{x:.1} {y:.1}l5 5l-5 5l-5 -5z")) {
                title { (tip(record, bar)) }
            }
        } @else {
            rect class=(format_args!("bar {css}{pointed}")) x=(Px(x)) y=(Px(y)) width=(Px(width)) height=(Px(BAR)) rx="1.5" {
                title { (tip(record, bar)) }
            }
        }
        text.label.pointed[bar.is_pointed] x=(Px(x)) y=(Px(y - 3.0)) { (bar.label) }
    }
}

fn tip(record: &Record, bar: &Bar) -> String {
    format!("#{} at {}: {}", bar.record, moment(bar.begin), describe::line(record))
}

fn axis(layout: &Layout, top: f64, bottom: f64) -> Markup {
    html! {
        path.axis d=(format_args!("M{:.1} {bottom:.1}H{:.1}", layout::LEFT, layout.width)) {}
        @for (at, x) in layout.ticks() {
            path.grid d=(format_args!("M{x:.1} {top:.1}V{:.1}", bottom + 4.0)) {}
            text.tick.middle x=(Px(x)) y=(Px(bottom + 16.0)) { (moment(at)) }
        }
        @for (silence, x) in layout.breaks() {
            text.break.middle x=(Px(x)) y=(Px(bottom + 31.0)) { "⟷ " (length(silence)) }
        }
    }
}

/// A fault or a lead: a band or a line behind the lanes, and its name above them.
struct Mark {
    x: f64,
    /// 0: a line.
    width: f64,
    name: String,
    tip: String,
    /// Where its name stands; `None`: there is no room.
    row: Option<usize>,
}

fn marks(facts: &Facts<'_>, layout: &Layout) -> Vec<Mark> {
    let Some((first, last)) = layout.extent() else { return Vec::new() };
    let is_seen = |begin: Micros, end: Micros| begin <= last && end >= first;
    let end = |span: &super::facts::Span<'_>| span.end.unwrap_or(facts.end);
    let faults = facts.spans.iter().filter(|span| is_seen(span.begin, end(span))).take(MARKS_MAX);
    let faults = faults.map(|span| {
        let x = layout.x(span.begin);
        let width = (layout.x(end(span)) - x).max(3.0);
        let members = clean(&list(&span.fault.members), 20);
        let tip = format!(
            "{} to {}: {}",
            moment(span.begin),
            span.end.map_or("the end of the run".to_owned(), moment),
            fault_text(span)
        );
        Mark { x, width, name: format!("{} {members}", clean(&span.fault.name, 24)), tip, row: None }
    });
    let leads = facts.reigns.iter().filter(|reign| is_seen(reign.at, reign.at)).take(MARKS_MAX);
    let leads = leads.map(|reign| {
        let name = format!("leader {}, term {}", reign.leader, reign.term);
        let tip = format!("{}: {name}", moment(reign.at));
        Mark { x: layout.x(reign.at), width: 0.0, name, tip, row: None }
    });
    let mut marks: Vec<Mark> = faults.chain(leads).collect();
    marks.sort_by(|a, b| a.x.total_cmp(&b.x));
    let mut free = [f64::MIN; STRIP_ROWS_MAX];
    for mark in &mut marks {
        mark.row = free.iter().position(|free| *free <= mark.x);
        if let Some(row) = mark.row {
            free[row] = mark.x + text_width(&mark.name) + 14.0;
        }
    }
    marks
}

fn draw_mark(mark: &Mark, top: f64, bottom: f64) -> Markup {
    let row_top = |row: usize| 4.0 + STRIP_ROW * super::draw::to_f64(row as u64);
    let from = mark.row.map_or(top, row_top);
    html! {
        g {
            title { (mark.tip) }
            @if mark.width > 0.0 {
                rect.band x=(Px(mark.x)) y=(Px(from)) width=(Px(mark.width)) height=(Px(bottom - from)) {}
            } @else {
                path.lead d=(format_args!("M{:.1} {from:.1}V{bottom:.1}", mark.x)) {}
            }
            @if let Some(row) = mark.row {
                text.inside x=(Px(mark.x + 3.0)) y=(Px(row_top(row) + 10.5)) { (mark.name) }
            }
        }
    }
}

fn table(history: &History, chosen: &Chosen) -> Markup {
    html! {
        div.scroll { table.records {
            thead { tr { th { "#" } th { "who" } th { "from" } th { "took" } th { "what" } th { "outcome" } th { "answer" } } }
            tbody {
                @for (index, is_pointed) in &chosen.records {
                    @let record = &history.records[*index];
                    @let (begin, end) = times(record);
                    tr.pointed[*is_pointed] {
                        td.number { (index) }
                        @if let Record::Operation(operation) = record {
                            td { "process " (operation.process) " → member " (operation.member) }
                            td.number { (moment(begin)) }
                            td.number { (length(end - begin)) }
                            td { (describe::action(&operation.action)) }
                            td { (Class::of(&operation.outcome).name()) }
                            td { (describe::outcome(&operation.outcome)) }
                        } @else {
                            td { (describe::lane(record)) }
                            td.number { (moment(begin)) }
                            td.number { @if end > begin { (length(end - begin)) } }
                            td { (describe::label(record)) }
                            td {}
                            td { (clean(&describe::line(record), CELL_MAX)) }
                        }
                    }
                }
            }
        } }
    }
}
