//! What all drawings share: coordinates, scales, ticks, the width of text.

use std::fmt::Write;

use maud::{Markup, Render, html};

use super::facts::Span;
use super::text::{clean, list};
use crate::history::Micros;

/// A coordinate in a drawing, written with one decimal.
#[derive(Clone, Copy)]
pub(super) struct Px(pub(super) f64);

impl Render for Px {
    fn render_to(&self, buffer: &mut String) {
        // Writing to a string cannot fail.
        let _ = write!(buffer, "{:.1}", self.0);
    }
}

/// Width of a character of the labels (a monospaced font of 10 units).
pub(super) const CHAR_WIDTH: f64 = 6.1;

/// Width of a label.
pub(super) fn text_width(text: &str) -> f64 {
    to_f64(text.chars().count() as u64) * CHAR_WIDTH
}

/// A count or a time as a coordinate; what is lost beyond 2^53 cannot be seen.
#[expect(clippy::cast_precision_loss, reason = "coordinates are drawn with one decimal")]
pub(super) fn to_f64(number: u64) -> f64 {
    number as f64
}

/// The time of a run as it lies on the page: evenly.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeScale {
    pub(super) left: f64,
    pub(super) right: f64,
    /// What lies at the right edge; at least 1.
    pub(super) end: Micros,
}

impl TimeScale {
    pub(super) fn x(&self, at: Micros) -> f64 {
        let share = to_f64(at.min(self.end)) / to_f64(self.end);
        self.left + (self.right - self.left) * share
    }

    /// Round moments, at most `most` of them, from 0 on.
    pub(super) fn ticks(&self, most: u64) -> impl Iterator<Item = Micros> {
        let step = round_step(self.end, most, 1_000);
        (0..=self.end / step).map(move |index| index * step)
    }
}

/// The smallest of 1, 2 or 5 times a power of ten times `least` that cuts `whole` into `most` pieces or
/// fewer.
pub(super) fn round_step(whole: u64, most: u64, least: u64) -> u64 {
    let mut decade = least.max(1);
    loop {
        for step in [decade, decade.saturating_mul(2), decade.saturating_mul(5)] {
            if whole / step <= most.max(1) || step == u64::MAX {
                return step;
            }
        }
        decade = decade.saturating_mul(10);
    }
}

/// What a tick of the time axis says: seconds, with no more decimals than all of them need.
pub(super) fn tick_text(at: Micros, step: Micros) -> String {
    let decimals = match step {
        1_000_000.. => 0,
        100_000.. => 1,
        10_000.. => 2,
        _ => 3,
    };
    format!("{:.decimals$}", to_f64(at) / 1e6)
}

/// A fault in words, for a tip.
pub(super) fn fault_text(span: &Span<'_>) -> String {
    let members = match span.fault.members.as_slice() {
        [] => String::new(),
        [one] => format!(" of member {one}"),
        several => format!(" of members {}", clean(&list(several), 60)),
    };
    let took = if span.took_hold() { "" } else { "; not known to have taken hold" };
    format!("{}{members}: {}{took}", clean(&span.fault.name, 40), clean(&span.fault.detail, 200))
}

/// A legend's entry: a patch of what a style sheet's class looks like, and what it means.
pub(super) fn legend(css: &str, name: &str) -> Markup {
    html! {
        span.key {
            svg.patch width="12" height="12" viewBox="0 0 12 12" aria-hidden="true" {
                rect.(css) x="1" y="1" width="10" height="10" rx="2" {}
            }
            (name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_few() {
        assert_eq!(round_step(60_000_000, 12, 1_000), 5_000_000);
        assert_eq!(round_step(0, 12, 1_000), 1_000);
        assert_eq!(round_step(7, 0, 1), 5);
        assert!(u64::MAX / round_step(u64::MAX, 4, 1) <= 4);
    }

    #[test]
    fn a_time_scale_stays_within_its_edges() {
        let scale = TimeScale { left: 10.0, right: 110.0, end: 1_000 };
        assert_eq!([10.0, 60.0, 110.0, 110.0], [0, 500, 1_000, u64::MAX].map(|at| scale.x(at))[..]);
        let ticks: Vec<Micros> = TimeScale { end: 9_000_000, ..scale }.ticks(10).collect();
        assert_eq!(ticks, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(|s| s * 1_000_000));
    }
}
