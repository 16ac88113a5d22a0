//! `list`: what there is.

use comfy_table::{ContentArrangement, Table, presets};
use jepsen_tests::{check, nemesis, workload};

/// Widest table.
const TABLE_WIDTH: u16 = 140;

pub(super) fn main() -> u8 {
    let workloads = workload::all().into_iter().map(|entry| (entry.name, entry.about.to_owned()));
    print("workload", workloads);
    let nemeses = nemesis::all().into_iter().map(|entry| (entry.name, entry.about.to_owned()));
    print("nemesis", nemeses);
    let checkers = check::all();
    let about = |checker: &dyn check::Checker| format!("finds {}", checker.rules().join(", "));
    print("checker", checkers.iter().map(|checker| (checker.name(), about(checker.as_ref()))));
    0
}

fn print(what: &str, lines: impl Iterator<Item = (&'static str, String)>) {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_width(TABLE_WIDTH);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header([what, ""]);
    lines.for_each(|(name, about)| {
        table.add_row([name, &about]);
    });
    println!("{table}\n");
}
