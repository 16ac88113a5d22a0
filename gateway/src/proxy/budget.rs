//! How many retries a worker may make: a share of its requests, so that retries do not multiply the
//! load on nodes that are failing under it.

use std::time::Duration;

use tokio::time::Instant;

/// Retries per hundred requests.
const RETRY_PERCENT: u64 = 20;
/// Retries per second that are always allowed, so that a quiet service can retry, too.
const RETRIES_PER_SECOND: u64 = 10;
/// The most retries that can be saved up.
const SAVED_RETRIES_MAX: u64 = 100;

/// A retry is this many units, so that shares of it are whole numbers.
const UNITS_PER_RETRY: u64 = 100_000;
/// After this long the budget is full.
const REFILL_MS_MAX: u64 = SAVED_RETRIES_MAX * 1_000 / RETRIES_PER_SECOND;

/// Retries saved up by one worker.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    units: u64,
    refilled_at: Instant,
}

impl RetryBudget {
    /// A full budget.
    pub(crate) fn new(now: Instant) -> Self {
        Self { units: SAVED_RETRIES_MAX * UNITS_PER_RETRY, refilled_at: now }
    }

    /// A request came.
    #[inline]
    pub(crate) fn deposit(&mut self) {
        self.add(UNITS_PER_RETRY * RETRY_PERCENT / 100);
    }

    /// Takes a retry; `false` if there is none left.
    pub(crate) fn withdraw(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.refilled_at);
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).min(REFILL_MS_MAX);
        // What is less than a millisecond is left for the next time.
        self.refilled_at = if elapsed_ms == REFILL_MS_MAX {
            now
        } else {
            self.refilled_at + Duration::from_millis(elapsed_ms)
        };
        self.add(elapsed_ms * (UNITS_PER_RETRY * RETRIES_PER_SECOND / 1_000));
        let Some(left) = self.units.checked_sub(UNITS_PER_RETRY) else { return false };
        self.units = left;
        true
    }

    fn add(&mut self, units: u64) {
        self.units = (self.units + units).min(SAVED_RETRIES_MAX * UNITS_PER_RETRY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_share_of_requests_once_what_was_saved_is_spent() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(now);
        let mut granted = 0;
        for _ in 0..10_000 {
            budget.deposit();
            granted += u64::from(budget.withdraw(now));
        }
        let share = 10_000 * RETRY_PERCENT / 100;
        assert!((share..=share + SAVED_RETRIES_MAX).contains(&granted), "{granted}");
    }

    #[test]
    fn a_quiet_service_gets_its_retries_back_with_time() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(now);
        while budget.withdraw(now) {}
        let later = now + Duration::from_secs(1);
        let granted = (0..1_000).filter(|_| budget.withdraw(later)).count();
        assert_eq!(granted as u64, RETRIES_PER_SECOND);
    }
}
