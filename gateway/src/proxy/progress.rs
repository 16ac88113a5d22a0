//! Tells when an exchange has come to a stop.
//!
//! One timer for each client connection, since HTTP/1 has one exchange on it at a time. It is not
//! set anew for each request or piece of a body: what moves is noted in a cell, and when the timer
//! fires it is set to when the last move will have been too long ago.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// When an exchange last moved.
#[derive(Debug)]
pub(crate) struct Progress {
    limit: Duration,
    moved_at: Cell<Instant>,
    /// The next move is the client's: more of its body.
    waits_for_client: Cell<bool>,
    timer: RefCell<Pin<Box<Sleep>>>,
}

impl Progress {
    /// Nothing may stand still for longer than `limit`.
    pub(crate) fn new(limit: Duration) -> Self {
        let now = Instant::now();
        Self {
            limit,
            moved_at: Cell::new(now),
            waits_for_client: Cell::new(false),
            timer: RefCell::new(Box::pin(tokio::time::sleep_until(now + limit))),
        }
    }

    /// Something moved, or a wait begins now.
    pub(crate) fn moved(&self) {
        self.moved_at.set(Instant::now());
    }

    /// As [`Progress::moved`] for who knows the time.
    pub(crate) fn moved_at(&self, now: Instant) {
        self.moved_at.set(now);
    }

    /// Whether the next move is the client's.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.waits_for_client.get()
    }

    /// Sets whose move is next.
    pub(crate) fn set_waits_for_client(&self, waits: bool) {
        self.waits_for_client.set(waits);
    }

    /// Ready when nothing has moved for too long.
    pub(crate) fn poll_stalled(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut timer = self.timer.borrow_mut();
        loop {
            ready!(timer.as_mut().poll(cx));
            let due = self.moved_at.get() + self.limit;
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_ready_when_the_last_move_is_too_long_ago() {
        let began = Instant::now();
        let progress = Progress::new(Duration::from_secs(10));
        tokio::time::sleep(Duration::from_secs(7)).await;
        progress.moved();
        poll_fn(|cx| progress.poll_stalled(cx)).await;
        assert_eq!(began.elapsed().as_secs(), 17);
    }

    #[tokio::test(start_paused = true)]
    async fn it_can_be_used_again_after_a_long_rest() {
        let progress = Progress::new(Duration::from_secs(10));
        tokio::time::sleep(Duration::from_secs(100)).await;
        let began = Instant::now();
        progress.moved();
        poll_fn(|cx| progress.poll_stalled(cx)).await;
        assert_eq!(began.elapsed().as_secs(), 10);
    }
}
