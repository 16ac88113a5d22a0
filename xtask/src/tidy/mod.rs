//! What a reviewer should not have to say: layers, headers, leftovers, lengths, manifests, texts.
//!
//! Rules look at text, not at types; what needs types is clippy's (`[workspace.lints]` and
//! `clippy.toml`).

mod mask;
mod rules;
mod source;

use std::fmt;
use std::io;
use std::path::Path;

use source::{File, Tree};

/// Something that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    /// From 1.
    line: usize,
    rule: &'static str,
    /// What is wrong and what to do.
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, rule, message } = self;
        write!(f, "{path}:{line}: {rule}: {message}")
    }
}

/// What the rules found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// What must be put right.
    pub(crate) findings: Vec<Finding>,
    /// What somebody should look at.
    pub(crate) warnings: Vec<Finding>,
}

impl Report {
    fn find(&mut self, file: &File, line: usize, rule: &'static str, message: impl Into<String>) {
        self.findings.push(finding(file, line, rule, message));
    }

    fn warn(&mut self, file: &File, line: usize, rule: &'static str, message: impl Into<String>) {
        self.warnings.push(finding(file, line, rule, message));
    }
}

fn finding(file: &File, line: usize, rule: &'static str, message: impl Into<String>) -> Finding {
    Finding { path: file.path.clone(), line, rule, message: message.into() }
}

/// Checks the repository at `root` against every rule.
///
/// # Errors
///
/// When a directory cannot be read.
pub(crate) fn check(root: &Path) -> io::Result<Report> {
    Ok(check_tree(&Tree::read(root)?))
}

fn check_tree(tree: &Tree) -> Report {
    let mut report = Report::default();
    for rule in rules::ALL {
        rule(tree, &mut report);
    }
    report.findings.sort();
    report.warnings.sort();
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let report = check(root).unwrap();
        let lines: Vec<String> = report.findings.iter().map(Finding::to_string).collect();
        assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
    }
}
