//! How many operations ended in each second, by how they ended.

use std::fmt::Write;

use maud::{Markup, html};

use super::draw::{TimeScale, round_step, to_f64};
use super::facts::{Class, is_served};
use super::overview::{Panel, TITLE, frame, grid_line};
use super::text::count;
use crate::history::{History, Micros};

const HEIGHT: f64 = 130.0;
/// Most steps of a line.
const STEPS_MAX: u64 = 200;
/// Shortest time that is counted together.
const STEP_MIN: Micros = 100_000;

/// A line of the plot.
struct Line {
    name: &'static str,
    css: &'static str,
    per_step: Vec<u64>,
}

/// The run, cut into steps of equal length; the last one takes what is left over.
#[derive(Clone, Copy)]
struct Steps {
    length: Micros,
    number: usize,
    end: Micros,
}

impl Steps {
    fn of(end: Micros) -> Self {
        let length = round_step(end, STEPS_MAX, STEP_MIN);
        Self { length, number: usize::try_from((end / length).max(1)).unwrap_or(1), end }
    }

    fn index(self, at: Micros) -> usize {
        usize::try_from(at / self.length).unwrap_or(usize::MAX).min(self.number - 1)
    }

    fn begin(self, index: usize) -> Micros {
        index as u64 * self.length
    }

    fn end(self, index: usize) -> Micros {
        if index + 1 == self.number { self.end.max(1) } else { self.begin(index + 1) }
    }

    /// A number of things in a step, per second.
    fn rate(self, index: usize, number: u64) -> f64 {
        to_f64(number) * 1e6 / to_f64((self.end(index) - self.begin(index)).max(1))
    }
}

pub(super) fn draw_operations(history: &History, scale: &TimeScale, top: f64) -> Panel {
    let steps = Steps::of(scale.end);
    let mut lines = ["acknowledged", "refused", "unknown or foreign"]
        .into_iter()
        .zip(["r-done", "r-refused", "r-unknown"])
        .map(|(name, css)| Line { name, css, per_step: vec![0; steps.number] })
        .collect::<Vec<_>>();
    for operation in history.operations() {
        let line = match Class::of(&operation.outcome) {
            Class::Done => 0,
            Class::Rejected | Class::NotDone => 1,
            Class::Unknown | Class::Foreign => 2,
        };
        lines[line].per_step[steps.index(operation.returned)] += 1;
    }
    draw("Operations per second by the time of the answer", steps, &lines, scale, top)
}

pub(super) fn draw_gateways(history: &History, scale: &TimeScale, top: f64) -> Panel {
    let steps = Steps::of(scale.end);
    let mut served = vec![0; steps.number];
    let mut failed = vec![0; steps.number];
    for proxied in history.proxied() {
        let line = if is_served(proxied) { &mut served } else { &mut failed };
        line[steps.index(proxied.returned)] += 1;
    }
    let lines = [
        Line { name: "served", css: "r-done", per_step: served },
        Line { name: "failed", css: "r-unknown", per_step: failed },
    ];
    draw("Requests through gateways per second", steps, &lines, scale, top)
}

fn draw(title: &str, steps: Steps, lines: &[Line], scale: &TimeScale, top: f64) -> Panel {
    let plot = top + TITLE;
    let highest = lines
        .iter()
        .flat_map(|line| line.per_step.iter().enumerate().map(|(index, number)| steps.rate(index, *number)))
        .fold(1.0, f64::max);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate of what is in memory"
    )]
    let step = round_step(highest.ceil() as u64, 4, 1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate of what is in memory"
    )]
    let grid = (highest / to_f64(step)).ceil() as u64;
    let y = |rate: f64| plot + HEIGHT * (1.0 - rate / to_f64(grid * step));
    let markup = html! {
        (frame(title, top, HEIGHT))
        @for index in 0..=grid { (grid_line(y(to_f64(index * step)), &format!("{}/s", count(index * step)))) }
        @for line in lines { path.rate.(line.css) d=(path(line, steps, scale, y)) {} }
        (names(lines, scale.right, plot - 8.0))
    };
    Panel { markup, bottom: plot + HEIGHT }
}

/// Steps up and down; where nothing happened there is no line.
fn path(line: &Line, steps: Steps, scale: &TimeScale, y: impl Fn(f64) -> f64) -> String {
    let mut path = String::new();
    let mut is_drawing = false;
    for (index, number) in line.per_step.iter().enumerate() {
        // Writing to a string cannot fail.
        if *number == 0 {
            if is_drawing {
                let _ = write!(path, "V{:.1}", y(0.0));
            }
            is_drawing = false;
            continue;
        }
        if !is_drawing {
            let _ = write!(path, "M{:.1} {:.1}", scale.x(steps.begin(index)), y(0.0));
        }
        is_drawing = true;
        let _ = write!(path, "V{:.1}H{:.1}", y(steps.rate(index, *number)), scale.x(steps.end(index)));
    }
    if is_drawing {
        let _ = write!(path, "V{:.1}", y(0.0));
    }
    path
}

/// What the lines are, at the right above the plot.
fn names(lines: &[Line], right: f64, y: f64) -> Markup {
    let mut x = right;
    let mut places = Vec::new();
    for line in lines.iter().rev() {
        x -= super::draw::text_width(line.name) + 26.0;
        places.push((x + 12.0, line));
    }
    html! {
        @for (x, line) in places {
            path.rate.(line.css) d=(format_args!("M{:.1} {:.1}h10", x, y - 3.5)) {}
            text.tick x=(format_args!("{:.1}", x + 14.0)) y=(format_args!("{y:.1}")) { (line.name) }
        }
    }
}
