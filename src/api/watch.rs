//! `/api/upstream/watch`: the change feed as a stream of server-sent events.
//!
//! The stream is pulled: hyper asks for the next event when the socket has taken the last ones, so a
//! subscriber that reads slowly stays behind in the feed's ring, and falls out of it, instead of
//! filling this member's memory.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use axum::response::Response;
use futures_util::stream;
use kenger_cluster::{FeedItem, Leadership, Subscription};
use kenger_types::feed::{BookmarkEvent, LeaderEvent};
use kenger_types::{ClusterId, ErrorCode, Revision};
use tokio::sync::{OwnedSemaphorePermit, watch as channel};
use tokio::time::Instant;

use super::auth::Caller;
use super::error::{self, Failure};
use super::query::Query;
use super::{Api, cluster, feed};

/// An idle stream tells this often how far the feed has come.
const BOOKMARK_EVERY: Duration = Duration::from_secs(5);

/// Tells nothing, and keeps a connection busy (HTML standard, "Server-sent events").
const COMMENT: Bytes = Bytes::from_static(b":\n\n");

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells nginx not to hold events back.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What has to be so for a stream to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Terms {
    /// The member leads (`from=leader`).
    Leads,
    /// The member hears from a leader.
    HasLeader,
    /// Nothing (`consistency=stale`).
    Stale,
}

impl Terms {
    fn are_met(self, leadership: &Leadership) -> bool {
        match self {
            Terms::Leads => leadership.is_leader,
            Terms::HasLeader => leadership.leader.is_some(),
            Terms::Stale => true,
        }
    }
}

/// Opens a stream.
pub(super) async fn watch(
    State(api): State<Api>,
    caller: Caller,
    uri: Uri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let known = ["ns", "from", "consistency", "since", "last_event_id"];
    let query = Query::parse(query.as_deref(), &known)?;
    let filter = caller.filter(query.namespaces()?)?;
    let after = cursor(&query, &headers)?;
    let terms = match (query.choice("from", "any", "leader")?, query.is_stale()?) {
        (false, false) => Terms::HasLeader,
        (true, false) => Terms::Leads,
        (false, true) => Terms::Stale,
        (true, true) => {
            return Err(Failure::invalid(
                "consistency",
                "the leader's feed is never stale; leave out from or this",
            ));
        }
    };
    if terms == Terms::Leads
        && let Some(elsewhere) = leader_elsewhere(&api, &uri)?
    {
        return Ok(elsewhere);
    }
    let place = api.gates().watcher()?;
    // Before subscribing: a cursor ahead of a follower that lags must not pass for a foreign one.
    api.barrier(terms == Terms::Stale).await?;
    let cluster_id = api.cluster_id()?;
    let subscription = api.member().subscribe(after, filter);
    let stream = Stream {
        cluster_id,
        leadership: api.member().leadership_changes(),
        subscription,
        terms,
        progress: Progress::Begin,
        told: Revision(0),
        bookmark_due: Instant::now() + BOOKMARK_EVERY,
        held_back: None,
        api: api.clone(),
        _place: place,
    };
    Ok(cluster::mark_stale(&api, terms == Terms::Stale, response(stream)))
}

/// The last revision that the subscriber has: `Last-Event-ID`, as browsers send it when they come
/// back, or a parameter for people with curl.
fn cursor(query: &Query, headers: &HeaderMap) -> Result<Option<Revision>, Failure> {
    if let Some(value) = headers.get(LAST_EVENT_ID) {
        let text = value.to_str().unwrap_or("");
        return text.parse().map(Some).map_err(|e| Failure::invalid("Last-Event-ID", e));
    }
    match (query.value("since")?, query.value("last_event_id")?) {
        (Some(_), Some(_)) => {
            Err(Failure::invalid("since", "is the same as last_event_id; give one of them"))
        }
        (since, last_event_id) => Ok(since.or(last_event_id)),
    }
}

/// The redirect to the leader, if it is another member.
fn leader_elsewhere(api: &Api, uri: &Uri) -> Result<Option<Response>, Failure> {
    let leadership = api.member().leadership();
    if leadership.is_leader {
        return Ok(None);
    }
    let leader = leadership.leader.filter(|leader| leader.id != api.member().id()).ok_or_else(|| {
        Failure::new(ErrorCode::NoLeader, "no leader is known; try again, or ask another member")
    })?;
    let path_and_query = uri.path_and_query().map_or("/", |path_and_query| path_and_query.as_str());
    let location = HeaderValue::try_from(format!("http://{}{path_and_query}", leader.api)).map_err(|e| {
        Failure::new(ErrorCode::Internal, format!("the leader's address {:?}: {e}", leader.api))
    })?;
    Ok(Some(error::elsewhere(location)))
}

fn response(stream: Stream) -> Response {
    let events = stream::unfold(stream, |mut stream| async move {
        let event = stream.next().await?;
        Some((Ok::<_, Infallible>(event), stream))
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Nothing has been told; the first event is a snapshot or a bookmark.
    Begin,
    /// A snapshot has been told, but not yet who tells, and who leads.
    Unnamed,
    /// The subscriber has not been told yet that it is up to date.
    CatchingUp,
    /// It has; from here on it hears of changes, and of quiet.
    Following,
    /// The last event has been told.
    Ended,
}

/// One subscriber's stream.
struct Stream {
    api: Api,
    cluster_id: ClusterId,
    subscription: Subscription,
    leadership: channel::Receiver<Leadership>,
    terms: Terms,
    progress: Progress,
    /// The id of the last event.
    told: Revision,
    bookmark_due: Instant,
    /// Came first, and has to wait for the bookmark that is to come before it.
    held_back: Option<FeedItem>,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.progress == Progress::Ended {
                return None;
            }
            if self.progress == Progress::Unnamed {
                self.progress = Progress::CatchingUp;
                return Some(self.bookmark_at(self.told));
            }
            if let Some(item) = self.held_back.take() {
                if let Some(event) = self.tell(item).await {
                    return Some(event);
                }
                continue;
            }
            tokio::select! {
                biased;
                reason = broken(&self.api, &mut self.leadership, self.terms) => return Some(self.end(reason)),
                item = self.subscription.next() => match item {
                    Ok(item) => if let Some(event) = self.tell(item).await { return Some(event) },
                    // Too slow, or the state was replaced: the client comes back and gets a snapshot.
                    Err(end) => {
                        tracing::debug!(?end, revision = %self.told, "a watch stream ends");
                        return None;
                    }
                },
                () = tokio::time::sleep_until(self.bookmark_due) => return Some(self.sign_of_life()),
            }
        }
    }

    async fn tell(&mut self, item: FeedItem) -> Option<Bytes> {
        if self.progress == Progress::Begin {
            if matches!(item, FeedItem::Snapshot(_)) {
                self.progress = Progress::Unnamed;
            } else {
                self.progress = Progress::CatchingUp;
                // Where the subscriber is, and in whose history; what is missing follows.
                let after = self.after_of(&item);
                self.held_back = Some(item);
                return Some(self.bookmark_at(after));
            }
        }
        match item {
            FeedItem::Snapshot(item) => {
                let cluster_id = self.cluster_id;
                let event =
                    item.encoded(move |state, filter| feed::snapshot(cluster_id, state, filter)).await;
                Some(self.told(item.revision(), event))
            }
            FeedItem::Event(event) => {
                let encoded = feed::change(&event, self.subscription.filter());
                Some(self.told(event.revision, encoded))
            }
            FeedItem::UpToDate(revision) => {
                let is_news = self.progress == Progress::CatchingUp && revision > self.told;
                self.progress = Progress::Following;
                is_news.then(|| self.bookmark_at(revision))
            }
        }
    }

    /// The revision before the first item, for the bookmark that goes ahead of it.
    fn after_of(&self, first: &FeedItem) -> Revision {
        match first {
            // Events that the filter does not want have been passed over.
            FeedItem::Event(event) => Revision(event.revision.0.saturating_sub(1)),
            FeedItem::UpToDate(revision) => *revision,
            FeedItem::Snapshot(item) => item.revision(),
        }
    }

    /// What an idle stream tells: how far the feed has come, once the subscriber knows where it began.
    fn sign_of_life(&mut self) -> Bytes {
        if self.progress == Progress::Begin {
            self.bookmark_due = Instant::now() + BOOKMARK_EVERY;
            return COMMENT;
        }
        self.bookmark_at(self.subscription.revision())
    }

    fn bookmark_at(&mut self, revision: Revision) -> Bytes {
        let event = feed::bookmark(&BookmarkEvent {
            cluster_id: self.cluster_id,
            revision,
            member_id: self.api.member().id(),
            leader: self.api.member().leadership().leader,
        });
        self.told(revision, event)
    }

    fn told(&mut self, revision: Revision, event: Bytes) -> Bytes {
        self.told = revision;
        self.bookmark_due = Instant::now() + BOOKMARK_EVERY;
        event
    }

    fn end(&mut self, reason: &str) -> Bytes {
        self.progress = Progress::Ended;
        feed::leader(&LeaderEvent {
            cluster_id: self.cluster_id,
            reason: reason.to_owned(),
            leader: self.leadership.borrow().leader.clone(),
        })
    }
}

/// Waits until the stream's terms are not met any more; says why. Cancel-safe.
async fn broken(api: &Api, leadership: &mut channel::Receiver<Leadership>, terms: Terms) -> &'static str {
    let lost = async {
        if leadership.wait_for(|now| !terms.are_met(now)).await.is_err() {
            // The member has ended; so does the feed.
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        () = api.stopping().cancelled() => "the member is stopping",
        () = lost => match terms {
            Terms::Leads => "the member does not lead any more",
            Terms::HasLeader | Terms::Stale => "the member does not hear from a leader any more",
        },
    }
}
