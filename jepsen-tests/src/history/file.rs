//! A history in a file of JSON lines.

use std::io::{self, BufRead, Write};

use super::{History, Record, Run};

/// Why a history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file cannot be read.
    #[error("the history cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A line is not what it has to be.
    #[error("line {line} of the history: {error}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// There is nothing in it.
    #[error("the history is empty: it has no line that says how it was made")]
    Empty,
}

impl History {
    /// Reads what [`History::write`] wrote.
    ///
    /// # Errors
    /// It cannot be read, or is not whole.
    pub fn read(from: impl BufRead) -> Result<Self, HistoryError> {
        let mut lines = from.lines().zip(1..);
        let (first, line) = lines.next().ok_or(HistoryError::Empty)?;
        let run: Run = serde_json::from_str(&first?).map_err(|error| HistoryError::Line { line, error })?;
        let records: Result<Vec<Record>, HistoryError> = lines
            .map(|(text, line)| {
                serde_json::from_str(&text?).map_err(|error| HistoryError::Line { line, error })
            })
            .collect();
        Ok(Self { run, records: records? })
    }

    /// Writes one JSON object a line.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, mut to: impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut to, &self.run)?;
        to.write_all(b"\n")?;
        for record in &self.records {
            serde_json::to_writer(&mut to, record)?;
            to.write_all(b"\n")?;
        }
        to.flush()
    }
}
