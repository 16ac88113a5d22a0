//! What a benchmark found, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use super::members::Spent;
use super::run::{Latencies, Tally};

/// The result of one benchmark.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Which benchmark.
    pub(super) bench: &'static str,
    /// What was done, in numbers, by name.
    pub(super) setting: BTreeMap<&'static str, u64>,
    /// How long it took.
    pub(super) seconds: f64,
    /// Operations that succeeded.
    pub(super) operations: u64,
    /// Operations that succeeded in a second.
    pub(super) per_second: f64,
    /// What failed, by reason.
    pub(super) failed: BTreeMap<String, u64>,
    /// Of what `latency_ms` tells.
    pub(super) latency_of: &'static str,
    /// In milliseconds.
    pub(super) latency_ms: Quantiles,
    /// What the members spent, where it can be told.
    pub(super) members: Vec<MemberCost>,
    /// Anything else worth a number, by name.
    pub(super) also: BTreeMap<&'static str, f64>,
}

/// A distribution, in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Quantiles {
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

/// What one member spent.
#[derive(Debug, Serialize)]
pub(super) struct MemberCost {
    /// Endpoint or process id.
    member: String,
    /// Syncs of its log in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    syncs_per_second: Option<f64>,
    /// Operations for each sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    operations_per_sync: Option<f64>,
    /// Processors that it kept busy.
    #[serde(skip_serializing_if = "Option::is_none")]
    cores: Option<f64>,
    /// Processor time for each operation, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_us_per_operation: Option<f64>,
}

impl Quantiles {
    pub(super) fn of(latencies: &Latencies) -> Self {
        let ms = |us: u64| us as f64 / 1_000.0;
        Self {
            mean: latencies.mean() / 1_000.0,
            p50: ms(latencies.value_at_quantile(0.5)),
            p90: ms(latencies.value_at_quantile(0.9)),
            p99: ms(latencies.value_at_quantile(0.99)),
            p999: ms(latencies.value_at_quantile(0.999)),
            max: ms(latencies.max()),
        }
    }
}

impl Report {
    /// The report of a run over connections, with `per_request` operations in each request.
    pub(super) fn of_run(bench: &'static str, tally: &Tally, per_request: u64, spent: &Spent) -> Self {
        let operations = tally.succeeded * per_request;
        Self::new(bench, operations, tally.elapsed, "request", &tally.latencies, spent, tally.failed.clone())
    }

    /// A report of any run.
    pub(super) fn new(
        bench: &'static str,
        operations: u64,
        elapsed: Duration,
        latency_of: &'static str,
        latencies: &Latencies,
        spent: &Spent,
        failed: BTreeMap<String, u64>,
    ) -> Self {
        let seconds = elapsed.as_secs_f64();
        Self {
            bench,
            setting: BTreeMap::new(),
            seconds,
            operations,
            per_second: operations as f64 / seconds,
            failed,
            latency_of,
            latency_ms: Quantiles::of(latencies),
            members: costs(spent, operations, seconds),
            also: BTreeMap::new(),
        }
    }

    /// Lines for people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let setting: Vec<String> =
            self.setting.iter().map(|(name, value)| format!("{name} {value}")).collect();
        writeln!(out, "{}: {}", self.bench, setting.join(", "))?;
        let (operations, seconds) = (self.operations, self.seconds);
        writeln!(out, "  {operations} in {seconds:.2} s = {:.0} per second", self.per_second)?;
        let q = &self.latency_ms;
        writeln!(
            out,
            "  {}: p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max {:.2} ms",
            self.latency_of, q.p50, q.p90, q.p99, q.p999, q.max
        )?;
        for (name, value) in &self.also {
            writeln!(out, "  {}: {value:.0}", name.replace('_', " "))?;
        }
        for (reason, count) in &self.failed {
            writeln!(out, "  FAILED {count}: {reason}")?;
        }
        for member in &self.members {
            let parts = [
                member.syncs_per_second.map(|n| format!("{n:.0} syncs per second")),
                member.operations_per_sync.map(|n| format!("{n:.1} operations per sync")),
                member.cores.map(|n| format!("{n:.2} cores")),
                member.cpu_us_per_operation.map(|n| format!("{n:.1} µs of CPU per operation")),
            ];
            let parts: Vec<String> = parts.into_iter().flatten().collect();
            writeln!(out, "  {}: {}", member.member, parts.join(", "))?;
        }
        Ok(())
    }
}

fn costs(spent: &Spent, operations: u64, seconds: f64) -> Vec<MemberCost> {
    let operations = operations as f64;
    let ratio = |of: f64, to: f64| (to > 0.0).then(|| of / to);
    let syncs = spent.syncs.iter().map(|(member, syncs)| MemberCost {
        member: member.clone(),
        syncs_per_second: ratio(*syncs, seconds),
        // Where next to nothing is synced, the ratio says nothing.
        operations_per_sync: ratio(operations, *syncs).filter(|_| *syncs >= seconds),
        cores: None,
        cpu_us_per_operation: None,
    });
    let cpu = spent.cpu.iter().map(|(pid, cpu)| MemberCost {
        member: format!("process {pid}"),
        syncs_per_second: None,
        operations_per_sync: None,
        cores: ratio(*cpu, seconds),
        cpu_us_per_operation: ratio(cpu * 1e6, operations),
    });
    syncs.chain(cpu).collect()
}
