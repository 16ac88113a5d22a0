//! Reads how many tests ran from the closing lines of the test runners.

/// What the runners have counted so far.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Tests that are switched off in their source.
    pub(crate) ignored: u64,
}

impl Tally {
    /// Takes one line of output; most lines count nothing.
    pub(crate) fn read_line(&mut self, line: &str) {
        let line = without_colours(line);
        let line = line.trim();
        let counted = nextest(line).or_else(|| libtest(line)).or_else(|| pytest(line));
        if let Some(counted) = counted {
            self.add(&counted);
        }
    }

    /// Adds what another run counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

/// `Summary [   0.005s] 3/4 tests run: 2 passed (1 slow), 1 timed out, 0 skipped`: whatever ran and did
/// not pass has failed, under whichever name.
fn nextest(line: &str) -> Option<Tally> {
    let (_, rest) = line.strip_prefix("Summary [")?.split_once(']')?;
    let (ran, results) = rest.split_once(" run:")?;
    let ran: u64 = ran.trim().split([' ', '/']).next()?.parse().ok()?;
    let passed = count(results, "passed");
    Some(Tally { passed, failed: ran.saturating_sub(passed), ignored: count(results, "skipped") })
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
fn libtest(line: &str) -> Option<Tally> {
    let results = line.strip_prefix("test result:")?.split_once('.')?.1;
    Some(Tally {
        passed: count(results, "passed"),
        failed: count(results, "failed"),
        ignored: count(results, "ignored"),
    })
}

/// `===== 3 passed, 1 failed, 1 skipped in 0.12s =====`
fn pytest(line: &str) -> Option<Tally> {
    let results = line.trim_matches('=').trim();
    let is_summary = line.starts_with("==") && line.ends_with("==") && results.contains(" in ");
    let failed = count(results, "failed") + count(results, "error") + count(results, "errors");
    is_summary.then(|| Tally { passed: count(results, "passed"), failed, ignored: count(results, "skipped") })
}

/// The number that stands before `what` in a list such as `2 passed (1 slow), 1 failed`.
fn count(results: &str, what: &str) -> u64 {
    let parts = results.split([',', ';']).map(str::trim);
    let mut numbers = parts.filter_map(|part| {
        let (number, name) = part.split_once(' ')?;
        (name.split(' ').next() == Some(what)).then(|| number.parse().ok()).flatten()
    });
    numbers.next().unwrap_or(0)
}

/// The line without terminal escapes (`ESC [ … letter`).
fn without_colours(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        if char == '\u{1b}' {
            chars.by_ref().find(char::is_ascii_alphabetic);
        } else {
            text.push(char);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(line: &str, passed: u64, failed: u64, ignored: u64) {
        let mut tally = Tally::default();
        tally.read_line(line);
        assert_eq!(tally, Tally { passed, failed, ignored });
    }

    #[test]
    fn nextest_is_understood() {
        reads("     Summary [   1.205s] 30 tests run: 30 passed (2 slow), 4 skipped", 30, 0, 4);
        reads(
            "     Summary [   1.205s] 5 tests run: 2 passed, 1 failed, 1 timed out, 1 exec failed, 0 skipped",
            2,
            3,
            0,
        );
        reads("     Summary [   1.205s] 3/30 tests run: 2 passed, 1 failed, 0 skipped", 2, 1, 0);
        reads("     Summary [   0.005s] 1 test run: 1 passed, 0 skipped", 1, 0, 0);
        reads(
            "\u{1b}[32;1m     Summary\u{1b}[0m [   1.2s] \u{1b}[1m3\u{1b}[0m tests run: \u{1b}[1m3\u{1b}[0m passed",
            3,
            0,
            0,
        );
    }

    #[test]
    fn libtest_is_understood() {
        reads(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s",
            3,
            0,
            1,
        );
        reads("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out", 3, 2, 0);
    }

    #[test]
    fn pytest_is_understood() {
        reads("===== 1 failed, 3 passed, 1 skipped, 1 error in 0.12s =====", 3, 2, 1);
    }

    #[test]
    fn other_lines_count_nothing() {
        reads("5 passed, 1 failed", 0, 0, 0);
        reads("=== warnings ===", 0, 0, 0);
        reads("", 0, 0, 0);
    }
}
