//! Decides, from a history alone, whether the promises were kept. One file for each property.
//!
//! A checker never sees the system, only what clients, watchers and the fault injector noted, so that
//! a history can be judged again later, and histories made by hand show that each checker can fail.

mod agreement;
mod availability;
mod changes;
mod durability;
mod evidence;
mod feed;
mod heartbeats;
mod linearizable;
mod recovery;
mod report;
mod revisions;
mod sound;
mod vacuity;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::history::{History, Micros};

pub use evidence::Evidence;

/// All checkers.
pub fn all() -> Vec<Box<dyn Checker>> {
    vec![
        Box::new(linearizable::Linearizable),
        Box::new(revisions::Revisions),
        Box::new(feed::Feed),
        Box::new(heartbeats::Heartbeats),
        Box::new(durability::Durability),
        Box::new(agreement::Agreement),
        Box::new(recovery::Recovery),
        Box::new(availability::Availability),
        Box::new(vacuity::Vacuity),
        Box::new(sound::Sound),
    ]
}

/// What all checkers say about a history. The run has passed if all verdicts do
/// ([`Verdict::is_pass`]).
pub fn judge(history: &History) -> Vec<Finding> {
    let evidence = Evidence::of(history);
    all().iter().map(|checker| checker.judge(&evidence)).collect()
}

/// What a checker came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The run has nothing that this checker looks at.
    NotApplicable,
    /// The promise was kept.
    Valid,
    /// It could not be decided; counts as a failure.
    Unknown,
    /// The promise was broken.
    Invalid,
}

impl Verdict {
    /// Whether a run with this verdict has passed.
    pub fn is_pass(self) -> bool {
        matches!(self, Verdict::Valid | Verdict::NotApplicable)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::NotApplicable => "n/a",
            Verdict::Valid => "valid",
            Verdict::Unknown => "unknown",
            Verdict::Invalid => "invalid",
        })
    }
}

/// What one checker says about one history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The checker's name.
    pub checker: String,
    /// What it came to.
    pub verdict: Verdict,
    /// Each broken promise, or why it could not be decided; no more than [`PROBLEMS_MAX`].
    pub problems: Vec<Problem>,
    /// What was looked at, in numbers, for people: `("operations", 1200.0)`.
    #[serde(deserialize_with = "figures")]
    pub figures: Vec<(String, f64)>,
}

/// JSON has no word for what is not a finite number and says `null`.
fn figures<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, f64)>, D::Error> {
    let figures = Vec::<(String, Option<f64>)>::deserialize(from)?;
    Ok(figures.into_iter().map(|(name, value)| (name, value.unwrap_or(f64::NAN))).collect())
}

/// Most problems that one finding names.
pub const PROBLEMS_MAX: usize = 20;

/// One broken promise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// The rule of the checker that caught it, one word: `lost`, `stale_read`, `gap`, …
    pub rule: String,
    /// What happened, for people.
    pub what: String,
    /// The key that it is about, if it is about one.
    pub key: Option<String>,
    /// When, if that can be said.
    pub at: Option<Micros>,
    /// The records that show it, by their place in the history.
    pub records: Vec<usize>,
}

/// A property that a history has or has not.
pub trait Checker: Send + Sync {
    /// One word; what `--checker` and the tables call it.
    fn name(&self) -> &'static str;

    /// Every rule that a [`Problem`] of this checker can name.
    fn rules(&self) -> &'static [&'static str];

    /// Judges a history that has been read.
    fn judge(&self, evidence: &Evidence<'_>) -> Finding;

    /// Judges a history.
    fn check(&self, history: &History) -> Finding {
        self.judge(&Evidence::of(history))
    }
}
