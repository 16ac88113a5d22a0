//! What came of a run, as it is kept beside its history and shown to people.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::Path;

use comfy_table::{ContentArrangement, Table, presets};
use serde::{Deserialize, Serialize};

use crate::check::{Finding, Verdict};
use crate::history::Run;

/// The history in the directory of a run.
pub const HISTORY_FILE: &str = "history.jsonl";
/// The verdicts in the directory of a run.
pub const VERDICTS_FILE: &str = "verdicts.json";
/// The checker that finds runs that did too little: such a run has not shown a fault, but nothing else
/// either.
pub const VACUITY: &str = "vacuity";
/// Widest table.
const TABLE_WIDTH: u16 = 140;
/// So many problems of one checker are shown; the file has more.
const PROBLEMS_SHOWN: usize = 5;

/// What a run came to as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// Every promise that was looked at was kept, and enough was looked at.
    Valid,
    /// A promise was broken, or the run failed.
    Invalid,
    /// It could not be decided, or the run did too little to decide anything.
    Unknown,
}

impl Conclusion {
    /// The exit code that says so.
    pub fn exit_code(self) -> u8 {
        match self {
            Conclusion::Valid => 0,
            Conclusion::Invalid => 1,
            Conclusion::Unknown => 2,
        }
    }

    fn of(findings: &[Finding], failures: &[String]) -> Self {
        let is_broken =
            |finding: &&Finding| finding.verdict == Verdict::Invalid && finding.checker != VACUITY;
        if !failures.is_empty() || findings.iter().any(|finding| is_broken(&finding)) {
            return Conclusion::Invalid;
        }
        let all_pass = findings.iter().all(|finding| finding.verdict.is_pass());
        let any_is_valid = findings.iter().any(|finding| finding.verdict == Verdict::Valid);
        if all_pass && any_is_valid { Conclusion::Valid } else { Conclusion::Unknown }
    }
}

impl std::fmt::Display for Conclusion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Conclusion::Valid => "valid",
            Conclusion::Invalid => "INVALID",
            Conclusion::Unknown => "UNKNOWN",
        })
    }
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdicts {
    /// How the run was made; `None` if it did not get so far.
    pub run: Option<Run>,
    /// As a whole.
    pub conclusion: Conclusion,
    /// This machine lacks something that the run needs, so that it has not begun.
    pub is_impossible: bool,
    /// What went wrong that no checker can know: members that did not come up, a harness that failed.
    pub failures: Vec<String>,
    /// What each checker says.
    pub findings: Vec<Finding>,
}

impl Verdicts {
    /// Draws the conclusion.
    pub fn new(run: Run, failures: Vec<String>, findings: Vec<Finding>) -> Self {
        let conclusion = Conclusion::of(&findings, &failures);
        Self { run: Some(run), conclusion, is_impossible: false, failures, findings }
    }

    /// Of a run that has not begun.
    pub(super) fn without_history(failures: Vec<String>, is_impossible: bool) -> Self {
        Self { run: None, conclusion: Conclusion::Invalid, is_impossible, failures, findings: Vec::new() }
    }

    /// Puts it into the directory of a run.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(folder.join(VERDICTS_FILE))?);
        serde_json::to_writer_pretty(&mut file, self)?;
        file.flush()
    }

    /// Reads what [`Verdicts::write`] wrote.
    ///
    /// # Errors
    /// It is not there, or is something else.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let file = File::open(folder.join(VERDICTS_FILE))?;
        Ok(serde_json::from_reader(BufReader::new(file))?)
    }

    /// A figure of a checker; 0 if it has none of this name.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts, which are kept as they are"
    )]
    pub fn figure(&self, checker: &str, name: &str) -> u64 {
        let findings = self.findings.iter().filter(|finding| finding.checker == checker);
        let figure = findings.flat_map(|finding| &finding.figures).find(|figure| figure.0 == name);
        figure.map_or(0, |figure| figure.1 as u64)
    }

    /// The rules that were broken, `checker/rule`, each once.
    pub fn rules(&self) -> Vec<String> {
        let mut rules: Vec<_> = self
            .findings
            .iter()
            .filter(|finding| !finding.verdict.is_pass())
            .flat_map(|finding| {
                finding.problems.iter().map(|problem| format!("{}/{}", finding.checker, problem.rule))
            })
            .collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }

    /// The table of checkers, the problems, and what it all comes to, for people.
    pub fn text(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_width(TABLE_WIDTH);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(["checker", "verdict", "figures"]);
        for finding in &self.findings {
            let figure = |(name, value): &(String, f64)| format!("{name} {value}");
            let figures: Vec<_> = finding.figures.iter().map(figure).collect();
            table.add_row([finding.checker.clone(), finding.verdict.to_string(), figures.join(", ")]);
        }
        let mut text = format!("{table}\n");
        let mut line = |line: String| writeln!(text, "{line}").expect("a String takes everything");
        for finding in &self.findings {
            for problem in finding.problems.iter().take(PROBLEMS_SHOWN) {
                line(problem_line(finding, problem));
            }
            if finding.problems.len() > PROBLEMS_SHOWN {
                let more = finding.problems.len() - PROBLEMS_SHOWN;
                line(format!("{}: {more} more problems in {VERDICTS_FILE}", finding.checker));
            }
        }
        self.failures.iter().for_each(|failure| line(format!("the run: {failure}")));
        line(format!("as a whole: {}", self.conclusion));
        if let Some(run) = &self.run {
            line(format!("again: {}", run.command));
        }
        text
    }
}

fn problem_line(finding: &Finding, problem: &crate::check::Problem) -> String {
    let mut text = format!("{} {}", finding.checker, problem.rule);
    if let Some(at) = problem.at {
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let seconds = at as f64 / 1e6;
        write!(text, " at {seconds:.3} s").expect("a String takes everything");
    }
    if let Some(key) = &problem.key {
        write!(text, " of {key}").expect("a String takes everything");
    }
    format!("{text}: {}", problem.what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(checker: &str, verdict: Verdict) -> Finding {
        Finding { checker: checker.to_owned(), verdict, problems: Vec::new(), figures: Vec::new() }
    }

    #[test]
    fn only_a_run_in_which_something_was_seen_and_nothing_is_wrong_is_valid() {
        let of = |findings: &[(&str, Verdict)], failures: &[&str]| {
            let findings: Vec<_> = findings.iter().map(|(name, verdict)| finding(name, *verdict)).collect();
            let failures: Vec<_> = failures.iter().map(|text| (*text).to_owned()).collect();
            Conclusion::of(&findings, &failures)
        };
        use Verdict::{Invalid, NotApplicable, Unknown, Valid};
        assert_eq!(of(&[("a", Valid), ("b", NotApplicable)], &[]), Conclusion::Valid);
        assert_eq!(of(&[("a", Valid), ("b", Unknown)], &[]), Conclusion::Unknown);
        assert_eq!(of(&[("a", Valid), ("b", Invalid), ("c", Unknown)], &[]), Conclusion::Invalid);
        assert_eq!(of(&[("a", Valid), (VACUITY, Invalid)], &[]), Conclusion::Unknown, "it did too little");
        assert_eq!(of(&[("a", NotApplicable)], &[]), Conclusion::Unknown, "nothing was looked at");
        assert_eq!(of(&[], &[]), Conclusion::Unknown);
        assert_eq!(of(&[("a", Valid)], &["no leader came up"]), Conclusion::Invalid);
    }
}
