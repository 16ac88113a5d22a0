//! How answers look. Standard output has the answer alone; all else goes to standard error.

mod age;
mod table;

use std::io::{IsTerminal, Write, stderr, stdout};

use serde::Serialize;

pub(crate) use age::{age, bytes, since};
pub(crate) use table::Table;

use crate::args::{Format, Global};
use crate::failure::Failure;

/// Where and how the answer of one command is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
    quiet: bool,
}

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        Self { format: global.output, quiet: global.quiet }
    }

    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    pub(crate) fn is_wide(self) -> bool {
        self.format == Format::Wide
    }

    /// Whether a person watches, and wants to see how it goes.
    pub(crate) fn wants_progress(self) -> bool {
        !self.quiet && stderr().is_terminal()
    }

    /// The answer: `data` for programs, `text` for people.
    pub(crate) fn answer(self, data: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.is_json() { self.json(data) } else { write(&text()) }
    }

    /// What a mutation did: `data` for programs, a sentence for people who want to hear one.
    pub(crate) fn done(
        self,
        data: &impl Serialize,
        sentence: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match (self.is_json(), self.quiet) {
            (true, _) => self.json(data),
            (false, true) => Ok(()),
            (false, false) => write(&(sentence() + "\n")),
        }
    }

    /// One line of a stream.
    pub(crate) fn line(self, data: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        let mut line = if self.is_json() {
            serde_json::to_string(data).map_err(|error| Failure::Other(error.to_string()))?
        } else {
            text()
        };
        line.push('\n');
        write(&line)
    }

    /// Something worth knowing that is not the answer.
    pub(crate) fn remark(self, text: &str) {
        if !self.quiet {
            note(text);
        }
    }

    fn json(self, data: &impl Serialize) -> Result<(), Failure> {
        let mut text =
            serde_json::to_string_pretty(data).map_err(|error| Failure::Other(error.to_string()))?;
        text.push('\n');
        write(&text)
    }
}

/// Writes to standard output; that nobody reads it any more is told as such.
pub(crate) fn write(text: &str) -> Result<(), Failure> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Writes a line to standard error; there is nobody to tell if that fails.
pub(crate) fn note(line: &str) {
    let _ = writeln!(stderr().lock(), "{line}");
}
