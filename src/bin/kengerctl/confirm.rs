//! Asks a person before something is deleted that is in use.

use std::io::{IsTerminal, Write, stderr, stdin};

use crate::failure::Failure;

/// States the fact and asks whether to act; without a terminal there is nobody to ask, and `--yes` is
/// needed.
pub(crate) fn confirm(fact: &str, action: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !stdin().is_terminal() || !stderr().is_terminal() {
        return Err(Failure::Usage(format!("{fact}; to {action}, say --yes")));
    }
    let mut out = stderr().lock();
    write!(out, "{fact}; {action}? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        Ok(())
    } else {
        Err(Failure::Declined)
    }
}
