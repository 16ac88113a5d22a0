//! How strings of a run, times and numbers are written in a report.
//!
//! Strings of a run are not trusted: they are cut to a length, and characters that change how a page is
//! read (controls, marks that turn the direction of writing) are made visible. The markup that they are
//! put into escapes them.

use std::fmt;

use crate::history::Micros;

/// `text` with at most `max` characters, all of them visible ones or spaces.
pub(super) fn clean(text: &str, max: usize) -> String {
    let mut chars = text.chars();
    let mut clean: String = chars.by_ref().take(max).map(visible).collect();
    if chars.next().is_some() {
        clean.pop();
        clean.push('…');
    }
    clean
}

fn visible(char: char) -> char {
    match char {
        '\t' | '\n' | '\r' => ' ',
        // The pictures of the control characters stand in their order.
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(char)).unwrap_or('\u{fffd}'),
        '\x7f'..='\u{9f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fffe}'
        | '\u{ffff}' => '\u{fffd}',
        _ => char,
    }
}

/// A moment of the run, `12.345 s`.
pub(super) fn moment(at: Micros) -> String {
    format!("{}.{:03} s", at / 1_000_000, at / 1_000 % 1_000)
}

/// How long something took, with three digits that count.
pub(super) fn length(micros: Micros) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let value = micros as f64;
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", three_digits(value / 1e3)),
        1_000_000..120_000_000 => format!("{} s", three_digits(value / 1e6)),
        _ => format!("{} min", three_digits(value / 6e7)),
    }
}

fn three_digits(value: f64) -> String {
    let decimals = match value {
        -9.995..9.995 => 2,
        -99.95..99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// A number with its thousands set apart: `20,000`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 gap`, `2 gaps`.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A figure of a checker: whole if it is, else with three digits that count.
pub(super) fn figure(value: f64) -> String {
    /// Up to here a floating-point number holds every whole one.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    if !value.is_finite() {
        return "not a number".to_owned();
    }
    // From a thousand on, nobody looks for what is behind the point.
    let value = if value.abs() >= 1e3 { value.round() } else { value };
    if value.fract() == 0.0 && value.abs() < WHOLE_MAX {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is whole, positive and below 2^53"
        )]
        let whole = count(value.abs() as u64);
        return if value < 0.0 { format!("−{whole}") } else { whole };
    }
    match value.abs() {
        // Shares: two digits that count, if they are not too far behind the point.
        ..0.0001 => format!("{value:.1e}"),
        ..0.01 => format!("{value:.4}"),
        _ => three_digits(value),
    }
}

/// Member numbers, `1, 3 and 5`.
pub(super) fn list(items: &[impl fmt::Display]) -> String {
    match items {
        [] => String::new(),
        [only] => only.to_string(),
        [rest @ .., last] => {
            let rest: Vec<String> = rest.iter().map(ToString::to_string).collect();
            format!("{} and {last}", rest.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_and_what_is_invisible_is_shown() {
        assert_eq!(clean("abc", 3), "abc");
        assert_eq!(clean("abcd", 3), "ab…");
        assert_eq!(clean("a\u{1b}[31m\u{202e}b\0\n", 20), "a␛[31m\u{fffd}b␀ ");
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(["0", "999", "1,000", "1,234,567"], [0, 999, 1_000, 1_234_567].map(count)[..]);
        assert_eq!(["12 µs", "1.50 ms", "100 ms", "12.3 s"], [12, 1_500, 99_960, 12_345_678].map(length)[..]);
        assert_eq!(
            ["1,200", "4,347", "0.25", "−3", "0.0021"],
            [1200.0, 4347.1, 0.25, -3.0, 0.0021].map(figure)[..]
        );
        assert_eq!(figure(f64::NAN), "not a number");
        assert_eq!(moment(12_345_678), "12.345 s");
        assert_eq!(list(&[1, 3, 5]), "1, 3 and 5");
    }
}
