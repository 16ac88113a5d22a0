//! The rules. Each looks at the whole tree and reports where it is broken.

mod layers;
mod leftovers;
mod manifests;
mod readme;
mod shape;
mod text;

use super::Report;
use super::source::Tree;

/// A rule.
pub(super) type Rule = fn(&Tree, &mut Report);

/// Every rule there is.
pub(super) const ALL: &[Rule] = &[
    layers::crates_are_named_where_they_belong,
    layers::statuses_are_decided_in_one_file,
    leftovers::nothing_is_left_over,
    leftovers::libraries_do_not_print,
    leftovers::exceptions_give_a_reason,
    manifests::crates_form_the_agreed_graph,
    manifests::crates_inherit_from_the_workspace,
    manifests::workspace_dependencies_are_used,
    readme::both_languages_have_the_same_structure,
    shape::modules_say_why_they_exist,
    shape::files_and_functions_are_short,
    text::no_path_of_one_machine,
    text::addresses_are_for_examples,
];

/// The findings of one rule on files that a test makes up, as `path:line: rule`.
#[cfg(test)]
fn broken(rule: Rule, files: &[(&str, &str)]) -> Vec<String> {
    use super::source::File;

    let tree = Tree { files: files.iter().map(|(path, text)| File::new(path, (*text).to_owned())).collect() };
    let mut report = Report::default();
    rule(&tree, &mut report);
    report.findings.iter().map(|found| format!("{}:{}: {}", found.path, found.line, found.rule)).collect()
}
