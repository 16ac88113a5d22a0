//! Columns without borders, as one reads them in a terminal and cuts them in a pipe.

use comfy_table::{Cell, CellAlignment, ContentArrangement, presets};

/// Rows under a line of titles.
pub(crate) struct Table {
    inner: comfy_table::Table,
    columns: usize,
}

impl Table {
    /// A title that begins with `>` has its column aligned to the right.
    pub(crate) fn new(titles: &[&str]) -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        inner.set_header(titles.iter().map(|title| title.trim_start_matches('>')));
        for (column, title) in inner.column_iter_mut().zip(titles) {
            column.set_padding((0, 2));
            if title.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Self { inner, columns: titles.len() }
    }

    /// Adds a row; an empty cell is shown as `-`, so that every row has the same number of words.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let shown = |cell: String| Cell::new(if cell.is_empty() { "-".to_owned() } else { cell });
        self.inner.add_row(cells.into_iter().take(self.columns).map(shown));
    }

    /// All lines, without spaces at their ends.
    pub(crate) fn render(&self) -> String {
        self.inner.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_trails() {
        let mut table = Table::new(&["NAME", ">WEIGHT", "NOTE"]);
        table.row(["web".to_owned(), "5".to_owned(), String::new()]);
        table.row(["payments".to_owned(), "1000".to_owned(), "x".to_owned()]);
        let expected = "NAME      WEIGHT  NOTE\nweb            5  -\npayments    1000  x\n";
        assert_eq!(table.render(), expected);
    }
}
