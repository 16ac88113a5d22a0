//! Many connections at work at the same time, for a time or for a number of operations.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use kenger_sdk::Endpoint;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::connection::{Connection, Outcome, Prepared};
use crate::failure::Failure;

/// The longest latency that is told apart, in microseconds.
const LATENCY_MAX_US: u64 = 60_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;
/// A connection waits this long after a failure, so that a cluster without a leader is not flooded.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(20);
/// How often the progress is drawn.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Latencies in microseconds.
pub(super) type Latencies = Histogram<u32>;

/// An empty histogram.
pub(super) fn latencies() -> Result<Latencies, Failure> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, SIGNIFICANT_DIGITS)
        .map_err(|error| Failure::Other(error.to_string()))
}

/// What one connection is to do.
pub(super) struct Lane {
    pub(super) endpoint: Endpoint,
    /// The requests, in order; the lane is at its end with the last one.
    pub(super) requests: Box<dyn Iterator<Item = Prepared>>,
    /// Time between the beginnings of two requests; as fast as possible without one.
    pub(super) pace: Option<Duration>,
}

/// When the lanes are to stop, and what is shown meanwhile.
pub(super) struct Limits {
    pub(super) duration: Option<Duration>,
    /// How many operations there are in all, if they are counted.
    pub(super) operations: Option<u64>,
    /// Nodes in each request, for the count.
    pub(super) per_request: u64,
    pub(super) show_progress: bool,
    pub(super) what: &'static str,
}

/// What came of it.
pub(super) struct Tally {
    pub(super) latencies: Latencies,
    /// Requests that succeeded.
    pub(super) succeeded: u64,
    /// Requests that failed, by reason.
    pub(super) failed: BTreeMap<String, u64>,
    pub(super) elapsed: Duration,
}

/// Opens all connections, then starts all lanes at once.
pub(super) async fn run(lanes: Vec<Lane>, limits: &Limits) -> Result<Tally, Failure> {
    let done = Arc::new(AtomicU64::new(0));
    let mut opened = Vec::with_capacity(lanes.len());
    for lane in lanes {
        let mut connection = Connection::new(&lane.endpoint);
        if connection.open().await.is_err() {
            return Err(Failure::Unhealthy(format!("{} cannot be connected to", lane.endpoint)));
        }
        opened.push((connection, lane));
    }
    let began = Instant::now();
    let deadline = limits.duration.map(|duration| began + duration);
    let local = tokio::task::LocalSet::new();
    let mut workers = JoinSet::new();
    for (connection, lane) in opened {
        workers.spawn_local_on(work(connection, lane, deadline, Arc::clone(&done)), &local);
    }
    let mut tally =
        Tally { latencies: latencies()?, succeeded: 0, failed: BTreeMap::new(), elapsed: Duration::ZERO };
    let progress = Progress::new(limits, began, Arc::clone(&done));
    local
        .run_until(async {
            let drawing = progress.draw();
            tokio::pin!(drawing);
            loop {
                tokio::select! {
                    worker = workers.join_next() => match worker {
                        Some(Ok(Ok(part))) => tally.add(part)?,
                        Some(Ok(Err(failure))) => return Err(failure),
                        Some(Err(error)) => return Err(Failure::Other(error.to_string())),
                        None => return Ok(()),
                    },
                    () = &mut drawing => {}
                }
            }
        })
        .await?;
    tally.elapsed = began.elapsed();
    progress.clear();
    Ok(tally)
}

impl Tally {
    /// # Errors
    /// Not as many requests succeeded as there were to be.
    pub(super) fn all_registered(&self, expected: u64) -> Result<(), Failure> {
        if self.succeeded == expected {
            return Ok(());
        }
        let reasons: Vec<&str> = self.failed.keys().map(String::as_str).collect();
        Err(Failure::Other(format!("not all nodes could be registered: {}", reasons.join(", "))))
    }

    fn add(&mut self, part: Part) -> Result<(), Failure> {
        self.latencies.add(part.latencies).map_err(|error| Failure::Other(error.to_string()))?;
        self.succeeded += part.succeeded;
        for (reason, count) in part.failed {
            *self.failed.entry(reason).or_default() += count;
        }
        Ok(())
    }
}

/// What one lane came to.
struct Part {
    latencies: Latencies,
    succeeded: u64,
    failed: BTreeMap<String, u64>,
}

async fn work(
    mut connection: Connection,
    lane: Lane,
    deadline: Option<Instant>,
    done: Arc<AtomicU64>,
) -> Result<Part, Failure> {
    let mut part = Part { latencies: latencies()?, succeeded: 0, failed: BTreeMap::new() };
    let mut due = Instant::now();
    for request in lane.requests {
        if let Some(pace) = lane.pace {
            tokio::time::sleep_until(due).await;
            due += pace;
        }
        let began = Instant::now();
        if deadline.is_some_and(|deadline| began >= deadline) {
            break;
        }
        match connection.send(request).await {
            Outcome::Answered(200..300) => {
                part.latencies
                    .saturating_record(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
                part.succeeded += 1;
                done.fetch_add(1, Ordering::Relaxed);
            }
            failed => {
                let reason = match failed {
                    Outcome::Answered(status) => format!("HTTP {status}"),
                    Outcome::Broken(reason) => reason.to_owned(),
                };
                *part.failed.entry(reason).or_default() += 1;
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
    Ok(part)
}

/// A bar on standard error, where a person sees it.
struct Progress {
    bar: Option<ProgressBar>,
    began: Instant,
    duration: Option<Duration>,
    per_request: u64,
    done: Arc<AtomicU64>,
}

impl Progress {
    fn new(limits: &Limits, began: Instant, done: Arc<AtomicU64>) -> Self {
        let total = match (limits.operations, limits.duration) {
            (Some(operations), _) => operations,
            (None, duration) => u64::try_from(duration.unwrap_or_default().as_millis()).unwrap_or(u64::MAX),
        };
        let bar = limits.show_progress.then(|| {
            let bar = ProgressBar::new(total);
            let style = ProgressStyle::with_template("{prefix} [{bar:30}] {msg}")
                .map(|style| style.progress_chars("=> "));
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(limits.what);
            bar
        });
        let duration = if limits.operations.is_some() { None } else { limits.duration };
        Self { bar, began, duration, per_request: limits.per_request, done }
    }

    /// Draws for ever.
    async fn draw(&self) {
        let Some(bar) = &self.bar else { return std::future::pending().await };
        loop {
            tokio::time::sleep(PROGRESS_EVERY).await;
            let done = self.done.load(Ordering::Relaxed) * self.per_request;
            let elapsed = self.began.elapsed();
            bar.set_position(match self.duration {
                Some(_) => u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
                None => done,
            });
            bar.set_message(format!("{done} done, {:.0}/s", done as f64 / elapsed.as_secs_f64()));
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
