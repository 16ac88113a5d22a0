//! The manifests: the graph of crates, what each crate inherits, and no dependency that nobody uses.

use toml::{Table, Value};

use crate::tidy::Report;
use crate::tidy::source::{File, Tree};

const RULE: &str = "manifest";
const ROOT: &str = "Cargo.toml";

/// Each crate and the crates of this workspace that it may depend on (ARCHITECTURE.md, "Crates").
const GRAPH: &[(&str, &[&str])] = &[
    ("kenger-types", &[]),
    ("kenger-mutant", &[]),
    ("kenger-state", &["kenger-types", "kenger-mutant"]),
    ("kenger-cluster", &["kenger-state", "kenger-types", "kenger-mutant"]),
    ("kenger-sdk", &["kenger-types"]),
    ("kenger-gateway", &["kenger-sdk", "kenger-types", "kenger-mutant"]),
    ("jepsen-tests", &["kenger-types", "kenger-mutant"]),
    ("kenger", &["kenger-cluster", "kenger-types", "kenger-sdk", "kenger-gateway", "kenger-mutant"]),
    (
        "kenger-sim",
        &["jepsen-tests", "kenger", "kenger-cluster", "kenger-mutant", "kenger-sdk", "kenger-types"],
    ),
    ("xtask", &[]),
];

/// Package keys that every crate takes from the workspace.
const INHERITED_KEYS: &[&str] = &["version", "edition", "rust-version", "license", "publish"];
/// Tables of a manifest that name dependencies.
const DEPENDENCY_TABLES: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

/// A crate's manifest.
struct Manifest<'a> {
    file: &'a File,
    table: Table,
}

impl Manifest<'_> {
    fn name(&self) -> &str {
        self.package().and_then(|package| package.get("name")).and_then(Value::as_str).unwrap_or_default()
    }

    fn package(&self) -> Option<&Table> {
        self.table.get("package")?.as_table()
    }

    /// All dependencies, of every kind and target: name and specification.
    fn dependencies(&self) -> Vec<(&str, &Value)> {
        let targets = self.table.get("target").and_then(Value::as_table);
        let targets = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table);
        let tables = std::iter::once(&self.table).chain(targets);
        tables
            .flat_map(|table| DEPENDENCY_TABLES.iter().filter_map(|kind| table.get(*kind)?.as_table()))
            .flat_map(|dependencies| dependencies.iter().map(|(name, value)| (name.as_str(), value)))
            .collect()
    }

    /// The line on which `key` begins, or the first.
    fn line_of(&self, key: &str) -> usize {
        let begins = |line: &str| {
            line.strip_prefix(key).is_some_and(|rest| rest.starts_with(['.', ' ', '=']) || rest.is_empty())
        };
        self.file.text.lines().position(begins).map_or(1, |index| index + 1)
    }
}

/// Every readable manifest with a package. One that cannot be parsed is cargo's to complain about.
fn manifests(tree: &Tree) -> impl Iterator<Item = Manifest<'_>> {
    tree.files.iter().filter(|file| file.path == ROOT || file.path.ends_with("/Cargo.toml")).filter_map(
        |file| {
            let table: Table = file.text.parse().ok()?;
            table.contains_key("package").then_some(Manifest { file, table })
        },
    )
}

pub(super) fn crates_form_the_agreed_graph(tree: &Tree, report: &mut Report) {
    for manifest in manifests(tree) {
        let Some((_, allowed)) = GRAPH.iter().find(|(name, _)| *name == manifest.name()) else {
            let message = "unknown crate; give it its place in ARCHITECTURE.md and in the graph of `tidy`";
            report.find(manifest.file, manifest.line_of("name"), "layers", message);
            continue;
        };
        for (dependency, _) in manifest.dependencies() {
            let ours = GRAPH.iter().any(|(name, _)| *name == dependency);
            if ours && !allowed.contains(&dependency) {
                let name = manifest.name();
                let message =
                    format!("{name} may not depend on {dependency}; see ARCHITECTURE.md, \"Crates\"");
                report.find(manifest.file, manifest.line_of(dependency), "layers", message);
            }
        }
    }
}

pub(super) fn crates_inherit_from_the_workspace(tree: &Tree, report: &mut Report) {
    for manifest in manifests(tree) {
        for key in INHERITED_KEYS {
            let value = manifest.package().and_then(|package| package.get(*key));
            if !value.is_some_and(is_inherited) {
                report.find(
                    manifest.file,
                    manifest.line_of(key),
                    RULE,
                    format!("write `{key}.workspace = true`"),
                );
            }
        }
        if !manifest.table.get("lints").is_some_and(is_inherited) {
            let message = "add `[lints]` with `workspace = true`, so that the agreed lints count here";
            report.find(manifest.file, 1, RULE, message);
        }
        for (name, _) in manifest.dependencies().iter().filter(|(_, value)| !is_inherited(value)) {
            let message = format!("name the version of {name} in the root's `[workspace.dependencies]`");
            report.find(manifest.file, manifest.line_of(name), RULE, message);
        }
    }
    if let Some(root) = manifests(tree).find(|manifest| manifest.file.path == ROOT) {
        let workspace = root.table.get("workspace").and_then(|workspace| workspace.get("package"));
        if workspace.and_then(|package| package.get("publish")).and_then(Value::as_bool) != Some(false) {
            let message =
                "`[workspace.package]` says `publish = false`: nothing here goes to a registry by accident";
            report.find(root.file, root.line_of("publish"), RULE, message);
        }
    }
}

pub(super) fn workspace_dependencies_are_used(tree: &Tree, report: &mut Report) {
    let all: Vec<Manifest<'_>> = manifests(tree).collect();
    let Some(root) = all.iter().find(|manifest| manifest.file.path == ROOT) else { return };
    let agreed = root.table.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    for name in agreed.and_then(Value::as_table).into_iter().flat_map(Table::keys) {
        let used = all.iter().any(|crates| crates.dependencies().iter().any(|(used, _)| used == name));
        if !used {
            let message = format!("no crate uses {name}; take it out of `[workspace.dependencies]`");
            report.find(root.file, root.line_of(name), RULE, message);
        }
    }
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rules::broken;

    const KEYS: &str = "version.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
                        license.workspace = true\npublish.workspace = true\n";

    fn manifest(name: &str, rest: &str) -> String {
        format!("[package]\nname = \"{name}\"\n{KEYS}{rest}")
    }

    #[test]
    fn an_edge_that_was_not_agreed_is_found() {
        let state = manifest("kenger-state", "[dependencies]\nkenger-cluster.workspace = true\n");
        let gateway = manifest("kenger-gateway", "[dev-dependencies]\nkenger-sdk.workspace = true\n");
        let unknown = manifest("kenger-utils", "");
        let files = [("s/Cargo.toml", &*state), ("g/Cargo.toml", &*gateway), ("u/Cargo.toml", &*unknown)];
        assert_eq!(
            broken(crates_form_the_agreed_graph, &files),
            ["s/Cargo.toml:9: layers", "u/Cargo.toml:2: layers"]
        );
    }

    #[test]
    fn what_is_not_inherited_is_found() {
        let good = manifest("a", "[lints]\nworkspace = true\n[dependencies]\nx = { workspace = true }\n");
        let bad = manifest("b", "[target.'cfg(unix)'.dependencies]\nx = \"1\"\n")
            .replace("publish.workspace = true\n", "");
        let found =
            broken(crates_inherit_from_the_workspace, &[("a/Cargo.toml", &good), ("b/Cargo.toml", &bad)]);
        assert_eq!(
            found,
            ["b/Cargo.toml:1: manifest", "b/Cargo.toml:1: manifest", "b/Cargo.toml:8: manifest"]
        );
    }

    #[test]
    fn an_unused_dependency_is_found() {
        let root = manifest("kenger", "[workspace.dependencies]\nx = \"1\"\ny = \"1\"\n");
        let user = manifest("a", "[dependencies]\nx.workspace = true\n");
        let found = broken(workspace_dependencies_are_used, &[(ROOT, &root), ("a/Cargo.toml", &user)]);
        assert_eq!(found, ["Cargo.toml:10: manifest"]);
    }
}
