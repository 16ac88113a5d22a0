//! What must not stand in any text of the repository, whatever its language.

use std::net::Ipv4Addr;

use crate::tidy::Report;
use crate::tidy::source::{File, Tree};

/// Files that programs write.
const GENERATED: &[&str] = &["Cargo.lock"];

pub(super) fn no_path_of_one_machine(tree: &Tree, report: &mut Report) {
    // Spelled in two halves, so that this file does not report itself.
    let homes = [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];
    for file in hand_written(tree) {
        for home in homes {
            for (at, _) in file.text.match_indices(home).filter(|&(at, _)| starts_a_path(&file.text, at)) {
                let message =
                    format!("`{home}…` exists on one machine only; use a relative path or a placeholder");
                report.find(file, file.line_of(at), "path", message);
            }
        }
    }
}

/// A foreign address must stand nowhere. A private one may in tests, where it is a name that nobody
/// connects to.
pub(super) fn addresses_are_for_examples(tree: &Tree, report: &mut Report) {
    for file in hand_written(tree) {
        let mut start = 0;
        for (line, text) in file.text.split_inclusive('\n').enumerate() {
            let is_test = file.is_test_file() || file.rust.as_ref().is_some_and(|rust| rust.is_test(start));
            start += text.len();
            let allowed = |address: &Ipv4Addr| may_appear(*address) || (is_test && address.is_private());
            for address in addresses(text).filter(|address| !allowed(address)) {
                let message =
                    format!("{address} belongs to somebody; use 127.0.0.1, or 192.0.2.x in examples");
                report.find(file, line + 1, "address", message);
            }
        }
    }
}

fn hand_written(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files.iter().filter(|file| !GENERATED.contains(&file.path.as_str()))
}

/// Whether an absolute path begins at `at`, rather than the middle of another one.
fn starts_a_path(text: &str, at: usize) -> bool {
    let before = text[..at].chars().next_back();
    before.is_none_or(|char| !(char.is_alphanumeric() || matches!(char, '/' | '.' | '-' | '_' | '}')))
}

/// Everything in the line that reads as an IPv4 address.
fn addresses(line: &str) -> impl Iterator<Item = Ipv4Addr> {
    let words = line.split(|char: char| !(char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-')));
    words.filter_map(|word| word.trim_matches('.').parse().ok())
}

/// Loopback, "any", broadcast and the three networks that are set aside for documentation.
fn may_appear(address: Ipv4Addr) -> bool {
    address.is_loopback() || address.is_unspecified() || address.is_broadcast() || address.is_documentation()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rules::broken;

    #[test]
    fn paths_of_one_machine_are_found() {
        let text = concat!("cd /ho", "me/somebody\nls ./ho", "me/x target/wo", "rk/x\n");
        assert_eq!(broken(no_path_of_one_machine, &[("a.md", text)]), ["a.md:1: path"]);
    }

    #[test]
    fn addresses_of_others_are_found() {
        // Put together here, so that this file does not report itself.
        let foreign = format!("curl http://8.8.{}:5000/\n", "8.8");
        let private = format!("host = \"10.0.{}\"\n", "0.1");
        let fine = "127.0.0.2 0.0.0.0:5000 192.0.2.10 version 0.34.7 1.2.3.4.5\n";
        let text = [fine, &foreign, &private].concat();
        assert_eq!(
            broken(addresses_are_for_examples, &[("a.md", &text)]),
            ["a.md:2: address", "a.md:3: address"]
        );
    }
}
