//! The whole run in one drawing: faults and leaders above, latencies and rates below, one axis of time.

use maud::{Markup, html};

use super::draw::{Px, TimeScale, fault_text, legend, text_width, tick_text};
use super::facts::{Class, Facts, Span};
use super::text::{clean, count, moment};
use super::{latency, rate};
use crate::history::{History, Micros};

/// Width of the drawing; labels stand left of `LEFT`.
pub(super) const WIDTH: f64 = 1000.0;
pub(super) const LEFT: f64 = 124.0;
pub(super) const RIGHT: f64 = WIDTH - 16.0;
/// Height of a row above the plots.
const ROW: f64 = 18.0;
/// Room above each plot for its title.
pub(super) const TITLE: f64 = 32.0;
/// Most rows of faults; further names share the last one.
const FAULT_ROWS_MAX: usize = 8;
/// Most faults, leads and problems that are drawn, each.
const MARKS_MAX: usize = 300;

/// Where a problem lies in the run.
pub(super) struct ProblemMark {
    pub(super) at: Micros,
    pub(super) text: String,
}

/// Draws it.
pub(super) fn draw(history: &History, facts: &Facts<'_>, problems: &[ProblemMark]) -> Markup {
    let scale = TimeScale { left: LEFT, right: RIGHT, end: facts.end.max(1) };
    let (rows, plots_top) = rows(&scale, facts, problems);
    let latencies = latency::draw(history, &scale, plots_top + 8.0);
    let rates = rate::draw_operations(history, &scale, latencies.bottom);
    let gateways = (facts.proxied > 0).then(|| rate::draw_gateways(history, &scale, rates.bottom));
    let bottom = gateways.as_ref().map_or(rates.bottom, |panel| panel.bottom);
    html! {
        p.legend {
            @for kind in latencies.kinds { (legend(kind.css(), kind.name())) }
            span.key { span.dot { "●" } "answered" }
            span.key { span.dot { "×" } "not done, unknown or foreign" }
        }
        div.scroll {
            svg.overview viewBox=(format_args!("0 0 {WIDTH} {:.0}", bottom + 40.0)) role="img"
                aria-label="Latencies and rates of the run, with its faults" {
                (bands(&scale, facts, plots_top, bottom))
                (rows)
                (latencies.markup)
                (rates.markup)
                @if let Some(gateways) = gateways { (gateways.markup) }
                (time_axis(&scale, bottom))
            }
        }
        @if facts.spans.len() > MARKS_MAX || facts.reigns.len() > MARKS_MAX {
            p.note { "The first " (count(MARKS_MAX as u64)) " faults and leads are drawn." }
        }
        p.note {
            "Shaded: a fault was in force. Dashed lines: another member began to lead. Of each column of the \
             latency plot the slowest and the fastest operation of each kind are always drawn, and up to "
            (super::sample::KEPT_PER_COLUMN - 2) " between them."
        }
        (latency::table(history))
    }
}

/// A plot of the drawing and where it ends.
pub(super) struct Panel {
    pub(super) markup: Markup,
    pub(super) bottom: f64,
}

/// A plot's title, and the line that it stands on.
pub(super) fn frame(title: &str, top: f64, height: f64) -> Markup {
    html! {
        text.title x=(Px(LEFT)) y=(Px(top + TITLE - 8.0)) { (title) }
        rect.frame x=(Px(LEFT)) y=(Px(top + TITLE)) width=(Px(RIGHT - LEFT)) height=(Px(height)) {}
    }
}

/// A line across a plot, and what it stands for.
pub(super) fn grid_line(y: f64, text: &str) -> Markup {
    html! {
        path.grid d=(format_args!("M{LEFT:.0} {y:.1}H{RIGHT:.0}")) {}
        text.tick.end x=(Px(LEFT - 6.0)) y=(Px(y + 3.5)) { (text) }
    }
}

fn bands(scale: &TimeScale, facts: &Facts<'_>, top: f64, bottom: f64) -> Markup {
    html! {
        @for span in facts.spans.iter().take(MARKS_MAX) {
            @let (x, width) = extent(scale, facts, span);
            rect.band x=(Px(x)) y=(Px(top)) width=(Px(width)) height=(Px(bottom - top)) {}
        }
        @for reign in facts.reigns.iter().take(MARKS_MAX).filter(|reign| reign.is_change) {
            path.lead d=(format_args!("M{:.1} {top:.1}V{bottom:.1}", scale.x(reign.at))) {}
        }
    }
}

/// Left edge and width of a fault; one that lasts a moment is still to be seen.
fn extent(scale: &TimeScale, facts: &Facts<'_>, span: &Span<'_>) -> (f64, f64) {
    let x = scale.x(span.begin);
    (x, (scale.x(span.end.unwrap_or(facts.end)) - x).max(1.5))
}

/// The rows above the plots, and where they end.
fn rows(scale: &TimeScale, facts: &Facts<'_>, problems: &[ProblemMark]) -> (Markup, f64) {
    let mut names: Vec<&str> = Vec::new();
    for span in &facts.spans {
        if !names.contains(&span.fault.name.as_str()) {
            names.push(&span.fault.name);
        }
    }
    let is_shortened = names.len() > FAULT_ROWS_MAX;
    names.truncate(if is_shortened { FAULT_ROWS_MAX - 1 } else { FAULT_ROWS_MAX });
    let fault_rows = names.len() + usize::from(is_shortened);
    let first = usize::from(!problems.is_empty());
    let row_of = |span: &Span<'_>| {
        first + names.iter().position(|name| *name == span.fault.name).unwrap_or(fault_rows - 1)
    };
    let leaders = first + fault_rows;
    let top = |row: usize| 4.0 + ROW * super::draw::to_f64(row as u64);
    let markup = html! {
        @if !problems.is_empty() {
            (row_label("problems", top(0)))
            @for problem in problems.iter().take(MARKS_MAX) {
                path.problem-mark d=(format_args!("M{:.1} {:.1}l-4.5 -9h9z", scale.x(problem.at), top(0) + 14.0)) {
                    title { (moment(problem.at)) ": " (problem.text) }
                }
            }
        }
        @for (index, name) in names.iter().enumerate() { (row_label(&clean(name, 18), top(first + index))) }
        @if is_shortened { (row_label("other faults", top(first + fault_rows - 1))) }
        @for span in facts.spans.iter().take(MARKS_MAX) {
            (fault_bar(scale, facts, span, top(row_of(span))))
        }
        (row_label("leader", top(leaders)))
        (leads(scale, facts, top(leaders)))
    };
    (markup, top(leaders + 1))
}

fn row_label(text: &str, top: f64) -> Markup {
    html! { text.tick.end x=(Px(LEFT - 6.0)) y=(Px(top + 12.5)) { (text) } }
}

fn fault_bar(scale: &TimeScale, facts: &Facts<'_>, span: &Span<'_>, top: f64) -> Markup {
    let (x, width) = extent(scale, facts, span);
    let members = clean(&span.fault.members.iter().map(u64::to_string).collect::<Vec<_>>().join(","), 20);
    let css = if span.took_hold() { "fault" } else { "fault missed" };
    let end = span.end.map_or("the end of the run".to_owned(), moment);
    html! {
        rect.(css) x=(Px(x)) y=(Px(top + 2.0)) width=(Px(width)) height=(Px(ROW - 4.0)) rx="2" {
            title { (moment(span.begin)) " to " (end) ": " (fault_text(span)) }
        }
        @if text_width(&members) + 6.0 < width {
            text.inside x=(Px(x + 4.0)) y=(Px(top + 12.5)) { (members) }
        }
    }
}

fn leads(scale: &TimeScale, facts: &Facts<'_>, top: f64) -> Markup {
    let mut reigns: Vec<_> = facts.reigns.iter().take(MARKS_MAX).collect();
    reigns.sort_by_key(|reign| reign.at);
    html! {
        @for (index, reign) in reigns.iter().enumerate() {
            @let x = scale.x(reign.at);
            @let width = reigns.get(index + 1).map_or(RIGHT, |next| scale.x(next.at)) - x;
            @let text = format!("{}, term {}", reign.leader, reign.term);
            @let short = reign.leader.to_string();
            rect.reign x=(Px(x)) y=(Px(top + 2.0)) width=(Px(width.max(1.0))) height=(Px(ROW - 4.0)) rx="2" {
                title { "member " (reign.leader) " leads in term " (reign.term) ", from " (moment(reign.at)) }
            }
            @if text_width(&text) + 8.0 < width {
                text.inside x=(Px(x + 4.0)) y=(Px(top + 12.5)) { (text) }
            } @else if text_width(&short) + 6.0 < width {
                text.inside x=(Px(x + 4.0)) y=(Px(top + 12.5)) { (short) }
            }
        }
        @if reigns.is_empty() {
            text.tick x=(Px(LEFT)) y=(Px(top + 12.5)) { "nobody was seen to lead" }
        }
    }
}

fn time_axis(scale: &TimeScale, bottom: f64) -> Markup {
    let ticks: Vec<Micros> = scale.ticks(12).collect();
    let step = ticks.get(1).copied().unwrap_or(scale.end);
    html! {
        @for at in ticks {
            @let x = scale.x(at);
            path.axis d=(format_args!("M{x:.1} {bottom:.1}v5")) {}
            text.tick.middle x=(Px(x)) y=(Px(bottom + 17.0)) { (tick_text(at, step)) }
        }
        text.tick.middle x=(Px(f64::midpoint(LEFT, RIGHT))) y=(Px(bottom + 34.0)) { "seconds since the run began" }
    }
}

/// The legend of outcomes, shared by timelines.
pub(super) fn outcomes() -> Markup {
    html! { @for class in Class::ALL { (legend(class.css(), class.name())) } }
}
