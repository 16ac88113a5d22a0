//! Where each bar of a timeline lies, so that no label covers another.

use super::choose::{Chosen, lane};
use crate::history::{History, Micros};
use crate::report::describe;
use crate::report::draw::{text_width, to_f64};
use crate::report::facts::times;
use crate::report::text::clean;

/// Lanes' names stand left of it.
pub(super) const LEFT: f64 = 132.0;
/// Least and most room between one call or return and the next one.
const STEP_MIN: f64 = 9.0;
const STEP_MAX: f64 = 72.0;
/// Room behind a label.
const GAP: f64 = 8.0;
/// Least distance of two times on the axis.
const TICK_DISTANCE: f64 = 76.0;
/// Silence from which its length is written down.
const BREAK_MIN: Micros = 1_000_000;
/// Longest label, in characters.
const LABEL_MAX: usize = 44;

/// A record on the page.
#[derive(Debug)]
pub(super) struct Bar {
    pub(super) record: usize,
    pub(super) row: usize,
    pub(super) begin: Micros,
    pub(super) end: Micros,
    /// Where it begins, and its label.
    pub(super) x: f64,
    pub(super) label: String,
    pub(super) is_pointed: bool,
}

/// A timeline, laid out.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) bars: Vec<Bar>,
    /// Name and first row of each lane.
    pub(super) lanes: Vec<(String, usize)>,
    pub(super) rows: usize,
    pub(super) width: f64,
    /// Every moment at which a bar begins or ends, and where it lies; in order.
    instants: Vec<(Micros, f64)>,
}

impl Layout {
    pub(super) fn of(history: &History, chosen: &Chosen) -> Self {
        let mut bars: Vec<Bar> = chosen
            .records
            .iter()
            .map(|(record, is_pointed)| {
                let (begin, end) = times(&history.records[*record]);
                let label = clean(&describe::label(&history.records[*record]), LABEL_MAX);
                Bar { record: *record, row: 0, begin, end, x: LEFT, label, is_pointed: *is_pointed }
            })
            .collect();
        let (lanes, rows) = assign_rows(history, &mut bars);
        let (instants, width) = place(&mut bars, rows);
        Self { bars, lanes, rows, width, instants }
    }

    /// First and last moment that are shown.
    pub(super) fn extent(&self) -> Option<(Micros, Micros)> {
        Some((self.instants.first()?.0, self.instants.last()?.0))
    }

    /// Where a moment lies; what is outside lies at the edge.
    pub(super) fn x(&self, at: Micros) -> f64 {
        let after = self.instants.partition_point(|(instant, _)| *instant < at);
        match (after.checked_sub(1).map(|before| self.instants[before]), self.instants.get(after)) {
            (_, Some((instant, x))) if *instant == at => *x,
            (Some((t0, x0)), Some((t1, x1))) => x0 + (x1 - x0) * to_f64(at - t0) / to_f64(t1 - t0),
            (Some(_), None) => self.width,
            (None, _) => LEFT,
        }
    }

    /// Moments whose times fit onto the axis.
    pub(super) fn ticks(&self) -> Vec<(Micros, f64)> {
        let mut next = f64::MIN;
        let mut ticks = Vec::new();
        for (at, x) in &self.instants {
            if *x >= next {
                ticks.push((*at, *x));
                next = x + TICK_DISTANCE;
            }
        }
        ticks
    }

    /// Silences whose length cannot be seen, and the middle of each.
    pub(super) fn breaks(&self) -> Vec<(Micros, f64)> {
        let pairs =
            self.instants.windows(2).map(|pair| (pair[1].0 - pair[0].0, f64::midpoint(pair[0].1, pair[1].1)));
        pairs.filter(|(silence, _)| *silence >= BREAK_MIN).collect()
    }
}

/// Gives each bar a row: the lanes in order, and in each lane as many rows as bars overlap.
fn assign_rows(history: &History, bars: &mut [Bar]) -> (Vec<(String, usize)>, usize) {
    let mut names: Vec<((u8, u64), String)> = bars
        .iter()
        .map(|bar| (lane(&history.records[bar.record]), describe::lane(&history.records[bar.record])))
        .collect();
    names.sort();
    names.dedup();
    let mut lanes = Vec::new();
    let mut rows = 0;
    for (_, name) in names {
        let first = rows;
        // Until when each row of the lane is taken.
        let mut taken: Vec<Micros> = Vec::new();
        for bar in bars.iter_mut().filter(|bar| describe::lane(&history.records[bar.record]) == name) {
            let row = taken.iter().position(|end| *end <= bar.begin).unwrap_or(taken.len());
            if row == taken.len() {
                taken.push(0);
            }
            taken[row] = bar.end;
            bar.row = first + row;
        }
        rows = first + taken.len();
        lanes.push((name, first));
    }
    (lanes, rows)
}

/// Lays out the moments from left to right: each has its distance from the one before, and a bar does
/// not begin before the label of the bar before it in its row has ended. Of what lasts no time, several
/// may lie at one moment in one row: they stand side by side.
fn place(bars: &mut [Bar], rows: usize) -> (Vec<(Micros, f64)>, f64) {
    let mut instants: Vec<Micros> = bars.iter().flat_map(|bar| [bar.begin, bar.end]).collect();
    instants.sort_unstable();
    instants.dedup();
    let mut free = vec![LEFT + 10.0; rows];
    let mut placed: Vec<(Micros, f64)> = Vec::with_capacity(instants.len());
    // How far what stands side by side at the last moment goes.
    let mut last = LEFT + 10.0;
    for at in instants {
        let earliest = placed.last().map_or(last, |(before, x)| last.max(x + step(at - before)));
        let begins = bars.iter().filter(|bar| bar.begin == at);
        let x = begins.map(|bar| free[bar.row]).fold(earliest, f64::max);
        last = x;
        for bar in bars.iter().filter(|bar| bar.end == at && bar.begin < at) {
            free[bar.row] = free[bar.row].max(x + GAP);
        }
        for bar in bars.iter_mut().filter(|bar| bar.begin == at) {
            bar.x = free[bar.row].max(x);
            last = last.max(bar.x);
            free[bar.row] = bar.x + text_width(&bar.label) + GAP;
        }
        placed.push((at, x));
    }
    (placed, free.into_iter().fold(last + 40.0, f64::max) + 4.0)
}

/// Room for a stretch of time: more for a longer one, but not in proportion.
fn step(silence: Micros) -> f64 {
    (STEP_MIN + 4.0 * (1.0 + to_f64(silence) / 500.0).log2()).min(STEP_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(row: usize, begin: Micros, end: Micros, label: &str) -> Bar {
        Bar { record: 0, row, begin, end, x: 0.0, label: label.to_owned(), is_pointed: false }
    }

    #[test]
    fn no_label_covers_the_next_bar_of_its_row_and_order_is_kept() {
        let long = "x".repeat(40);
        let mut bars = [
            bar(0, 10, 20, &long),
            bar(1, 15, 1_000_000_000, "y"),
            bar(0, 20, 20, &long),
            bar(0, 20, 20, "at the same moment"),
            bar(0, 21, 30, "z"),
        ];
        let (instants, width) = place(&mut bars, 2);
        assert!(instants.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1), "{instants:?}");
        let row: Vec<&Bar> = bars.iter().filter(|bar| bar.row == 0).collect();
        let ends = |bar: &Bar| bar.x + text_width(&bar.label);
        assert!(row.windows(2).all(|pair| ends(pair[0]) <= pair[1].x), "{row:?}");
        let x = |at| instants.iter().find(|(instant, _)| *instant == at).unwrap().1;
        assert!(x(21) > row[2].x, "what comes later lies behind what stood side by side");
        assert!(x(1_000_000_000) - x(30) <= STEP_MAX && width > x(1_000_000_000));
    }
}
