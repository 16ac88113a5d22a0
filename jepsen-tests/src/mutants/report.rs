//! The table of mutants, for people.

use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};

use super::campaign::{Control, Row};
use super::table::{Catcher, Entry};
use super::trial::Found;

/// Widest table.
const TABLE_WIDTH: u16 = 150;

/// What there is: mutant, run, who must see it, budget.
pub fn list(entries: &[Entry]) -> String {
    let mut table = new(["mutant", "runs", "must be caught by", "tries", "in the suite"]);
    for entry in entries {
        table.add_row([
            entry.mutant.to_string(),
            entry.schedule.to_string(),
            catcher(&entry.catcher),
            entry.tries.to_string(),
            if entry.is_in_suite { "yes" } else { "" }.to_owned(),
        ]);
    }
    table.to_string()
}

/// What came of it.
pub fn report(rows: &[Row], control: &Control) -> String {
    let mut table = new(["mutant", "caught by", "after", "runs", "budget", "took", "verdict"]);
    for row in rows {
        let first = row.found.iter().find_map(|found| match found {
            Found::Caught { rule, after, .. } => Some((rule, *after)),
            _ => None,
        });
        let (by, after) = match first {
            Some((rule, after)) => (format!("{}/{rule}", row.entry.catcher.checker), time(after)),
            None => (format!("not by {}", catcher(&row.entry.catcher)), String::new()),
        };
        let budget = format!("{} × {} s", row.entry.tries, row.entry.schedule.seconds);
        let verdict = if row.is_caught() { "caught" } else { "NOT CAUGHT" };
        let runs = format!("{} of {}", row.caught(), row.found.len());
        table.add_row([
            row.entry.mutant.to_string(),
            by,
            after,
            runs,
            budget,
            seconds(row.took),
            verdict.to_owned(),
        ]);
    }
    let clean = control.runs - control.stains.len();
    let verdict = if control.stains.is_empty() { "clean" } else { "NOT CLEAN" };
    let runs = format!("{clean} of {}", control.runs);
    table.add_row(["none (control)", "", "", &runs, "", &seconds(control.took), verdict]);
    let mut text = table.to_string();
    for (schedule, stains) in &control.stains {
        text += &format!("\ncontrol, {schedule}: {}", stains.join("; "));
    }
    text
}

fn new<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_width(TABLE_WIDTH);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    table
}

fn catcher(Catcher { checker, rules }: &Catcher) -> String {
    format!("{checker}: {}", rules.join(" or "))
}

fn time(after: Option<Duration>) -> String {
    after.map_or_else(|| "at the end".to_owned(), seconds)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
