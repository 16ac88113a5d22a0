//! Load by `kengerctl bench`, and what it reports.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::lab::{Lab, bind_life};
use super::members::TOKEN;

/// What one run found.
#[derive(Debug, Clone)]
pub(super) struct Found(Value);

/// Runs a benchmark of `kengerctl`.
///
/// # Errors
/// It fails, or some of its operations do.
pub(super) fn bench(lab: &Lab, endpoints: &[String], pids: &[u32], words: &[&str]) -> Result<Found, String> {
    let mut command = Command::new(&lab.kengerctl);
    command.args(["bench", "-q", "-o", "json", "--endpoints", &endpoints.join(",")]).args(words);
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    if !pids.is_empty() {
        command.args(["--pids", &pids.join(",")]);
    }
    command.env("KENGER_TOKEN", TOKEN).stdin(Stdio::null());
    bind_life(&mut command);
    let what = words.join(" ");
    let output = command.output().map_err(|error| format!("{}: {error}", lab.kengerctl.display()))?;
    if !output.status.success() {
        return Err(format!("kengerctl bench {what}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    serde_json::from_slice(&output.stdout)
        .map(Found)
        .map_err(|error| format!("kengerctl bench {what}: {error}"))
}

impl Found {
    /// Operations in a second.
    pub(super) fn per_second(&self) -> f64 {
        self.0["per_second"].as_f64().unwrap_or(f64::NAN)
    }

    pub(super) fn latency_ms(&self, quantile: &str) -> f64 {
        self.0["latency_ms"][quantile].as_f64().unwrap_or(f64::NAN)
    }

    /// What a benchmark tells besides.
    pub(super) fn also(&self, name: &str) -> f64 {
        self.0["also"][name].as_f64().unwrap_or(f64::NAN)
    }

    /// A number of each member that has it.
    fn of_members(&self, key: &str) -> Vec<f64> {
        let members = self.0["members"].as_array().map_or(&[][..], Vec::as_slice);
        members.iter().filter_map(|member| member[key].as_f64()).collect()
    }

    /// Syncs in a second, of the member with the most.
    pub(super) fn syncs_per_second(&self) -> f64 {
        self.of_members("syncs_per_second").into_iter().fold(f64::NAN, f64::max)
    }

    /// Processors that each member kept busy.
    pub(super) fn cores(&self) -> Vec<f64> {
        self.of_members("cores")
    }

    /// Processor time of all members for one operation, in microseconds.
    pub(super) fn cpu_us(&self) -> f64 {
        self.of_members("cpu_us_per_operation").into_iter().sum()
    }
}

/// The one in the middle.
pub(super) fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    quantile(numbers, 0.5)
}

/// By nearest rank: one of the numbers.
pub(super) fn quantile(numbers: impl IntoIterator<Item = f64>, quantile: f64) -> f64 {
    let mut numbers: Vec<f64> = numbers.into_iter().collect();
    numbers.sort_by(f64::total_cmp);
    let rank = (quantile * numbers.len() as f64).ceil() as usize;
    numbers.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numbers_that_were_measured() {
        let numbers = || (1..=20).map(f64::from);
        assert_eq!((median(numbers()), quantile(numbers(), 0.99)), (10.0, 20.0));
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert!(median([]).is_nan());
    }
}
