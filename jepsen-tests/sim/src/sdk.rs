//! Gateways as the registry sees them: the real SDK follows the leader's feed over the simulation's
//! network.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use jepsen_tests::harness::Failed;
use jepsen_tests::history::StateRecord;
use jepsen_tests::observe::Replica;
use kenger_sdk::{Arriving, BoxFuture, Chunks, Client, Transport, TransportError, WatchEvent, WatchOptions};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::net;

const SUBSCRIBERS: u64 = 2;
/// A subscriber knows the last state within this time: longer than one takes to give up a silent
/// stream, and to find another one.
const FOLLOW_LIMIT: Duration = Duration::from_secs(40);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A call takes no longer, with all members that it tries. Well under the time to live, of which the
/// rest is needed to try again.
const CALL_LIMIT: Duration = Duration::from_millis(1_500);

/// Sends the SDK's requests.
struct Wire;

impl Transport for Wire {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Arriving, TransportError>> {
        Box::pin(async {
            let arriving = net::send(request).await.map_err(|failed| match failed {
                Failed::Unreached => TransportError::NotConnected("no connection".to_owned()),
                Failed::Lost(reason) => TransportError::Lost(reason),
            })?;
            let status = StatusCode::from_u16(arriving.status).expect("hyper has read a status");
            Ok(Arriving { status, headers: arriving.headers, body: Box::new(Body(arriving.body)) })
        })
    }
}

struct Body(Box<dyn jepsen_tests::harness::Chunks>);

impl Chunks for Body {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, TransportError>> {
        Box::pin(async { self.0.next().await.transpose().map_err(TransportError::Lost) })
    }
}

/// Users of the SDK at work.
pub(crate) struct Users {
    subscribers: Vec<(Arc<Mutex<Follower>>, JoinHandle<()>)>,
}

/// What a subscriber knows.
#[derive(Default)]
struct Follower {
    replica: Replica,
    problem: Option<String>,
}

impl Users {
    /// Begins, with clients of the members at these addresses.
    pub(crate) fn start(addresses: &[String], rng: &mut fastrand::Rng) -> Self {
        let mut client = || {
            let mut addresses = addresses.to_vec();
            rng.shuffle(&mut addresses);
            // Not the ten seconds of the default: a node is offline long before.
            let client = Client::builder().endpoints(addresses).timeout(CALL_LIMIT);
            let client = client.transport(Arc::new(Wire)).build();
            (client.expect("addresses of members"), rng.u64(..))
        };
        let subscribers = (0..SUBSCRIBERS).map(|_| {
            let (client, seed) = client();
            let follower: Arc<Mutex<Follower>> = Arc::default();
            let task = tokio::spawn(follow(client, seed, Arc::clone(&follower)));
            (follower, task)
        });
        let subscribers = subscribers.collect();
        Self { subscribers }
    }

    /// Judges them by the last state of the members, and ends them. Answers what is wrong.
    pub(crate) async fn end(self, last: &StateRecord) -> Vec<String> {
        let mut problems = Vec::new();
        let expected = Replica::of(last.revision, &last.namespaces, &last.nodes);
        for (number, (follower, task)) in self.subscribers.into_iter().enumerate() {
            let told = async {
                while !knows(&follower, last.revision) {
                    sleep(LOOK_EVERY).await;
                }
            };
            let in_time = timeout(FOLLOW_LIMIT, told).await.is_ok();
            task.abort();
            let follower = follower.lock().unwrap_or_else(PoisonError::into_inner);
            let problem = follower.problem.clone().or_else(|| {
                // One that is ahead by now has been told of something that came after the last state.
                let is_ahead = follower.replica.revision > last.revision;
                let differs = follower.replica.difference(&expected);
                if in_time {
                    differs.filter(|_| !is_ahead)
                } else {
                    Some("it was not told in time".to_owned())
                }
            });
            problems.extend(problem.map(|problem| format!("subscriber {number}: {problem}")));
        }
        problems
    }
}

fn knows(follower: &Mutex<Follower>, revision: u64) -> bool {
    let follower = follower.lock().unwrap_or_else(PoisonError::into_inner);
    follower.problem.is_some() || follower.replica.revision >= revision
}

/// Takes what the feed tells, as a gateway does.
async fn follow(client: Client, seed: u64, follower: Arc<Mutex<Follower>>) {
    let options =
        WatchOptions { from_leader: true, stale: true, seed: Some(seed), ..WatchOptions::default() };
    let mut watch = client.watch(options).expect("no filter is too long");
    loop {
        let event = watch.next().await;
        let mut follower = follower.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            WatchEvent::Snapshot(snapshot) => {
                if snapshot.revision.0 < follower.replica.revision {
                    let (then, now) = (follower.replica.revision, snapshot.revision);
                    follower.problem.get_or_insert(format!("a snapshot of {now} came after {then}"));
                }
                follower.replica.replace(snapshot);
            }
            WatchEvent::Change(change) => {
                if let Err(problem) = follower.replica.apply(change) {
                    follower.problem.get_or_insert(problem);
                }
            }
            WatchEvent::Connected(_) | WatchEvent::Bookmark(_) | WatchEvent::Disconnected(_) => {}
        }
    }
}
