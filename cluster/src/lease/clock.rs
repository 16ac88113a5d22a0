//! Lease time: monotonic time, less the time in which this member could not have heard a heartbeat.
//!
//! A process that is stopped for a minute and wakes up must not find that all leases ran out: the
//! heartbeats of that minute were not lost by the nodes. So time that was slept does not count.
//! Everybody who looks at a lease reads this clock first, so it does not matter whether the tick or
//! a queued heartbeat comes first after waking up.

use std::time::Duration;

use kenger_mutant::{self as mutant, Mutant};
use tokio::time::Instant;

/// Longer than any time to live, for a mutant.
const NO_GRACE: Duration = Duration::from_secs(365 * 86_400);

/// A point on a [`LeaseClock`]. Only comparable within one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LeaseTime(u64);

impl LeaseTime {
    /// Where each clock starts.
    pub(super) const START: LeaseTime = LeaseTime(0);
    /// Never reached.
    pub(super) const NEVER: LeaseTime = LeaseTime(u64::MAX);

    /// This much later.
    pub(super) fn after(self, duration: Duration) -> Self {
        LeaseTime(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Counts lease time. Pure: it is told the time.
#[derive(Debug)]
pub(super) struct LeaseClock {
    /// Between two ticks, if nothing is late.
    tick: Duration,
    /// The last tick, or where a late one would have been.
    last: Instant,
    /// Lease time at `last`.
    counted: LeaseTime,
    /// Time that was not counted.
    given_back: Duration,
}

impl LeaseClock {
    pub(super) fn start(now: Instant, tick: Duration) -> Self {
        let grace = if mutant::is(Mutant::NoGrace) { NO_GRACE } else { Duration::ZERO };
        Self { tick, last: now, counted: LeaseTime::START.after(grace), given_back: Duration::ZERO }
    }

    /// The lease time at `now`. If the last tick was more than two ticks ago, the next one is late by
    /// more than a tick: all but one tick of that time is given back.
    pub(super) fn read(&mut self, now: Instant) -> LeaseTime {
        let elapsed = now.saturating_duration_since(self.last);
        if elapsed <= self.tick * 2 || mutant::is(Mutant::WallClockLeases) {
            return self.counted.after(elapsed);
        }
        self.given_back += elapsed - self.tick;
        self.counted = self.counted.after(self.tick);
        self.last = now;
        self.counted
    }

    /// A tick. `counts`: whether heartbeats could be acknowledged lately; the time since the last
    /// tick is given back if not.
    pub(super) fn tick(&mut self, now: Instant, counts: bool) -> LeaseTime {
        if counts {
            self.counted = self.read(now);
        } else {
            self.given_back += now.saturating_duration_since(self.last);
        }
        self.last = now;
        self.counted
    }

    /// Time that was not counted since the start.
    pub(super) fn given_back(&self) -> Duration {
        self.given_back
    }
}
