//! What a mix came to, as a table that can be put into `RESULTS.md` as it is.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use jepsen_tests::run::Conclusion;

use super::Made;

/// Sums of some runs.
#[derive(Debug, Default)]
struct Sum {
    runs: u64,
    valid: u64,
    invalid: u64,
    unknown: u64,
    skipped: u64,
    operations: u64,
    leader_changes: u64,
    faults: u64,
}

impl Sum {
    fn add(&mut self, made: &Made) {
        self.runs += 1;
        match made.conclusion {
            Some(Conclusion::Valid) => self.valid += 1,
            Some(Conclusion::Invalid) => self.invalid += 1,
            Some(Conclusion::Unknown) => self.unknown += 1,
            None => self.skipped += 1,
        }
        self.operations += made.operations;
        self.leader_changes += made.leader_changes;
        self.faults += made.faults;
    }

    fn row(&self, name: &str) -> String {
        let Self { runs, valid, invalid, unknown, skipped, operations, leader_changes, faults } = self;
        format!(
            "| {name} | {runs} | {valid} | {invalid} | {unknown} | {skipped} | {operations} | {leader_changes} | {faults} |\n"
        )
    }
}

/// The table, and below it the runs that did not pass.
pub(super) fn text(all: &[Made], elapsed: Duration) -> String {
    let mut whole = Sum::default();
    let mut by_name: BTreeMap<(u8, &str), Sum> = BTreeMap::new();
    for made in all {
        whole.add(made);
        for (kind, names) in [(0, &made.workloads), (1, &made.nemeses)] {
            for name in names {
                by_name.entry((kind, name)).or_default().add(made);
            }
        }
    }
    let mut text = format!("{} runs in {}.\n\n", all.len(), minutes(elapsed));
    text += "| runs with | runs | valid | invalid | unknown | skipped | acknowledged | leader changes | faults |\n";
    text += "|---|--:|--:|--:|--:|--:|--:|--:|--:|\n";
    for ((_, name), sum) in &by_name {
        text += &sum.row(name);
    }
    text += &whole.row("**all**");
    let failed = all.iter().filter(|made| made.conclusion.is_some_and(|end| end != Conclusion::Valid));
    for made in failed {
        let conclusion = made.conclusion.map(|conclusion| conclusion.to_string()).unwrap_or_default();
        let first_lines =
            made.failures.iter().filter_map(|failure| failure.lines().next().map(str::to_owned));
        let why: Vec<_> = made.rules.iter().cloned().chain(first_lines).collect();
        write!(text, "\n- run {}, {conclusion}: {}\n  `{}`", made.number, why.join(", "), made.command)
            .expect("a String takes everything");
    }
    text
}

fn minutes(time: Duration) -> String {
    format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(number: usize, workloads: &[&str], conclusion: Option<Conclusion>) -> Made {
        Made {
            number,
            command: format!("command {number}"),
            workloads: workloads.iter().map(|name| (*name).to_owned()).collect(),
            nemeses: vec!["kill".to_owned()],
            members: 3,
            backend: "proxy".to_owned(),
            store: "sled",
            seed: 1,
            seconds: 40,
            conclusion,
            rules: vec!["feed/gap".to_owned()],
            failures: Vec::new(),
            operations: 100,
            leader_changes: 2,
            faults: 3,
            folder: None,
        }
    }

    #[test]
    fn every_run_counts_for_each_of_its_names_and_once_for_all() {
        let all = [
            made(1, &["feed", "register"], Some(Conclusion::Valid)),
            made(2, &["register"], Some(Conclusion::Invalid)),
            made(3, &["feed"], None),
        ];
        let text = text(&all, Duration::from_secs(125));
        let expected = "\
3 runs in 2 min 5 s.

| runs with | runs | valid | invalid | unknown | skipped | acknowledged | leader changes | faults |
|---|--:|--:|--:|--:|--:|--:|--:|--:|
| feed | 2 | 1 | 0 | 0 | 1 | 200 | 4 | 6 |
| register | 2 | 1 | 1 | 0 | 0 | 200 | 4 | 6 |
| kill | 3 | 1 | 1 | 0 | 1 | 300 | 6 | 9 |
| **all** | 3 | 1 | 1 | 0 | 1 | 300 | 6 | 9 |

- run 2, INVALID: feed/gap
  `command 2`";
        assert_eq!(text, expected);
    }
}
