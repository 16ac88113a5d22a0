//! Who may name whom, below the level of crates (see ARCHITECTURE.md, "Crates" and invariants 6 and 23).

use crate::tidy::Report;
use crate::tidy::source::{Rust, Tree};

/// A library and the only paths whose Rust files may name it.
struct Territory {
    /// As it is written in code.
    library: &'static str,
    /// Path prefixes.
    homes: &'static [&'static str],
    /// The prefix of paths that the rule is about.
    within: &'static str,
    why: &'static str,
}

const TERRITORIES: &[Territory] = &[
    Territory {
        library: "sled",
        homes: &["cluster/src/storage/"],
        within: "",
        why: "an engine is hidden behind the trait in cluster/src/storage",
    },
    Territory {
        library: "redb",
        homes: &["cluster/src/storage/"],
        within: "",
        why: "an engine is hidden behind the trait in cluster/src/storage",
    },
    Territory {
        library: "openraft",
        homes: &["cluster/src/", "cluster/tests/"],
        within: "",
        why: "consensus is hidden in the crate kenger-cluster",
    },
    Territory {
        library: "kenger_sdk",
        homes: &["src/main.rs", "src/dev/", "src/bin/kengerctl/"],
        within: "src/",
        why: "the server does not depend on its own clients",
    },
    Territory {
        library: "kenger_gateway",
        homes: &["src/main.rs", "src/gateway/", "src/gateway.rs", "src/dev/", "src/bin/kengerctl/"],
        within: "src/",
        why: "the registry's API knows nothing of the data plane",
    },
];

/// The only file of the program that decides about HTTP statuses.
const STATUS_FILE: &str = "src/api/error.rs";

pub(super) fn crates_are_named_where_they_belong(tree: &Tree, report: &mut Report) {
    for (file, rust) in tree.rust() {
        for territory in TERRITORIES {
            let at_home = territory.homes.iter().any(|home| file.path.starts_with(home));
            if at_home || !file.path.starts_with(territory.within) {
                continue;
            }
            for at in rust.words(territory.library).filter(|&at| names_a_crate(rust, at, territory.library)) {
                let homes = territory.homes.join(" or ");
                let (library, why) = (territory.library, territory.why);
                let message = format!("`{library}` belongs in {homes}: {why}; move this there");
                report.find(file, file.line_of(at), "layers", message);
            }
        }
    }
}

pub(super) fn statuses_are_decided_in_one_file(tree: &Tree, report: &mut Report) {
    for (file, rust) in tree.rust().filter(|(file, _)| file.path.starts_with("src/")) {
        if file.path == STATUS_FILE || file.is_test_file() {
            continue;
        }
        for at in rust.words("StatusCode").filter(|&at| !rust.is_test(at)) {
            let message =
                format!("statuses are decided in {STATUS_FILE} alone; return an error code instead");
            report.find(file, file.line_of(at), "layers", message);
        }
    }
}

/// Whether the word at `at` is the root of a path: `word::…` or `use word…`, and not `a::word`.
fn names_a_crate(rust: &Rust, at: usize, word: &str) -> bool {
    let before = rust.code[..at].trim_end();
    let after = rust.code[at + word.len()..].trim_start();
    let is_import = before.ends_with("use") || before.ends_with("extern crate");
    (after.starts_with("::") || is_import) && !before.ends_with("::")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rules::broken;

    #[test]
    fn engines_are_named_in_storage_alone() {
        let rule = crates_are_named_where_they_belong;
        let files = [
            ("cluster/src/storage/sled.rs", "use sled::Db;"),
            ("cluster/src/raft/mod.rs", "use crate::storage::sled::Engine;\n// use sled::Db;\nuse sled::Db;"),
            ("src/main.rs", "fn f() { let x = redb::Database::create(\"openraft::x\"); }"),
            ("gateway/src/lib.rs", "use openraft as o;"),
        ];
        let expected =
            ["cluster/src/raft/mod.rs:3: layers", "src/main.rs:1: layers", "gateway/src/lib.rs:1: layers"];
        assert_eq!(broken(rule, &files), expected);
    }

    #[test]
    fn the_api_imports_neither_client_nor_gateway() {
        let rule = crates_are_named_where_they_belong;
        let files = [
            ("src/api/node.rs", "use kenger_sdk::Client;\nuse kenger_gateway::Config;"),
            ("src/dev/mod.rs", "use kenger_sdk::Client;"),
            ("gateway/src/lib.rs", "use kenger_sdk::Client;"),
        ];
        assert_eq!(broken(rule, &files), ["src/api/node.rs:1: layers", "src/api/node.rs:2: layers"]);
    }

    #[test]
    fn statuses_are_named_in_the_error_file_alone() {
        let rule = statuses_are_decided_in_one_file;
        let test = "#[cfg(test)]\nmod tests {\n use http::StatusCode;\n}";
        let files = [
            ("src/api/error.rs", "use http::StatusCode;"),
            ("src/api/node.rs", "use http::StatusCode;"),
            ("src/api/sync.rs", test),
            ("gateway/src/lib.rs", "use http::StatusCode;"),
        ];
        assert_eq!(broken(rule, &files), ["src/api/node.rs:1: layers"]);
    }
}
