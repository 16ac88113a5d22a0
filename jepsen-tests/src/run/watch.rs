//! Somebody who follows the feed with one cursor and notes all that comes, without judging it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::recorder::Recorder;
use crate::harness::{Api, Sse, SseEvent};
use crate::history::{FeedItem, FeedRecord, Record};

/// Between two tries to subscribe.
const RETRY_EVERY: Duration = Duration::from_millis(150);
/// A stream that says nothing for so long is dead: a bookmark comes every five seconds.
const SILENCE_LIMIT: Duration = Duration::from_secs(8);
/// A healthy stream is left after a time in this range, in milliseconds, so that resuming is no rarity.
const STAY_MS: std::ops::Range<u64> = 4_000..15_000;

/// How long a watcher stays at a stream that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Habit {
    /// As long as it can, so that it misses as little as can be; it begins at the member of this place.
    Steady { home: usize },
    /// For some seconds, so that it resumes often.
    Restless,
}

/// A member that has not begun its answer within this time is left for another one.
const OPEN_LIMIT: Duration = Duration::from_secs(3);

/// A watcher at work.
#[derive(Debug, Clone)]
pub(super) struct Watcher {
    pub(super) number: u32,
    apis: Vec<Api>,
    namespaces: Vec<String>,
    recorder: Recorder,
    rng: fastrand::Rng,
    habit: Habit,
    stop: CancellationToken,
    /// One more than the last revision that it was told of, 0 before that; others look at it.
    told: Arc<AtomicU64>,
}

impl Watcher {
    pub(super) fn new(
        number: u32,
        apis: &[Api],
        namespaces: Vec<String>,
        recorder: Recorder,
        rng: fastrand::Rng,
        habit: Habit,
        stop: CancellationToken,
    ) -> Self {
        let apis = apis.iter().map(|api| api.with_limit(OPEN_LIMIT)).collect();
        Self { number, apis, namespaces, recorder, rng, habit, stop, told: Arc::default() }
    }

    /// The revision that it has been told of, if it has been told anything.
    pub(super) fn told(&self) -> Option<u64> {
        self.told.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Follows the feed until it is told to stop.
    pub(super) async fn follow(mut self) {
        let mut at = match self.habit {
            Habit::Steady { home } => home,
            Habit::Restless => self.rng.usize(..self.apis.len()),
        };
        let mut after = None;
        while !self.stop.is_cancelled() {
            let api = self.apis[at].clone();
            let query = if self.namespaces.is_empty() {
                String::new()
            } else {
                format!("ns={}", self.namespaces.join(","))
            };
            let opened = tokio::select! {
                opened = Sse::open_with(&api, after, &query) => opened,
                () = self.stop.cancelled() => return,
            };
            if let Ok(stream) = opened {
                self.note(api.member, FeedItem::Opened { after, namespaces: self.namespaces.clone() });
                let reason = self.follow_one(stream, api.member, &mut after).await;
                self.note(api.member, FeedItem::Ended { reason });
            }
            at = (at + 1 + self.rng.usize(..self.apis.len())) % self.apis.len();
            tokio::select! {
                () = sleep(RETRY_EVERY) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// Until the stream ends or is left; answers why.
    async fn follow_one(&mut self, mut stream: Sse, member: u64, after: &mut Option<u64>) -> String {
        let leave_at = Instant::now() + Duration::from_millis(self.rng.u64(STAY_MS));
        loop {
            let event = tokio::select! {
                event = timeout(SILENCE_LIMIT, stream.next()) => event,
                () = self.stop.cancelled() => return "the run is over".to_owned(),
                () = tokio::time::sleep_until(leave_at), if self.habit == Habit::Restless => {
                    return "left for another member".to_owned();
                }
            };
            match event {
                Err(_) => return format!("silent for {SILENCE_LIMIT:?}"),
                Ok(None) => return "the stream ended".to_owned(),
                Ok(Some(event)) => {
                    let id = event.id;
                    let Some(item) = feed_item(event) else { continue };
                    self.note(member, item);
                    // What a client of server-sent events keeps: the last id that came.
                    if let Some(id) = id {
                        *after = Some(id);
                        self.told.store(id.saturating_add(1), Ordering::Relaxed);
                    }
                }
            }
        }
    }

    fn note(&self, member: u64, item: FeedItem) {
        let at = self.recorder.now();
        self.recorder.note(Record::Feed(FeedRecord { at, watcher: self.number, member, item }));
    }
}

/// `None`: an event that this version does not know, which clients pass over.
pub(crate) fn feed_item(SseEvent { name, id, data: body }: SseEvent) -> Option<FeedItem> {
    match name.as_str() {
        "snapshot" => Some(FeedItem::Snapshot { id, body }),
        "change" => Some(FeedItem::Change { id, body }),
        "bookmark" => Some(FeedItem::Bookmark { id, body }),
        "leader" => Some(FeedItem::Leader { body }),
        _ => None,
    }
}
