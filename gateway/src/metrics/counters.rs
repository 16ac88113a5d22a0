//! Counters that the request path may touch: each has one writer, so that counting is a plain
//! addition to memory that no other core writes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::proxy::{Failure, RetryReason};

/// A number that only grows. One thread adds, any thread reads.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds one. Only the owning worker may call it: two writers would lose counts.
    #[inline]
    pub(crate) fn increment(&self) {
        self.add(1);
    }

    /// Adds `amount`, as [`Counter::increment`].
    #[inline]
    pub(crate) fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    /// The number.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Keeps its content apart from what other cores write. 128 bytes, because processors fetch lines of
/// 64 bytes in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(T);

impl<T> std::ops::Deref for Padded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Upper bounds of a histogram's buckets are powers of two of microseconds: 64 µs to 67 s.
const FIRST_BUCKET_LOG2_US: u32 = 6;
const BUCKETS: usize = 21;

/// Durations, counted in buckets that double.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [Counter; BUCKETS],
    /// Longer than the last bucket.
    over: Counter,
    sum_us: Counter,
}

impl Histogram {
    /// Counts a duration.
    #[inline]
    pub(crate) fn record(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        // The number of the first power of two that is not smaller.
        let log2 = u64::BITS - us.saturating_sub(1).leading_zeros();
        let index = log2.saturating_sub(FIRST_BUCKET_LOG2_US) as usize;
        self.buckets.get(index).unwrap_or(&self.over).increment();
        self.sum_us.add(us);
    }
}

/// Histograms of several workers, added up.
#[derive(Debug, Default)]
pub(crate) struct HistogramTotals {
    buckets: [u64; BUCKETS],
    over: u64,
    sum_us: u64,
}

impl HistogramTotals {
    /// Adds one worker's.
    pub(crate) fn add(&mut self, histogram: &Histogram) {
        for (total, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *total += bucket.get();
        }
        self.over += histogram.over.get();
        self.sum_us += histogram.sum_us.get();
    }

    /// Sum in seconds, count, and each bucket's upper bound in seconds with its count.
    #[expect(clippy::cast_precision_loss, reason = "Prometheus counts seconds in floating point")]
    pub(crate) fn export(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let bound = |index: usize| (1_u64 << (index + FIRST_BUCKET_LOG2_US as usize)) as f64 / 1e6;
        let mut buckets: Vec<(f64, u64)> =
            self.buckets.iter().enumerate().map(|(index, count)| (bound(index), *count)).collect();
        buckets.push((f64::MAX, self.over));
        let count = buckets.iter().map(|(_, count)| count).sum();
        (self.sum_us as f64 / 1e6, count, buckets)
    }
}

/// What one worker counts of one listener.
#[derive(Debug, Default)]
pub(crate) struct ListenerCounters {
    pub(crate) connections_opened: Counter,
    pub(crate) connections_closed: Counter,
    pub(crate) accept_errors: Counter,
    /// By the first digit of the status, 1 to 5.
    pub(crate) answers_by_class: [Counter; 5],
    /// By [`Failure::index`].
    pub(crate) failures: [Counter; Failure::COUNT],
    /// By [`RetryReason::index`].
    pub(crate) retries: [Counter; RetryReason::COUNT],
    pub(crate) retries_over_budget: Counter,
    pub(crate) panic_picks: Counter,
    pub(crate) upstream_connections_opened: Counter,
    pub(crate) upstream_connections_reused: Counter,
    pub(crate) tunnels_opened: Counter,
    pub(crate) tunnels_closed: Counter,
    /// Until the response's head was there.
    pub(crate) time_to_head: Histogram,
}

/// What one worker counts, by listener.
#[derive(Debug)]
pub(crate) struct WorkerCounters {
    pub(crate) listeners: Box<[Padded<ListenerCounters>]>,
}

impl WorkerCounters {
    /// All at 0.
    pub(crate) fn new(listeners: usize) -> Self {
        Self { listeners: (0..listeners).map(|_| Padded::default()).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_smallest_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for us in [0, 64, 65, 128, 129, 100_000_000_000] {
            histogram.record(Duration::from_micros(us));
        }
        let mut totals = HistogramTotals::default();
        totals.add(&histogram);
        let (_, count, buckets) = totals.export();
        assert_eq!(count, 6);
        assert_eq!(buckets[0], (64e-6, 2));
        assert_eq!(buckets[1], (128e-6, 2));
        assert_eq!(buckets[2], (256e-6, 1));
        assert_eq!(buckets.last().unwrap().1, 1);
    }
}
