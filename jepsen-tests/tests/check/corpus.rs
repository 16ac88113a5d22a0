//! The corpus: one file for each checker in `corpus/`, each with good and bad histories.
//!
//! `== RULE` begins a history that the checker must find invalid by that rule, `== unknown RULE` one
//! that it cannot decide, `== good WHAT` one that every checker passes and this one finds valid. Lines
//! that begin with `#` say why. The notation of the rest is in `notation.rs`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use jepsen_tests::check::{self, Checker, Finding, Verdict};

use crate::notation;

/// A history of the corpus.
struct Case {
    file: String,
    line: usize,
    title: String,
    lines: Vec<(usize, String)>,
}

impl Case {
    fn name(&self) -> String {
        format!("corpus/{}.txt:{} ({})", self.file, self.line, self.title)
    }

    fn checker(&self) -> Box<dyn Checker> {
        let mut all = check::all().into_iter();
        all.find(|checker| checker.name() == self.file).expect("a file is named after a checker")
    }
}

fn cases() -> Vec<Case> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut cases = Vec::new();
    for entry in directory.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut case: Option<Case> = None;
        for (text, line) in text.lines().zip(1..) {
            if let Some(title) = text.strip_prefix("== ") {
                cases.extend(case.take());
                case = Some(Case { file: file.clone(), line, title: title.to_owned(), lines: Vec::new() });
            } else if !text.is_empty() && !text.starts_with('#') {
                let case = case.as_mut().expect("a history begins with ==");
                case.lines.push((line, text.to_owned()));
            }
        }
        cases.extend(case);
    }
    cases
}

/// What is wrong with the verdicts on a history of the corpus.
fn misjudged(case: &Case) -> Option<String> {
    let history = notation::history(&case.lines);
    let checker = case.checker();
    let finding = checker.check(&history);
    if case.title.starts_with("good ") {
        if finding.verdict != Verdict::Valid {
            return Some(format!("{finding:?}"));
        }
        let failed: Vec<Finding> =
            check::judge(&history).into_iter().filter(|finding| !finding.verdict.is_pass()).collect();
        return (!failed.is_empty()).then(|| format!("{failed:?}"));
    }
    let (verdict, rule) = match case.title.strip_prefix("unknown ") {
        Some(rule) => (Verdict::Unknown, rule),
        None => (Verdict::Invalid, case.title.as_str()),
    };
    let is_caught = finding.verdict == verdict && finding.problems.iter().any(|it| it.rule == rule);
    (!is_caught).then(|| format!("{finding:?}"))
}

#[test]
fn every_history_of_the_corpus_is_judged_as_it_says() {
    let wrong: Vec<String> =
        cases().iter().filter_map(|case| Some(format!("{}: {}", case.name(), misjudged(case)?))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_has_a_history_that_breaks_it_and_every_checker_one_that_is_good() {
    let cases = cases();
    let titles: BTreeSet<(&str, &str)> = cases
        .iter()
        .map(|case| (case.file.as_str(), case.title.strip_prefix("unknown ").unwrap_or(&case.title)))
        .collect();
    let mut missing = Vec::new();
    for checker in check::all() {
        let rules = checker.rules().iter();
        missing.extend(
            rules
                .filter(|rule| !titles.contains(&(checker.name(), **rule)))
                .map(|rule| format!("{} {rule}", checker.name())),
        );
        let is_good = |(file, title): &(&str, &str)| *file == checker.name() && title.starts_with("good ");
        if !titles.iter().any(is_good) {
            missing.push(format!("{} good", checker.name()));
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn a_history_survives_its_file() {
    for case in cases() {
        let history = notation::history(&case.lines);
        let mut file = Vec::new();
        history.write(&mut file).unwrap();
        assert_eq!(jepsen_tests::history::History::read(&*file).unwrap(), history, "{}", case.name());
    }
}
