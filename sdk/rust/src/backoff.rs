//! How long to wait before something that failed is tried again.

use std::time::Duration;

/// Exponential waits with jitter: the n-th lies between half of `min · 2ⁿ` and all of it, at most `max`.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
    random: fastrand::Rng,
}

impl Backoff {
    /// Waits from about `min` to `max`; the same seed gives the same waits.
    pub(crate) fn new(min: Duration, max: Duration, seed: Option<u64>) -> Self {
        let random = seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        Self { min, max, failures: 0, random }
    }

    /// The next wait; each is longer than the one before until `max` is reached.
    pub(crate) fn next(&mut self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let full = self.min.saturating_mul(factor).min(self.max);
        // Past this exponent every wait is `max` already.
        self.failures = (self.failures + 1).min(31);
        full.mul_f64(0.5 + self.random.f64() / 2.0)
    }

    /// Whether nothing has failed since the last reset.
    pub(crate) fn is_fresh(&self) -> bool {
        self.failures == 0
    }

    /// What was tried works: the next wait is short again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// What was tried works, but not for long yet: the next wait is that after `failures` at most.
    pub(crate) fn ease(&mut self, failures: u32) {
        self.failures = self.failures.min(failures);
    }

    /// Another upper bound.
    pub(crate) fn set_max(&mut self, max: Duration) {
        self.max = max;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(50);
    const MAX: Duration = Duration::from_secs(5);

    #[test]
    fn waits_double_with_jitter_up_to_the_bound() {
        let mut backoff = Backoff::new(MIN, MAX, Some(1));
        for n in 0..100_u32 {
            let full = (MIN * 2_u32.pow(n.min(10))).min(MAX);
            let wait = backoff.next();
            assert!(wait >= full / 2 && wait <= full, "wait {n} is {wait:?}, not within {full:?}");
        }
    }

    #[test]
    fn waits_of_two_clients_differ_and_a_seed_repeats_them() {
        let waits = |seed| {
            let mut backoff = Backoff::new(MIN, MAX, Some(seed));
            (0..8).map(|_| backoff.next()).collect::<Vec<_>>()
        };
        assert_eq!(waits(7), waits(7));
        assert_ne!(waits(7), waits(8));
    }

    #[test]
    fn easing_shortens_and_never_lengthens_the_wait() {
        let mut backoff = Backoff::new(MIN, MAX, Some(1));
        backoff.ease(2);
        assert!(backoff.is_fresh());
        let longest = (0..9).map(|_| backoff.next()).max();
        assert!(longest > Some(MIN * 4));
        backoff.ease(2);
        assert!(backoff.next() <= MIN * 4);
        backoff.reset();
        assert!(backoff.next() <= MIN);
    }
}
