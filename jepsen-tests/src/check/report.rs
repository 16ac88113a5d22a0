//! How a checker puts its finding together.

use super::{Checker, Finding, PROBLEMS_MAX, Problem, Verdict};
use crate::history::{Key, Micros};

impl Problem {
    /// A broken rule, in words for people.
    pub(super) fn new(rule: &str, what: impl Into<String>) -> Self {
        Self { rule: rule.to_owned(), what: what.into(), key: None, at: None, records: Vec::new() }
    }

    /// The key that it is about.
    pub(super) fn of(self, key: &Key) -> Self {
        Self { key: Some(key.to_string()), ..self }
    }

    /// When it showed.
    pub(super) fn at(self, at: Micros) -> Self {
        Self { at: Some(at), ..self }
    }

    /// The records that show it, by their place in the history.
    pub(super) fn shown_by(self, records: impl IntoIterator<Item = usize>) -> Self {
        Self { records: records.into_iter().collect(), ..self }
    }
}

/// A finding under way.
pub(super) struct Report {
    checker: &'static str,
    rules: &'static [&'static str],
    verdict: Verdict,
    problems: Vec<Problem>,
    found: usize,
    figures: Vec<(String, f64)>,
}

impl Report {
    /// Nothing was looked at yet: not applicable.
    pub(super) fn new(checker: &impl Checker) -> Self {
        Self {
            checker: checker.name(),
            rules: checker.rules(),
            verdict: Verdict::NotApplicable,
            problems: Vec::new(),
            found: 0,
            figures: Vec::new(),
        }
    }

    /// There is something to look at: valid, as long as nothing else is found.
    pub(super) fn applies(&mut self) {
        self.verdict = self.verdict.max(Verdict::Valid);
    }

    /// A promise was broken.
    pub(super) fn broken(&mut self, problem: Problem) {
        self.add(Verdict::Invalid, problem);
    }

    /// It cannot be decided.
    pub(super) fn undecided(&mut self, problem: Problem) {
        self.add(Verdict::Unknown, problem);
    }

    fn add(&mut self, verdict: Verdict, problem: Problem) {
        let is_known = self.rules.contains(&problem.rule.as_str());
        assert!(is_known, "{} does not list its rule {}", self.checker, problem.rule);
        self.verdict = self.verdict.max(verdict);
        self.found += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }

    /// A number for people.
    #[allow(clippy::cast_precision_loss, reason = "figures are for people")]
    pub(super) fn figure(&mut self, name: &str, value: u64) {
        self.figures.push((name.to_owned(), value as f64));
    }

    /// The p-th percentile (0 to 100) of times, and the longest, in milliseconds, if there are any.
    pub(super) fn times(&mut self, name: &str, times: &mut [Micros]) {
        times.sort_unstable();
        let Some(longest) = times.last() else { return };
        let p99 = times[(times.len() - 1) * 99 / 100];
        for (what, time) in [("p50", times[(times.len() - 1) / 2]), ("p99", p99), ("max", *longest)] {
            let name = format!("{name} {what} (ms)");
            self.figures.push((name, Micros::div_euclid(time, 100) as f64 / 10.0));
        }
    }

    /// What came of it.
    pub(super) fn finish(mut self) -> Finding {
        if self.found > self.problems.len() {
            self.figure("problems", self.found as u64);
        }
        Finding {
            checker: self.checker.to_owned(),
            verdict: self.verdict,
            problems: self.problems,
            figures: self.figures,
        }
    }
}

/// A time for people.
pub(super) fn ms(time: Micros) -> String {
    format!("{}.{} ms", time / 1_000, time % 1_000 / 100)
}
