//! Spans of time and sizes, short enough for a column.

use kenger_types::Timestamp;

/// `12s`, `5m`, `3h`, `2d`: the largest unit of which there are at least two, so that the number
/// stays meaningful.
pub(crate) fn age(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match seconds {
        s if s >= 2 * DAY => format!("{}d", s / DAY),
        s if s >= 2 * HOUR => format!("{}h", s / HOUR),
        s if s >= 2 * MINUTE => format!("{}m", s / MINUTE),
        s => format!("{s}s"),
    }
}

/// How long before `now` it was. A clock that is behind the registry's shows `0s`.
pub(crate) fn since(time: Timestamp, now: Timestamp) -> String {
    age(now.unix_ms().saturating_sub(time.unix_ms()) / 1_000)
}

/// `512 B`, `3.4 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut size = count as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_use_the_largest_unit_that_says_enough() {
        for (seconds, text) in [
            (0, "0s"),
            (12, "12s"),
            (119, "119s"),
            (120, "2m"),
            (7_199, "119m"),
            (7_200, "2h"),
            (172_800, "2d"),
        ] {
            assert_eq!(age(seconds), text);
        }
        assert_eq!(since(Timestamp::from_unix_ms(5_000), Timestamp::from_unix_ms(1_000)), "0s");
        assert_eq!(since(Timestamp::from_unix_ms(1_000), Timestamp::from_unix_ms(13_999)), "12s");
    }

    #[test]
    fn sizes_have_one_decimal() {
        for (count, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3_565_158, "3.4 MiB"), (1 << 50, "1024.0 TiB")]
        {
            assert_eq!(bytes(count), text);
        }
    }
}
