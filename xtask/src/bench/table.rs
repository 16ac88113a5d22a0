//! The results: one row for each thing that was measured, as a Markdown table.

/// One thing that was measured.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) ours: String,
    /// The same by what a user would take instead; empty if nothing was.
    pub(super) theirs: String,
    pub(super) ratio: String,
    /// Processor time, for each operation or as a share of a core.
    pub(super) cpu: String,
    /// How it was measured.
    pub(super) conditions: String,
}

impl Row {
    /// A row of what is measured of Kenger alone.
    pub(super) fn new(what: impl Into<String>, ours: impl Into<String>) -> Self {
        Self { what: what.into(), ours: ours.into(), ..Self::default() }
    }

    /// Something that was not measured.
    pub(super) fn skipped(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { conditions: why.into(), ..Self::new(what, "SKIPPED") }
    }

    pub(super) fn beside(mut self, theirs: impl Into<String>, ratio: f64) -> Self {
        self.theirs = theirs.into();
        self.ratio = format!("{ratio:.2}");
        self
    }

    pub(super) fn cpu(mut self, cpu: impl Into<String>) -> Self {
        self.cpu = cpu.into();
        self
    }

    pub(super) fn under(mut self, conditions: impl Into<String>) -> Self {
        self.conditions = conditions.into();
        self
    }
}

const HEAD: [&str; 6] = ["what", "ours", "theirs", "ratio", "CPU", "conditions"];

/// The whole table.
pub(super) fn markdown(rows: &[Row]) -> String {
    let cells = rows.iter().map(|row| {
        [&row.what, &row.ours, &row.theirs, &row.ratio, &row.cpu, &row.conditions].map(|cell| clean(cell))
    });
    let lines: Vec<[String; 6]> = std::iter::once(HEAD.map(str::to_owned)).chain(cells).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let cells: Vec<String> =
            line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
        if number == 0 {
            text.push_str(&format!("|{}\n", widths.map(|width| "-".repeat(width + 2) + "|").concat()));
        }
    }
    text
}

/// What a cell can hold.
fn clean(cell: &str) -> String {
    cell.replace('|', "/").replace('\n', "; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_the_same_columns() {
        let rows = [Row::new("a|b", "1").beside("2", 0.5).cpu("x"), Row::skipped("long name", "no\nreason")];
        let text = markdown(&rows);
        assert!(text.lines().all(|line| line.matches('|').count() == 7), "{text}");
        let lengths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert!(lengths.iter().all(|length| *length == lengths[0]), "{text}");
        assert!(text.contains("0.50") && text.contains("no; reason"));
    }
}
