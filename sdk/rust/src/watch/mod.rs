//! Follows the change feed: one stream after another, as if they were one.
//!
//! [`Watch`] owns its connection and does its work inside [`Watch::next`]: there is no task behind it
//! and no queue, so that a slow consumer slows its own stream down and nobody else's.

mod cursor;
mod event;
mod route;
mod seek;
mod stream;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use kenger_types::limits::FILTER_MAX_NAMESPACES;
use kenger_types::{ClusterId, NamespaceName, Revision};
use tokio::time::Instant;

pub use event::{Connected, DisconnectReason, Disconnected, WatchEvent};

use crate::backoff::Backoff;
use crate::{Client, Endpoint, Error};
use cursor::Cursor;
use route::{Route, Target};
use seek::{Found, Seek};
use stream::{FeedEvent, OpenFailed, Stream};

/// The first wait after every endpoint has been tried in vain.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// The longest such wait. A gateway that waits routes by what it knew before, so it is short: after an
/// outage of all members, however long, it costs each of them a connection a second.
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// A stream that lived this long was a good one: what fails after it is tried again at once.
const STEADY_AFTER: Duration = Duration::from_secs(5);
/// A stream that delivered something makes the next wait as short as after this many failures.
const FAILURES_AFTER_DELIVERY: u32 = 2;
/// A leader that says nothing for this long, which is longer than between two bookmarks, may be one no
/// more: another one is looked for.
const OVERDUE_AFTER: Duration = Duration::from_secs(6);
/// A stream without an event for this long is given up: three intervals of the bookmarks.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// What to watch, and from where on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchOptions {
    /// These namespaces; all if there are none. At most
    /// [`FILTER_MAX_NAMESPACES`](kenger_types::limits::FILTER_MAX_NAMESPACES).
    pub namespaces: Vec<NamespaceName>,
    /// Prefer the leader, whose feed is the first to know. Another member is listened to while the
    /// leader's address cannot be connected to from here; meanwhile, and while the leader says
    /// nothing, a leader is looked for again and again.
    pub from_leader: bool,
    /// What the caller knows already: the feed continues after it. Without one, it begins with a
    /// snapshot.
    pub last_revision: Option<Revision>,
    /// Whose history `last_revision` belongs to: members of another cluster are refused. Without
    /// one, the first cluster that answers is the right one from then on.
    pub expected_cluster: Option<ClusterId>,
    /// Listen to members that hear no leader, too.
    pub stale: bool,
    /// Makes the waits between attempts repeatable.
    pub seed: Option<u64>,
}

impl Client {
    /// Follows the change feed. Nothing happens before [`Watch::next`] is called.
    ///
    /// # Errors
    /// [`Error::Config`]: more namespaces than a filter may have.
    pub fn watch(&self, options: WatchOptions) -> Result<Watch, Error> {
        let WatchOptions { namespaces, from_leader, last_revision, expected_cluster, stale, seed } = options;
        if namespaces.len() > FILTER_MAX_NAMESPACES {
            return Err(Error::Config(format!(
                "a watch filters by at most {FILTER_MAX_NAMESPACES} namespaces, not by {}",
                namespaces.len()
            )));
        }
        Ok(Watch {
            cursor: Cursor::new(expected_cluster, last_revision, !namespaces.is_empty()),
            route: Route::new(self.endpoints().to_vec(), self.preferred_index(), from_leader),
            backoff: Backoff::new(BACKOFF_MIN, BACKOFF_MAX, seed),
            request: stream::Request::new(&namespaces, stale),
            client: self.clone(),
            state: State::Choosing,
            ready: VecDeque::new(),
        })
    }
}

/// A subscription that reconnects by itself, for ever.
pub struct Watch {
    client: Client,
    request: stream::Request,
    cursor: Cursor,
    route: Route,
    backoff: Backoff,
    state: State,
    ready: VecDeque<WatchEvent>,
}

enum State {
    /// Until then nobody is asked.
    Waiting(Instant),
    Choosing,
    Connecting(Target, Opening),
    Streaming {
        target: Target,
        since: Instant,
        /// When the last event came.
        heard: Instant,
        stream: Box<Stream>,
        seek: Seek,
    },
}

type Opening = Pin<Box<dyn Future<Output = Result<Stream, OpenFailed>> + Send>>;

impl Watch {
    /// The next event. Never ends: when no endpoint answers, it tries again with growing waits of at
    /// most five seconds, and tells of each failed attempt. Cancel-safe.
    pub async fn next(&mut self) -> WatchEvent {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return event;
            }
            match &mut self.state {
                State::Waiting(until) => {
                    tokio::time::sleep_until(*until).await;
                    self.route.begin_round();
                    self.state = State::Choosing;
                }
                State::Choosing => self.choose(),
                State::Connecting(_, opening) => {
                    let opened = opening.await;
                    self.opened(opened);
                }
                State::Streaming { target, heard, stream, seek, .. } => {
                    let (client, request, route, cursor) =
                        (&self.client, &self.request, &self.route, &self.cursor);
                    let begin = || {
                        let is_silent = cursor.has_heard() && heard.elapsed() >= OVERDUE_AFTER;
                        (is_silent || !cursor.is_from_leader()).then(|| {
                            let route = route.leader_only(is_silent.then_some(&target.endpoint));
                            let (cluster, after) = (cursor.cluster(), cursor.revision());
                            seek::search(client.clone(), request.clone(), route, cluster, after)
                        })
                    };
                    tokio::select! {
                        received = stream.next() => self.received(received),
                        found = seek.next(begin), if route.wants_leader() => self.change_over(found),
                    }
                }
            }
        }
    }

    /// The last revision up to which everything has been told, or what the watch began with.
    pub fn revision(&self) -> Option<Revision> {
        self.cursor.revision()
    }

    /// Whose history this is, once a member has said so.
    pub fn cluster_id(&self) -> Option<ClusterId> {
        self.cursor.cluster()
    }

    fn choose(&mut self) {
        self.state = match self.route.next() {
            None => State::Waiting(Instant::now() + self.backoff.next()),
            Some(target) => {
                let request = self.request.build(&self.client, &target, self.cursor.revision());
                State::Connecting(target, Box::pin(stream::open(self.client.wire().clone(), request)))
            }
        };
    }

    fn opened(&mut self, opened: Result<Stream, OpenFailed>) {
        let State::Connecting(target, _) = std::mem::replace(&mut self.state, State::Choosing) else {
            return;
        };
        match opened {
            Ok(stream) => self.begin(target, stream),
            Err(OpenFailed::Redirected(leader)) => {
                let names = format!("it names {leader} as the leader, after others named others");
                if !self.route.redirected(leader) {
                    self.report(target.endpoint, DisconnectReason::Unavailable(names));
                }
            }
            Err(OpenFailed::NotConnected(reason)) => {
                self.route.unreachable(&target);
                self.report(target.endpoint, DisconnectReason::Connection(reason));
            }
            Err(OpenFailed::Other(reason)) => self.report(target.endpoint, reason),
        }
    }

    /// Listens to this stream from now on.
    fn begin(&mut self, target: Target, stream: Stream) {
        let stale = self.request.is_stale(&target);
        self.cursor.begin_stream(target.endpoint.clone(), target.ask_leader, stale);
        let (now, stream) = (Instant::now(), Box::new(stream));
        self.state = State::Streaming { target, since: now, heard: now, stream, seek: Seek::new() };
    }

    /// Leaves the present stream for the leader's, which may tell some of it again.
    fn change_over(&mut self, Found { target, stream, first }: Found) {
        self.begin(target, stream);
        self.received(Ok(first));
    }

    fn received(&mut self, received: Result<FeedEvent, DisconnectReason>) {
        let State::Streaming { target, heard, .. } = &mut self.state else { return };
        *heard = Instant::now();
        let told = match received {
            Ok(FeedEvent::Leader(event)) => self.cursor.leader(&event).and_then(|()| {
                self.route.leader_is(event.leader.as_ref());
                Err(DisconnectReason::LeaderLost(event))
            }),
            Ok(FeedEvent::Bookmark(event)) => {
                self.route.leader_is(event.leader.as_ref());
                self.cursor.bookmark(event)
            }
            Ok(FeedEvent::Snapshot(event)) => self.cursor.snapshot(event),
            Ok(FeedEvent::Change(event)) => self.cursor.change(event),
            Err(reason) => Err(reason),
        };
        match told {
            Err(reason) => self.ended(reason),
            Ok(events) => {
                for event in events {
                    match event {
                        WatchEvent::Connected(_) => self.route.connected(target),
                        _ => self.backoff.ease(FAILURES_AFTER_DELIVERY),
                    }
                    self.ready.push_back(event);
                }
            }
        }
    }

    /// The stream is over.
    fn ended(&mut self, reason: DisconnectReason) {
        let State::Streaming { target, since, .. } = std::mem::replace(&mut self.state, State::Choosing)
        else {
            return;
        };
        if since.elapsed() >= STEADY_AFTER {
            self.backoff.reset();
        }
        match reason {
            DisconnectReason::Gap { .. } | DisconnectReason::Unreadable(_) => self.cursor.forget_revision(),
            // Another endpoint may be of the right cluster, or further.
            DisconnectReason::ForeignCluster { .. } | DisconnectReason::Behind { .. } => {
                return self.report(target.endpoint, reason);
            }
            _ => {}
        }
        let at_once = matches!(reason, DisconnectReason::LeaderLost(_)) && self.backoff.is_fresh();
        let wait = self.backoff.next();
        self.state = State::Waiting(if at_once { Instant::now() } else { Instant::now() + wait });
        self.report(target.endpoint, reason);
    }

    fn report(&mut self, endpoint: Endpoint, reason: DisconnectReason) {
        tracing::debug!(%endpoint, %reason, "watch disconnected");
        self.ready.push_back(WatchEvent::Disconnected(Disconnected { endpoint, reason }));
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("cursor", &self.cursor)
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}
