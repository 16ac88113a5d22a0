//! The sum of a run: what passed, what failed, what was skipped and why.

use std::path::Path;
use std::time::Duration;

use super::tally::Tally;

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// With what is wrong.
    Failed(String),
    /// With the reason.
    Skipped(String),
}

impl From<Result<(), String>> for Outcome {
    fn from(result: Result<(), String>) -> Self {
        result.map_or_else(Outcome::Failed, |()| Outcome::Passed)
    }
}

#[derive(Debug)]
struct Line {
    name: String,
    outcome: Outcome,
    tally: Tally,
    took: Duration,
}

/// All steps so far.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    lines: Vec<Line>,
    /// `name: reason` of tests that could not run.
    skips: Vec<String>,
}

impl Summary {
    pub(crate) fn add(&mut self, name: &str, outcome: Outcome, tally: Tally, took: Duration) {
        self.lines.push(Line { name: name.to_owned(), outcome, tally, took });
    }

    /// Takes over what tests wrote of why they could not run. No file means that none did.
    pub(crate) fn read_skips(&mut self, log: &Path) {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let lines = text.lines().map(|line| line.strip_prefix("SKIPPED: ").unwrap_or(line).to_owned());
        self.skips.extend(lines.filter(|line| !line.is_empty()));
        self.skips.sort();
        self.skips.dedup();
    }

    pub(crate) fn is_success(&self) -> bool {
        self.totals().failed == 0
    }

    /// Tests and steps together. A step that runs tests counts by them; it counts as one of its own only
    /// if it failed although no test did. A test that said it could not run was counted as passed by its
    /// runner; here it is not.
    fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for line in &self.lines {
            let Tally { passed, failed, ignored } = line.tally;
            totals.passed += passed;
            totals.failed += failed;
            totals.skipped += ignored;
            let ran_tests = passed + failed > 0;
            match line.outcome {
                Outcome::Passed if ran_tests => {}
                Outcome::Passed => totals.passed += 1,
                Outcome::Failed(_) if failed > 0 => {}
                Outcome::Failed(_) => totals.failed += 1,
                Outcome::Skipped(_) => totals.skipped += 1,
            }
        }
        let could_not_run = self.skips.len() as u64;
        totals.skipped += could_not_run;
        totals.passed = totals.passed.saturating_sub(could_not_run);
        totals
    }

    pub(crate) fn print(&self) {
        println!("\n── summary");
        for Line { name, outcome, tally, took } in &self.lines {
            let seconds = took.as_secs();
            let counts = match tally {
                Tally { passed: 0, failed: 0, .. } => String::new(),
                Tally { passed, failed, .. } => format!(" ({passed} passed, {failed} failed)"),
            };
            match outcome {
                Outcome::Passed => println!("passed   {seconds:>5} s  {name}{counts}"),
                Outcome::Failed(why) => println!("FAILED   {seconds:>5} s  {name}{counts}: {why}"),
                Outcome::Skipped(why) => println!("SKIPPED  {seconds:>5} s  {name}: {why}"),
            }
        }
        self.skips.iter().for_each(|skip| println!("SKIPPED           {skip}"));
        let Totals { passed, failed, skipped } = self.totals();
        println!("\n{passed} passed, {failed} failed, {skipped} skipped");
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u64,
    failed: u64,
    skipped: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(lines: &[(Outcome, Tally)], skips: &[&str]) -> Summary {
        let mut summary = Summary::default();
        for (outcome, tally) in lines {
            summary.add("step", outcome.clone(), tally.clone(), Duration::ZERO);
        }
        summary.skips = skips.iter().map(|&skip| skip.to_owned()).collect();
        summary
    }

    fn tally(passed: u64, failed: u64, ignored: u64) -> Tally {
        Tally { passed, failed, ignored }
    }

    #[test]
    fn tests_and_steps_are_summed_up() {
        let lines = [
            (Outcome::Passed, tally(0, 0, 0)),
            (Outcome::Passed, tally(10, 0, 1)),
            (Outcome::Failed("x".into()), tally(3, 2, 0)),
            (Outcome::Skipped("x".into()), tally(0, 0, 0)),
        ];
        assert_eq!(summary(&lines, &[]).totals(), Totals { passed: 14, failed: 2, skipped: 2 });
    }

    #[test]
    fn a_test_that_could_not_run_did_not_pass() {
        let sum = summary(&[(Outcome::Passed, tally(10, 0, 0))], &["power cut: no root"]);
        assert_eq!(sum.totals(), Totals { passed: 9, failed: 0, skipped: 1 });
        assert!(sum.is_success());
    }

    #[test]
    fn a_runner_that_fails_without_a_failed_test_is_a_failure() {
        let sum = summary(&[(Outcome::Failed("killed".into()), tally(10, 0, 0))], &[]);
        assert_eq!(sum.totals(), Totals { passed: 10, failed: 1, skipped: 0 });
        assert!(!sum.is_success());
    }

    #[test]
    fn a_step_that_was_skipped_is_no_failure() {
        assert!(summary(&[(Outcome::Skipped("x".into()), tally(0, 0, 0))], &[]).is_success());
    }
}
