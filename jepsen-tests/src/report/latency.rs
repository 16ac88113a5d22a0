//! How long operations took: a plot on a logarithmic scale, and a table of quantiles.

use maud::{Markup, html};

use super::draw::{Px, TimeScale, to_f64};
use super::facts::{Class, is_served};
use super::overview::{TITLE, frame, grid_line};
use super::sample::{quantile, thin};
use super::text::{count, length};
use crate::history::{Action, History, Micros, Record};

const HEIGHT: f64 = 230.0;
/// Width of a column of the plot, within which points are thinned out.
const COLUMN: f64 = 2.0;

/// Kinds of operations that have a colour of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Register,
    SetWeight,
    Deregister,
    Read,
    Heartbeat,
    Gateway,
}

impl Kind {
    const ALL: [Kind; 6] =
        [Kind::Register, Kind::SetWeight, Kind::Deregister, Kind::Read, Kind::Heartbeat, Kind::Gateway];

    fn of(action: &Action) -> Self {
        match action {
            Action::Register { .. } => Kind::Register,
            Action::SetWeight { .. } => Kind::SetWeight,
            Action::Deregister { .. } => Kind::Deregister,
            Action::Read => Kind::Read,
            Action::Heartbeat => Kind::Heartbeat,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Register => "register",
            Kind::SetWeight => "weight",
            Kind::Deregister => "deregister",
            Kind::Read => "read",
            Kind::Heartbeat => "heartbeat",
            Kind::Gateway => "through a gateway",
        }
    }

    /// Its class in the style sheet.
    pub(super) fn css(self) -> &'static str {
        match self {
            Kind::Register => "k-register",
            Kind::SetWeight => "k-weight",
            Kind::Deregister => "k-deregister",
            Kind::Read => "k-read",
            Kind::Heartbeat => "k-heartbeat",
            Kind::Gateway => "k-gateway",
        }
    }
}

/// One operation, as far as the plot and the table look at it.
struct Point {
    at: Micros,
    took: Micros,
    class: Class,
}

impl Point {
    /// Whether the system gave an answer that tells what the state was.
    fn is_answer(&self) -> bool {
        matches!(self.class, Class::Done | Class::Rejected)
    }
}

fn points(history: &History, kind: Kind) -> Vec<Point> {
    let point = |record: &Record| match record {
        Record::Operation(operation) if Kind::of(&operation.action) == kind => Some(Point {
            at: operation.called,
            took: operation.returned.saturating_sub(operation.called),
            class: Class::of(&operation.outcome),
        }),
        Record::Proxied(proxied) if kind == Kind::Gateway => Some(Point {
            at: proxied.called,
            took: proxied.returned.saturating_sub(proxied.called),
            class: if is_served(proxied) { Class::Done } else { Class::Unknown },
        }),
        _ => None,
    };
    history.records.iter().filter_map(point).collect()
}

/// The plot, where it ends, and the kinds that it shows.
pub(super) struct Drawn {
    pub(super) markup: Markup,
    pub(super) bottom: f64,
    pub(super) kinds: Vec<Kind>,
}

/// The powers of ten, in microseconds, between which all latencies lie.
#[derive(Clone, Copy)]
struct Decades {
    low: u32,
    high: u32,
}

impl Decades {
    fn around(shortest: Micros, longest: Micros) -> Self {
        let low = shortest.max(1).ilog10();
        let high = (longest.max(2) - 1).ilog10() + 1;
        Self { low, high: high.max(low + 1) }
    }

    fn y(self, took: Micros, top: f64) -> f64 {
        let share = (to_f64(took.max(1)).log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        top + HEIGHT * (1.0 - share.clamp(0.0, 1.0))
    }
}

pub(super) fn draw(history: &History, scale: &TimeScale, top: f64) -> Drawn {
    let all: Vec<(Kind, Vec<Point>)> = Kind::ALL
        .into_iter()
        .map(|kind| (kind, points(history, kind)))
        .filter(|(_, p)| !p.is_empty())
        .collect();
    let took = || all.iter().flat_map(|(_, points)| points.iter().map(|point| point.took));
    let decades = Decades::around(took().min().unwrap_or(100), took().max().unwrap_or(1_000_000));
    let plot = top + TITLE;
    let markup = html! {
        (frame("Latency by the time of the call (logarithmic)", top, HEIGHT))
        @for decade in decades.low..=decades.high {
            @let took = 10_u64.saturating_pow(decade);
            (grid_line(decades.y(took, plot), &power(decade)))
        }
        @for (kind, points) in &all {
            path.points.(kind.css()) d=(path(points, true, scale, decades, plot)) {}
            path.crosses.(kind.css()) d=(path(points, false, scale, decades, plot)) {}
        }
        @if all.is_empty() {
            text.empty.middle x=(Px(f64::midpoint(scale.left, scale.right))) y=(Px(plot + HEIGHT / 2.0)) {
                "no operations"
            }
        }
    };
    Drawn { markup, bottom: plot + HEIGHT, kinds: all.into_iter().map(|(kind, _)| kind).collect() }
}

/// What a grid line stands for: `100 µs`, `1 ms`, `10 s`.
fn power(decade: u32) -> String {
    let unit = ["µs", "ms", "s"][(decade as usize / 3).min(2)];
    let exponent = if decade < 9 { decade % 3 } else { decade - 6 };
    format!("{} {unit}", count(10_u64.saturating_pow(exponent)))
}

/// Dots (lines of no length with round ends) or crosses, thinned out.
fn path(points: &[Point], answers: bool, scale: &TimeScale, decades: Decades, top: f64) -> String {
    use std::fmt::Write;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it lies between the edges of the plot"
    )]
    let column = |at: Micros| ((scale.x(at) - scale.left) / COLUMN) as u32;
    let points = points
        .iter()
        .filter(|point| point.is_answer() == answers)
        .map(|point| (column(point.at), point.took));
    let mut path = String::new();
    for (column, took) in thin(points.collect()) {
        let (x, y) = (scale.left + (f64::from(column) + 0.5) * COLUMN, decades.y(took, top));
        // Writing to a string cannot fail.
        let _ = if answers {
            write!(path, "M{x:.0} {y:.1}h0")
        } else {
            write!(path, "M{:.0} {:.1}l5 5m0-5l-5 5", x - 2.5, y - 2.5)
        };
    }
    path
}

/// Quantiles of the answered operations, and how the others ended.
pub(super) fn table(history: &History) -> Markup {
    let rows = Kind::ALL.into_iter().map(|kind| (kind, points(history, kind))).filter(|(_, p)| !p.is_empty());
    html! {
        div.scroll {
            table.numbers {
                thead { tr {
                    th { "Operation" } th { "asked" }
                    @for class in Class::ALL { th { (class.name()) } }
                    th { "median" } th { "p99" } th { "slowest answer" }
                } }
                tbody {
                    @for (kind, points) in rows {
                        @let mut took: Vec<Micros> =
                            points.iter().filter(|point| point.is_answer()).map(|point| point.took).collect();
                        @let () = took.sort_unstable();
                        tr {
                            td { (kind.name()) }
                            td { (count(points.len() as u64)) }
                            @for class in Class::ALL {
                                td { (count(points.iter().filter(|point| point.class == class).count() as u64)) }
                            }
                            @for share in [0.5, 0.99, 1.0] {
                                td { (quantile(&took, share).map_or("–".to_owned(), length)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
