//! The limit on how long a request's head may take, without a timer for each request.
//!
//! The HTTP library asks for a new timer before each head and drops it when the head is there: a timer
//! set and taken back for each request, which is never to ring. What it gets here only notes when its
//! time would be over; one timer for each connection looks at that note when it rings, and is then set
//! to when it will have to look again.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

/// Nothing is waited for.
const NONE: u64 = u64::MAX;

/// What the library waits for, noted by it and judged by the connection. In microseconds since the
/// connection's begin. One thread uses it; it is atomic because the library wants what can be sent.
#[derive(Debug)]
struct Notes {
    began: Instant,
    /// When the wait under way will have been too long.
    due_us: AtomicU64,
    /// All waits that were due by then are over.
    over_us: AtomicU64,
}

impl Notes {
    fn since_begin(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_micros()).unwrap_or(NONE - 1).min(NONE - 1)
    }
}

/// What the library takes for a timer.
#[derive(Debug, Clone)]
pub(crate) struct HeadTimer(Arc<Notes>);

/// The timer of one connection. Whoever polls the connection polls it first.
#[derive(Debug)]
pub(crate) struct HeadWatch {
    notes: Arc<Notes>,
    /// How often it looks when nothing is waited for.
    limit: Duration,
    timer: RefCell<Pin<Box<tokio::time::Sleep>>>,
}

impl HeadWatch {
    /// For a connection that begins now, on which heads may take `limit`.
    pub(crate) fn new(limit: Duration) -> Self {
        let began = Instant::now();
        let notes = Notes { began, due_us: AtomicU64::new(NONE), over_us: AtomicU64::new(0) };
        let timer = RefCell::new(Box::pin(tokio::time::sleep_until(began + limit)));
        Self { notes: Arc::new(notes), limit, timer }
    }

    /// What the library is to be given.
    pub(crate) fn timer(&self) -> HeadTimer {
        HeadTimer(Arc::clone(&self.notes))
    }

    /// Looks whether a head has taken too long; if so, the library finds out when it is polled next.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) {
        let _ = self.poll_over(cx);
    }

    fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut timer = self.timer.borrow_mut();
        loop {
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            let due_us = self.notes.due_us.load(Ordering::Relaxed);
            let is_over = due_us <= self.notes.since_begin(now);
            if is_over {
                self.notes.over_us.store(due_us, Ordering::Relaxed);
            }
            let next = if is_over || due_us == NONE {
                now + self.limit
            } else {
                self.notes.began + Duration::from_micros(due_us)
            };
            timer.as_mut().reset(next);
        }
    }
}

impl hyper::rt::Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        // Rounded up: it must not be over before its time.
        let due_us = self.0.since_begin(deadline.into()).saturating_add(1).min(NONE - 1);
        Box::pin(HeadWait { notes: Arc::clone(&self.0), due_us })
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

/// A wait for a head.
#[derive(Debug)]
struct HeadWait {
    notes: Arc<Notes>,
    due_us: u64,
}

impl Future for HeadWait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.notes.over_us.load(Ordering::Relaxed) >= self.due_us {
            return Poll::Ready(());
        }
        self.notes.due_us.store(self.due_us, Ordering::Relaxed);
        Poll::Pending
    }
}

impl Drop for HeadWait {
    fn drop(&mut self) {
        self.notes.due_us.store(NONE, Ordering::Relaxed);
    }
}

impl hyper::rt::Sleep for HeadWait {}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use hyper::rt::Timer;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);
    /// The runtime's timers count in milliseconds.
    const SLACK: Duration = Duration::from_millis(5);

    /// Waits as a connection does: looks, then polls what it waits for.
    async fn wait(watch: &HeadWatch, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>) {
        poll_fn(|cx| {
            watch.poll(cx);
            sleep.as_mut().poll(cx)
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_come_is_given_up_at_its_time() {
        let began = Instant::now();
        let watch = HeadWatch::new(LIMIT);
        let mut sleep = watch.timer().sleep(LIMIT);
        wait(&watch, &mut sleep).await;
        assert!((LIMIT..LIMIT + SLACK).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn each_head_has_its_own_time() {
        let watch = HeadWatch::new(LIMIT);
        let timer = watch.timer();
        for _ in 0..5 {
            let mut sleep = timer.sleep(LIMIT);
            let early = tokio::time::timeout(LIMIT * 9 / 10, wait(&watch, &mut sleep)).await;
            assert!(early.is_err(), "given up too early");
        }
        // A long request, during which no head is waited for.
        let idle = poll_fn(|cx| {
            watch.poll(cx);
            Poll::<()>::Pending
        });
        assert!(tokio::time::timeout(LIMIT * 5, idle).await.is_err());
        let began = Instant::now();
        let mut sleep = timer.sleep(LIMIT);
        wait(&watch, &mut sleep).await;
        assert!((LIMIT..LIMIT + SLACK).contains(&began.elapsed()), "{:?}", began.elapsed());
    }
}
