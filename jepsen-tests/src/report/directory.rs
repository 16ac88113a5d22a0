//! The directory of a run: what it holds, and the report that is written into it.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::logs::MemberLog;
use crate::history::{History, HistoryError};
use crate::run::{HISTORY_FILE, VERDICTS_FILE, Verdicts};

/// The report in the directory of a run.
pub const REPORT_FILE: &str = "report.html";

/// Most that is read of one log: its end.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file of the run cannot be read, or the report cannot be written.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The history is not one.
    #[error("{}: {error}", path.display())]
    History {
        /// Where it lies.
        path: PathBuf,
        /// Why.
        error: HistoryError,
    },
    /// The verdicts are none.
    #[error("{}: {error}", path.display())]
    Verdicts {
        /// Where they lie.
        path: PathBuf,
        /// Why.
        error: serde_json::Error,
    },
}

/// Reads the directory of a run and writes [`REPORT_FILE`] into it; answers where that is.
///
/// A run without verdicts is shown as one that nobody has judged. Logs are the files
/// `member-N.log`; of one longer than 16 MiB the end is read.
///
/// # Errors
/// There is no history, a file is not what it has to be, or the report cannot be written.
pub fn write_report(directory: &Path) -> Result<PathBuf, ReportError> {
    let history = read_history(&directory.join(HISTORY_FILE))?;
    let verdicts = match read_verdicts(&directory.join(VERDICTS_FILE))? {
        Some(verdicts) => verdicts,
        None => Verdicts::new(history.run.clone(), Vec::new(), Vec::new()),
    };
    let logs = read_logs(directory)?;
    // The way from the root, so that the page says where it was made; as given if that cannot be told.
    let place = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_path_buf());
    let page = super::page::render(&history, &verdicts, &logs, Some(&place));
    let path = directory.join(REPORT_FILE);
    let draft = directory.join(format!("{REPORT_FILE}.draft"));
    fs::write(&draft, page).map_err(at(&draft))?;
    fs::rename(&draft, &path).map_err(at(&path))?;
    Ok(path)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ReportError {
    let path = path.to_path_buf();
    |error| ReportError::Io { path, error }
}

fn read_history(path: &Path) -> Result<History, ReportError> {
    let file = File::open(path).map_err(at(path))?;
    History::read(BufReader::new(file))
        .map_err(|error| ReportError::History { path: path.to_path_buf(), error })
}

fn read_verdicts(path: &Path) -> Result<Option<Verdicts>, ReportError> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(at(path))?,
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| ReportError::Verdicts { path: path.to_path_buf(), error })
}

/// All logs, in the order of the members.
fn read_logs(directory: &Path) -> Result<Vec<MemberLog>, ReportError> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(directory).map_err(at(directory))? {
        let path = entry.map_err(at(directory))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let member = name.and_then(|name| name.strip_prefix("member-")?.strip_suffix(".log")?.parse().ok());
        if let Some(member) = member {
            logs.push(MemberLog { member, text: read_end(&path).map_err(at(&path))? });
        }
    }
    logs.sort_by_key(|log| log.member);
    Ok(logs)
}

/// The end of a file, from the beginning of a line on. What is no UTF-8 is replaced.
fn read_end(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(LOG_BYTES_MAX);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?;
    if from > 0 {
        let line = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        bytes.drain(..line);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
