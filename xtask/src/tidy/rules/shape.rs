//! The shape of files: a header that says why a module exists, and lengths that a reader can hold.

use crate::tidy::Report;
use crate::tidy::source::{File, Rust, Tree};

/// Longest file, in lines.
const FILE_MAX_LINES: usize = 450;
/// A function longer than this, in lines, is reported, but breaks nothing.
const FUNCTION_WARN_LINES: usize = 70;

pub(super) fn modules_say_why_they_exist(tree: &Tree, report: &mut Report) {
    for (file, _) in tree.rust() {
        let first = file.text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!"));
        let says_something = first
            .and_then(|line| line.strip_prefix("//!"))
            .is_some_and(|header| header.trim().len() > "…".len());
        if !says_something {
            let message = "begin the file with a `//!` line that says why the module exists";
            report.find(file, 1, "header", message);
        }
    }
}

pub(super) fn files_and_functions_are_short(tree: &Tree, report: &mut Report) {
    for (file, rust) in tree.rust() {
        let lines = file.text.lines().count();
        if lines > FILE_MAX_LINES {
            let message = format!("{lines} lines, at most {FILE_MAX_LINES}; split the file by what it does");
            report.find(file, FILE_MAX_LINES + 1, "length", message);
        }
        for (line, lines) in functions(file, rust).filter(|&(_, lines)| lines > FUNCTION_WARN_LINES) {
            let message =
                format!("a function of {lines} lines (over {FUNCTION_WARN_LINES}); can it be split?");
            report.warn(file, line, "length", message);
        }
    }
}

/// Line and length, in lines, of each function with a body.
fn functions<'a>(file: &'a File, rust: &'a Rust) -> impl Iterator<Item = (usize, usize)> + 'a {
    rust.words("fn").filter_map(|at| {
        // `fn` in a type, as in `fn(u8) -> u8`, has no name and no body of its own.
        let named = rust.code[at + 2..].starts_with(' ');
        let body = rust.body_after(at).filter(|_| named)?;
        let start = file.line_of(at);
        Some((start, file.line_of(body.end) + 1 - start))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rules::broken;

    #[test]
    fn a_module_without_a_header_is_found() {
        let files = [
            ("a.rs", "//! Why.\n"),
            ("b.rs", "// Why.\n"),
            ("c.rs", "//!\nfn f() {}\n"),
            ("d.rs", "#![no_main]\n//! Why.\n"),
            ("e.rs", ""),
        ];
        let expected = ["b.rs:1: header", "c.rs:1: header", "e.rs:1: header"];
        assert_eq!(broken(modules_say_why_they_exist, &files), expected);
    }

    #[test]
    fn a_long_file_is_found() {
        let (fits, long) = ("\n".repeat(FILE_MAX_LINES), "\n".repeat(FILE_MAX_LINES + 1));
        let found = broken(files_and_functions_are_short, &[("a.rs", &fits), ("b.rs", &long)]);
        assert_eq!(found, ["b.rs:451: length"]);
    }

    #[test]
    fn functions_are_measured_from_their_name_to_their_closing_brace() {
        let file = File::new(
            "a.rs",
            "type F = fn(u8);\nfn f(\n    x: [u8; 4],\n) {\n}\ntrait T { fn g(); }\n".into(),
        );
        let found: Vec<_> = functions(&file, file.rust.as_ref().unwrap()).collect();
        assert_eq!(found, [(2, 4)]);
    }
}
