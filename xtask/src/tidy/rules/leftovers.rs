//! What was meant for an afternoon and must not stay: debug output, unfinished places, tests and
//! lints switched off without a reason.

use crate::tidy::Report;
use crate::tidy::source::{Tree, words};

const RULE: &str = "leftover";

/// Macros that no finished code has.
const UNFINISHED_MACROS: &[&str] = &["dbg", "todo", "unimplemented"];
/// Macros that write to the terminal.
const PRINT_MACROS: &[&str] = &["print", "println", "eprint", "eprintln"];
/// Where programs talk to a person. Everything else is a library and uses `tracing`.
const PROGRAMS: &[&str] = &[
    "src/main.rs",
    "src/serve.rs",
    "src/gateway.rs",
    "src/bin/",
    "src/dev/",
    "jepsen-tests/src/cli/",
    "jepsen-tests/sim/src/",
    "xtask/src/",
];

pub(super) fn nothing_is_left_over(tree: &Tree, report: &mut Report) {
    // Spelled in two halves, so that this file does not report itself.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    for (file, rust) in tree.rust() {
        for name in UNFINISHED_MACROS {
            for at in rust.words(name).filter(|&at| is_macro_call(&rust.code, at + name.len())) {
                let message = format!("`{name}!` is left over; finish this or take it out");
                report.find(file, file.line_of(at), RULE, message);
            }
        }
        for mark in marks {
            for at in words(&rust.comments, mark) {
                let message = format!("`{mark}` in a comment; do it, or file an issue and take this out");
                report.find(file, file.line_of(at), RULE, message);
            }
        }
    }
}

pub(super) fn libraries_do_not_print(tree: &Tree, report: &mut Report) {
    for (file, rust) in tree.rust() {
        let is_example = file.path.split('/').any(|part| matches!(part, "examples" | "bin"));
        let is_program = PROGRAMS.iter().any(|program| file.path.starts_with(program));
        if is_program || is_example || file.is_test_file() || file.path.ends_with("/main.rs") {
            continue;
        }
        for name in PRINT_MACROS {
            let calls = rust.words(name).filter(|&at| is_macro_call(&rust.code, at + name.len()));
            for at in calls.filter(|&at| !rust.is_test(at)) {
                let message = format!("`{name}!` in a library; use `tracing`, or return what is to be said");
                report.find(file, file.line_of(at), RULE, message);
            }
        }
    }
}

pub(super) fn exceptions_give_a_reason(tree: &Tree, report: &mut Report) {
    for (file, rust) in tree.rust() {
        for (at, _) in rust.code.match_indices("#[ignore]") {
            let message = "a test that does not run must say why: `#[ignore = \"…\"]`";
            report.find(file, file.line_of(at), RULE, message);
        }
        for opening in ["[allow(", "[expect("] {
            for (at, _) in rust.code.match_indices(opening) {
                let inside = &rust.code[at + opening.len()..];
                let attribute = &inside[..inside.find(")]").unwrap_or(inside.len())];
                if words(attribute, "reason").next().is_none() {
                    let message =
                        "an exception to a lint gives its reason: `#[expect(lint, reason = \"…\")]`";
                    report.find(file, file.line_of(at), RULE, message);
                }
            }
        }
    }
}

fn is_macro_call(code: &str, end: usize) -> bool {
    code[end..].starts_with('!') && !code[end..].starts_with("!=")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rules::broken;

    #[test]
    fn unfinished_places_are_found() {
        let mark = concat!("// TO", "DO: later\n");
        let text = format!("{mark}fn f() {{ dbg!(1); let a = \"todo!()\"; }}\nfn g() {{ todo!() }}\n");
        let mut found = broken(nothing_is_left_over, &[("src/main.rs", &text)]);
        found.sort();
        assert_eq!(found, ["src/main.rs:1: leftover", "src/main.rs:2: leftover", "src/main.rs:3: leftover"]);
    }

    #[test]
    fn libraries_print_nothing_and_programs_may() {
        let text = "fn f() { println!(\"x\"); }\n#[cfg(test)]\nmod tests { fn g() { println!(\"x\"); } }";
        let files = [("cluster/src/lib.rs", text), ("src/main.rs", text), ("cluster/tests/a.rs", text)];
        assert_eq!(broken(libraries_do_not_print, &files), ["cluster/src/lib.rs:1: leftover"]);
    }

    #[test]
    fn what_is_switched_off_says_why() {
        let text = "#[ignore]\n#[ignore = \"x\"]\n#[allow(dead_code)]\n#[expect(dead_code)]\n\
                    #[allow(dead_code, reason = \"x\")]\n#[expect(dead_code, reason = \"x\")]\n";
        let expected = ["a.rs:1: leftover", "a.rs:3: leftover", "a.rs:4: leftover"];
        assert_eq!(broken(exceptions_give_a_reason, &[("a.rs", text)]), expected);
    }
}
