//! One page of HTML for each run: the verdict, what led to it, and how to repeat it.
//!
//! The page is one file that loads nothing and runs nothing: it can be kept for years, sent by mail and
//! opened from a disk. Whatever comes from a run is escaped, and the page's own policy forbids scripts.
//! Its size is bounded, [`REPORT_BYTES_MAX`], whatever the run was: each list has a most, and plots keep
//! the extremes of what they leave out.

mod describe;
mod directory;
mod draw;
mod facts;
mod findings;
mod latency;
mod logs;
mod overview;
mod page;
mod rate;
mod sample;
mod text;
mod timeline;
mod watchers;

pub use directory::{REPORT_FILE, ReportError, write_report};
pub use logs::MemberLog;

use crate::check::Finding;
use crate::history::History;
use crate::run::Verdicts;

/// No report is larger than this, in bytes.
pub const REPORT_BYTES_MAX: usize = 4 << 20;

/// The report of a run whose files lie nowhere.
pub fn render(history: &History, findings: &[Finding], logs: &[MemberLog]) -> String {
    let verdicts = Verdicts::new(history.run.clone(), Vec::new(), findings.to_vec());
    page::render(history, &verdicts, logs, None)
}
