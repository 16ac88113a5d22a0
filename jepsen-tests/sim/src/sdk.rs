//! Services and gateways as the registry sees them: the real SDK keeps nodes registered, and follows the
//! leader's feed, over the simulation's network.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use jepsen_tests::harness::Failed;
use jepsen_tests::history::StateRecord;
use jepsen_tests::observe::Replica;
use jepsen_tests::run::Clients;
use kenger_sdk::{
    Arriving, BoxFuture, Chunks, Client, KeepOptions, Phase, Registration, RegistrationStatus, Transport,
    TransportError, WatchEvent, WatchOptions,
};
use kenger_types::api::NodeRegister;
use kenger_types::{Metadata, Node, NodeStatus, Weight};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::net;
use crate::noting::Noting;

const SUBSCRIBERS: u64 = 2;
/// Where the SDK's nodes are.
const NAMESPACE: &str = "sdk";
/// Services that keep their nodes registered to the end.
const STEADY: u16 = 2;
/// Services that stop before the last state is read, and take their nodes with them.
const LEAVING: u16 = 1;
/// When all members are ready, each of these nodes is known again within this time: longer than the SDK
/// waits between two tries, and than it takes to find a member that answers.
const KEPT_LIMIT: Duration = Duration::from_secs(20);
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
    services: Vec<Service>,
}

/// A node that the SDK keeps registered.
struct Service {
    port: u16,
    is_leaving: bool,
    registration: Registration,
    ttl: Duration,
}

/// What a subscriber knows.
#[derive(Default)]
struct Follower {
    replica: Replica,
    problem: Option<String>,
}

impl Users {
    /// Begins; everybody asks the members in an order of his own.
    pub(crate) fn start(clients: &Clients, rng: &mut fastrand::Rng) -> Self {
        let addresses: Vec<_> = clients.apis.iter().map(|api| api.url.clone()).collect();
        let mut client = |transport: Arc<dyn Transport>| {
            let mut addresses = addresses.clone();
            rng.shuffle(&mut addresses);
            // Not the ten seconds of the default: a node is offline long before.
            let client = Client::builder().endpoints(addresses).timeout(CALL_LIMIT);
            let client = client.transport(transport).build();
            (client.expect("addresses of members"), rng.u64(..))
        };
        let subscribers = (0..SUBSCRIBERS).map(|_| {
            let (client, seed) = client(Arc::new(Wire));
            let follower: Arc<Mutex<Follower>> = Arc::default();
            let task = tokio::spawn(follow(client, seed, Arc::clone(&follower)));
            (follower, task)
        });
        let subscribers = subscribers.collect();
        let services = (1..=STEADY + LEAVING).map(|port| {
            let (client, seed) = client(Noting::new(clients));
            let options = KeepOptions { seed: Some(seed), ..KeepOptions::default() };
            let registration = client.register_and_keep(node(port), options);
            let ttl = Duration::from_micros(clients.timers.node_ttl);
            Service { port, is_leaving: port > STEADY, registration, ttl }
        });
        let services = services.collect();
        Self { subscribers, services }
    }

    /// Waits until each node is known again, and lets those leave that are to. Answers what is wrong.
    pub(crate) async fn settle(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        for service in &self.services {
            let mut status = service.registration.status();
            if timeout(KEPT_LIMIT, status.wait_for(|status| service.is_kept(status))).await.is_err() {
                let status = status.borrow().clone();
                problems.push(format!(
                    "{KEPT_LIMIT:?} after all members were ready the registry did not know service {}: {status:?}",
                    service.port
                ));
            }
        }
        let (leaving, staying) = std::mem::take(&mut self.services).into_iter().partition(|it| it.is_leaving);
        self.services = staying;
        for Service { port, registration, .. } in leaving as Vec<_> {
            let left = registration.stop().await;
            problems.extend(left.err().map(|error| format!("service {port} did not leave: {error}")));
        }
        problems
    }

    /// Judges them by the last state of the members, and ends them. Answers what is wrong.
    pub(crate) async fn end(self, last: &StateRecord) -> Vec<String> {
        let mut problems: Vec<_> = self.services.iter().filter_map(|service| service.problem(last)).collect();
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

impl Service {
    /// Whether the registry said so, not longer ago than it takes a node to go offline.
    fn is_kept(&self, status: &RegistrationStatus) -> bool {
        let is_recent = |at: Instant| at.elapsed() < self.ttl;
        status.phase == Phase::Registered && status.confirmed_at.is_some_and(is_recent)
    }

    /// What is wrong with its node at the end, when nothing has kept it from being alive for a while.
    fn problem(&self, last: &StateRecord) -> Option<String> {
        let is_it = |node: &&Node| node.ns.as_str() == NAMESPACE && node.port.get() == self.port;
        match last.nodes.iter().find(is_it) {
            Some(node) if node.status == NodeStatus::Online => None,
            other => Some(format!("in the end service {} was alive and its node was {other:?}", self.port)),
        }
    }
}

fn node(port: u16) -> NodeRegister {
    NodeRegister {
        ns: NAMESPACE.parse().expect("a name"),
        host: "service".parse().expect("a host"),
        port: i64::from(port).try_into().expect("a port"),
        weight: Weight::default(),
        health_path: None,
        metadata: Metadata::default(),
        ttl_seconds: None,
        if_revision: None,
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
