//! One direction between two members: what is wrong with it, and what it carried.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::harness::links::{Cut, Impairment};

/// What is wrong with a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) cut: Option<Cut>,
    pub(super) impairment: Impairment,
}

/// One direction; all connections of the pair share it.
#[derive(Debug)]
pub(super) struct Link {
    rules: watch::Sender<Rules>,
    rng: Mutex<fastrand::Rng>,
    /// When what was passed on until now is through, at the rate that is allowed.
    through_at: Mutex<Option<Instant>>,
    carried: AtomicU64,
}

impl Link {
    pub(super) fn new(rng: fastrand::Rng) -> Self {
        Self {
            rules: watch::Sender::default(),
            rng: Mutex::new(rng),
            through_at: Mutex::default(),
            carried: AtomicU64::new(0),
        }
    }

    pub(super) fn set(&self, rules: Rules) {
        self.rules.send_if_modified(|known| std::mem::replace(known, rules) != rules);
    }

    pub(super) fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    pub(super) fn is_reset(&self) -> bool {
        self.rules.borrow().cut == Some(Cut::Reset)
    }

    /// Completes when connections are to be reset.
    pub(super) async fn reset(&self) {
        // The sender lives as long as `self`.
        let _ = self.rules.subscribe().wait_for(|rules| rules.cut == Some(Cut::Reset)).await;
    }

    /// When a piece that has come in now is due at the other end.
    pub(super) fn due(&self) -> Instant {
        let Impairment { delay, jitter, .. } = self.rules.borrow().impairment;
        Instant::now() + delay + jitter.mul_f64(self.rng.lock().unwrap().f64())
    }

    /// Waits until a piece may leave; answers whether the connection breaks after it.
    pub(super) async fn pass(&self, bytes: usize, due: Instant) -> bool {
        let mut rules = self.rules.subscribe();
        // Looked at again: what is too late because of a cut is not held up a second time.
        loop {
            let impairment = {
                let passing = rules.wait_for(|rules| rules.cut.is_none()).await;
                passing.expect("the sender lives").impairment
            };
            let slot = due.max(self.slot(bytes, &impairment));
            tokio::time::sleep_until(slot).await;
            if self.rules.borrow().cut.is_none() {
                self.carried.fetch_add(bytes as u64, Ordering::Relaxed);
                return self.rng.lock().unwrap().u16(..1_000) < impairment.loss_per_mille;
            }
        }
    }

    /// Books room for `bytes` at the rate of the link; all its connections share that.
    fn slot(&self, bytes: usize, impairment: &Impairment) -> Instant {
        let now = Instant::now();
        let mut through_at = self.through_at.lock().unwrap();
        let Some(rate) = impairment.bytes_per_second else {
            *through_at = None;
            return now;
        };
        let slot = through_at.unwrap_or(now).max(now);
        *through_at = Some(slot + Duration::from_secs_f64(bytes as f64 / rate as f64));
        slot
    }
}
