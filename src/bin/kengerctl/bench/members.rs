//! What the members spend on an operation: syncs by their metrics, processor time by their process
//! ids.

use std::collections::BTreeMap;
use std::fs;

use kenger_sdk::{Client, Endpoint};

use crate::failure::Failure;

/// The members that are looked at before and after.
pub(super) struct Members<'a> {
    client: &'a Client,
    pids: Vec<u32>,
    ticks_per_second: f64,
}

/// Counters at one moment.
pub(super) struct Reading {
    syncs: BTreeMap<String, f64>,
    /// Processor time in seconds.
    cpu: BTreeMap<u32, f64>,
}

/// What was spent between two moments.
pub(super) struct Spent {
    /// By endpoint; absent where the member has no such counter.
    pub(super) syncs: BTreeMap<String, f64>,
    /// In seconds, by process id.
    pub(super) cpu: BTreeMap<u32, f64>,
}

impl<'a> Members<'a> {
    pub(super) fn new(client: &'a Client, pids: Vec<u32>) -> Result<Self, Failure> {
        let members = Self { client, pids, ticks_per_second: ticks_per_second() };
        for pid in &members.pids {
            if members.cpu(*pid).is_none() {
                return Err(Failure::Usage(format!("--pids: there is no process {pid} on this machine")));
            }
        }
        Ok(members)
    }

    /// Reads all counters.
    pub(super) async fn read(&self) -> Reading {
        let mut syncs = BTreeMap::new();
        for endpoint in self.client.endpoints() {
            if let Some(count) = self.syncs(endpoint).await {
                syncs.insert(endpoint.to_string(), count);
            }
        }
        let cpu = self.pids.iter().filter_map(|pid| Some((*pid, self.cpu(*pid)?))).collect();
        Reading { syncs, cpu }
    }

    async fn syncs(&self, endpoint: &Endpoint) -> Option<f64> {
        count_syncs(&self.client.metrics(endpoint).await.ok()?)
    }

    /// User and system time of a process, in seconds.
    fn cpu(&self, pid: u32) -> Option<f64> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(ticks(&stat)? as f64 / self.ticks_per_second)
    }
}

impl Reading {
    /// What has been spent since `before`.
    pub(super) fn since(&self, before: &Reading) -> Spent {
        Spent { syncs: difference(&self.syncs, &before.syncs), cpu: difference(&self.cpu, &before.cpu) }
    }
}

fn difference<K: Ord + Clone>(after: &BTreeMap<K, f64>, before: &BTreeMap<K, f64>) -> BTreeMap<K, f64> {
    after.iter().filter_map(|(key, value)| Some((key.clone(), value - before.get(key)?))).collect()
}

/// The counter of the log's syncs among a member's metrics.
fn count_syncs(metrics: &str) -> Option<f64> {
    let samples = metrics.lines().filter(|line| !line.starts_with('#'));
    let mut named = samples.filter_map(|line| line.split_once([' ', '{']));
    let (_, rest) = named.find(|(name, _)| name.ends_with("log_syncs_total"))?;
    rest.rsplit(' ').next()?.parse().ok()
}

/// The 14th and 15th field of `/proc/PID/stat`. The second one, the program's name in parentheses, may
/// have spaces itself.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

fn ticks_per_second() -> f64 {
    // SAFETY: sysconf reads a constant of the system; it takes no pointer and changes nothing.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    if ticks > 0 { ticks as f64 } else { 100.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_past_any_program_name() {
        let stat = "77 (odd ) name) S 1 77 77 0 -1 4194560 1 0 0 0 250 50 3 4 20 0 9 0 100 1 1";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("garbage"), None);
    }

    #[test]
    fn syncs_are_found_with_and_without_labels() {
        let metrics = "# HELP kenger_log_syncs x\nkenger_nodes 5\nkenger_log_syncs_total 1234\n";
        assert_eq!(count_syncs(metrics), Some(1234.0));
        assert_eq!(count_syncs("kenger_log_syncs_total{engine=\"sled\"} 7\n"), Some(7.0));
        assert_eq!(count_syncs("kenger_nodes 5\n"), None);
    }
}
