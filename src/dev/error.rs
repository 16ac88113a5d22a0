//! What can go wrong with `kenger dev`, in words for the person in front of it.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use super::parts::Part;

/// How much of the end of a part's log is shown when it ended too early.
const LOG_TAIL_MAX_BYTES: u64 = 4_096;
const LOG_TAIL_MAX_LINES: usize = 12;

#[derive(Debug, thiserror::Error)]
pub(super) enum DevError {
    #[error(
        "these addresses cannot be listened on:\n  {}\nFree them, or move all ports with --port-base (now {base})",
        lines.join("\n  ")
    )]
    PortsTaken { lines: Vec<String>, base: u16 },
    #[error("{0}")]
    Directory(String),
    #[error("{doing}: {error}")]
    Io { doing: String, error: io::Error },
    #[error("{name} ended while everything was being started ({status}). The end of {log}:\n{tail}")]
    PartEnded { name: String, status: ExitStatus, log: String, tail: String },
    #[error("waiting for {what}: not there after {} seconds", after.as_secs())]
    NotReady { what: &'static str, after: Duration },
}

impl DevError {
    pub(super) fn part_ended(part: &Part, status: ExitStatus) -> Self {
        let tail = tail(&part.log).unwrap_or_else(|error| error.to_string());
        Self::PartEnded { name: part.name.clone(), status, log: part.log.display().to_string(), tail }
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::PortsTaken { .. } => kenger::exit::UNAVAILABLE,
            Self::Directory(_) | Self::Io { .. } => kenger::exit::IO,
            Self::PartEnded { .. } | Self::NotReady { .. } => kenger::exit::SOFTWARE,
        }
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> io::Result<String> {
    let mut file = std::fs::File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_MAX_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LOG_TAIL_MAX_LINES);
    Ok(lines[from..].iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"))
}
