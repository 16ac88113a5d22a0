//! The two READMEs say the same: their sections, code blocks and tables correspond one to one.

use crate::tidy::Report;
use crate::tidy::source::{File, Tree};

const ENGLISH: &str = "README.md";
const CHINESE: &str = "README.zh-CN.md";

/// A part of a document that must have its like in the translation.
#[derive(Debug, PartialEq, Eq)]
enum Block {
    /// With its level.
    Heading(usize),
    /// With the code, because commands are the same in every language; comments are left out.
    Code(Vec<String>),
    /// With the number of its rows.
    Table(usize),
}

pub(super) fn both_languages_have_the_same_structure(tree: &Tree, report: &mut Report) {
    let (Some(english), Some(chinese)) = (tree.get(ENGLISH), tree.get(CHINESE)) else {
        return;
    };
    let (ours, theirs) = (blocks(english), blocks(chinese));
    for ((line, block), (their_line, their_block)) in ours.iter().zip(&theirs) {
        if block != their_block {
            let message = format!("does not correspond to {ENGLISH}:{line}; bring the two in line");
            report.find(chinese, *their_line, "readme", message);
            return;
        }
    }
    if let Some((line, _)) = ours.get(theirs.len()) {
        let message = format!("has no counterpart in {CHINESE}; translate it");
        report.find(english, *line, "readme", message);
    } else if let Some((line, _)) = theirs.get(ours.len()) {
        let message = format!("has no counterpart in {ENGLISH}; translate it");
        report.find(chinese, *line, "readme", message);
    }
}

/// The blocks of a Markdown file, each with the line it begins at.
fn blocks(file: &File) -> Vec<(usize, Block)> {
    let mut blocks: Vec<(usize, Block)> = Vec::new();
    let mut in_code = false;
    let mut in_table = false;
    for (number, line) in file.text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
            in_table = false;
            if in_code {
                blocks.push((number, Block::Code(Vec::new())));
            }
        } else if in_code {
            if let Some((_, Block::Code(code))) = blocks.last_mut() {
                code.extend(without_comment(line));
            }
        } else if line.starts_with('|') {
            match blocks.last_mut() {
                Some((_, Block::Table(rows))) if in_table => *rows += 1,
                _ => blocks.push((number, Block::Table(1))),
            }
            in_table = true;
        } else {
            in_table = false;
            let level = line.chars().take_while(|&char| char == '#').count();
            if level > 0 && line[level..].starts_with(' ') {
                blocks.push((number, Block::Heading(level)));
            }
        }
    }
    blocks
}

/// The line up to a comment, if anything is left.
fn without_comment(line: &str) -> Option<String> {
    let code = match line.find("# ") {
        Some(0) => "",
        Some(at) if line[..at].ends_with(' ') => &line[..at],
        _ => line,
    };
    Some(code.trim_end().to_owned()).filter(|code| !code.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rules::broken;

    fn compare(english: &str, chinese: &str) -> Vec<String> {
        broken(both_languages_have_the_same_structure, &[(ENGLISH, english), (CHINESE, chinese)])
    }

    #[test]
    fn translated_words_are_no_difference() {
        let english = "# A\ntext\n```sh\nrun  # now\n# later\n```\n| a |\n|---|\n| b |\n## B\n";
        let chinese = "# 甲\n文\n```sh\nrun  # 现在\n```\n| 甲 |\n|---|\n| 乙 |\n## 乙\n";
        assert!(compare(english, chinese).is_empty());
    }

    #[test]
    fn a_missing_section_code_or_row_is_found() {
        assert_eq!(compare("# A\n## B\n", "# A\n"), ["README.md:2: readme"]);
        assert_eq!(compare("# A\n", "# A\n## B\n"), ["README.zh-CN.md:2: readme"]);
        assert_eq!(compare("```\na\n```\n", "```\nb\n```\n"), ["README.zh-CN.md:1: readme"]);
        assert_eq!(compare("| a |\n| b |\n", "| a |\n"), ["README.zh-CN.md:1: readme"]);
    }
}
