//! The way of a change to traffic: from its acknowledgement to the last request that a gateway still
//! routes by the old weights.
//!
//! Two services live in this process. `old` has a weight of 10000 that is taken from it and given
//! back, `new` has 1 all the time; so what `old` answers after its weight is gone was routed by the
//! old table, and what it does not answer before is one request of ten thousand. A gateway is asked
//! over one connection, without a pause, while a change is under way, and not at all otherwise.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use kenger_sdk::{Endpoint, NodeQuery};
use kenger_types::api::{NodeAddress, NodeRegister, NodeWeight, path};
use kenger_types::{Host, Invalid, Metadata, Weight};
use tokio::net::TcpListener;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

use super::Bench;
use super::connection::{Connection, Outcome, Prepared, Preparer, plain};
use super::members::Members;
use super::report::Report;
use super::run::{self, Lane, Latencies, Limits, latencies};
use super::workload;
use crate::failure::Failure;

/// What is asked for: here the services tell who they are. Elsewhere, where they are checked, both
/// are well.
const WHO_PATH: &str = "/who";
const OLD: u16 = 200;
const NEW: u16 = 202;

const OLD_WEIGHT: i64 = 10_000;
const NEW_WEIGHT: i64 = 1;
/// Nobody sends heartbeats for the nodes.
const TTL_SECONDS: i64 = 86_400;
/// So many answers of `new` in a row are no coincidence: that has a chance of 10000 to the minus 20th.
const ANSWERS_THAT_SETTLE: u32 = 20;
/// How long all gateways have to know the services, and each of them has to follow a change.
const PATIENCE: Duration = Duration::from_secs(15);
/// Before a gateway that does not know the services yet is asked again.
const PAUSE: Duration = Duration::from_millis(20);
const FILL_CLIENTS: u32 = 64;

/// What is to be done.
pub(super) struct Load {
    pub(super) gateways: Vec<Endpoint>,
    /// Further nodes of weight 0.
    pub(super) nodes: u32,
    pub(super) changes: u32,
}

/// The namespace is deleted at the end: it must not be one that somebody uses.
pub(super) async fn refuse_foreign_nodes(bench: &Bench<'_>) -> Result<(), Failure> {
    let query = NodeQuery { ns: Some(bench.ns.clone()), ..NodeQuery::default() };
    match bench.client.nodes(&query).await {
        Ok(answer) if answer.data.is_empty() => Ok(()),
        Ok(answer) => Err(Failure::Usage(format!(
            "--ns: {:?} has {} nodes already; this benchmark needs a namespace of its own",
            bench.ns,
            answer.data.len()
        ))),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn run(bench: &Bench<'_>, members: &Members<'_>, load: Load) -> Result<Report, Failure> {
    LocalSet::new().run_until(measure(bench, members, load)).await
}

async fn measure(bench: &Bench<'_>, members: &Members<'_>, load: Load) -> Result<Report, Failure> {
    // The services end with this value.
    let mut services = JoinSet::new();
    let old = register(bench, serve(OLD, &mut services).await?, OLD_WEIGHT).await?;
    register(bench, serve(NEW, &mut services).await?, NEW_WEIGHT).await?;
    fill(bench, load.nodes).await?;

    let mut askers: Vec<Asker> = load.gateways.iter().map(Asker::new).collect::<Result<_, _>>()?;
    // A thousand nodes at once keep gateways busy for a while: told apart from a change in quiet times.
    let mut burst = Found::new()?;
    askers = there_and_back(bench, &old, askers, &mut burst).await?;

    let before = members.read().await;
    let began = Instant::now();
    let mut found = Found { failed: burst.failed, ..Found::new()? };
    for _ in 0..load.changes {
        askers = there_and_back(bench, &old, askers, &mut found).await?;
    }
    let elapsed = began.elapsed();
    let spent = members.read().await.since(&before);
    let mut report = Report::new(
        "route",
        u64::from(load.changes),
        elapsed,
        "from the acknowledgement to the last request by the old weights",
        &found.latencies,
        &spent,
        found.failed,
    );
    report.setting = BTreeMap::from([
        ("gateways", load.gateways.len() as u64),
        ("nodes", u64::from(load.nodes) + 2),
        ("changes", u64::from(load.changes)),
    ]);
    report.also = BTreeMap::from([
        ("ms_of_the_slowest_gateway_just_after_all_nodes_came", burst.latencies.max() as f64 / 1_000.0),
        ("requests", found.requests as f64),
        ("routed_anew_before_the_acknowledgement", found.at_once as f64),
    ]);
    Ok(report)
}

/// What all changes came to.
struct Found {
    latencies: Latencies,
    /// Gateways that followed before the change was acknowledged.
    at_once: u64,
    requests: u64,
    failed: BTreeMap<String, u64>,
}

impl Found {
    fn new() -> Result<Self, Failure> {
        Ok(Self { latencies: latencies()?, at_once: 0, requests: 0, failed: BTreeMap::new() })
    }
}

/// One measured change, and the way back, when all gateways have followed.
async fn there_and_back(
    bench: &Bench<'_>,
    old: &NodeAddress,
    mut askers: Vec<Asker>,
    found: &mut Found,
) -> Result<Vec<Asker>, Failure> {
    for asker in &mut askers {
        asker.wait_for_old().await?;
    }
    let askers = change(bench, old, askers, found).await?;
    set_weight(bench, old, OLD_WEIGHT).await?;
    Ok(askers)
}

/// Takes the old service's weight from it while all gateways are asked.
async fn change(
    bench: &Bench<'_>,
    old: &NodeAddress,
    askers: Vec<Asker>,
    found: &mut Found,
) -> Result<Vec<Asker>, Failure> {
    let acknowledged = Rc::new(Cell::new(None));
    let mut asking = JoinSet::new();
    for asker in askers {
        asking.spawn_local(asker.ask(Rc::clone(&acknowledged)));
    }
    set_weight(bench, old, 0).await?;
    let at = Instant::now();
    acknowledged.set(Some(at));
    let mut askers = Vec::with_capacity(asking.len());
    while let Some(ended) = asking.join_next().await {
        let (asker, asked) = ended.map_err(|error| Failure::Other(error.to_string()))?;
        let late = asked.last_by_old.map_or(Duration::ZERO, |sent| sent.saturating_duration_since(at));
        found.requests += asked.requests;
        found.at_once += u64::from(late.is_zero());
        found.latencies.saturating_record(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
        for reason in asked.failed {
            *found.failed.entry(reason).or_default() += 1;
        }
        askers.push(asker);
    }
    Ok(askers)
}

/// One gateway's connection.
struct Asker {
    gateway: Endpoint,
    connection: Connection,
    request: Prepared,
}

/// What one gateway answered during one change.
#[derive(Default)]
struct Asked {
    /// When the last request was sent that the old service answered.
    last_by_old: Option<Instant>,
    requests: u64,
    failed: Vec<String>,
}

impl Asker {
    fn new(gateway: &Endpoint) -> Result<Self, Failure> {
        let request = plain(gateway, WHO_PATH, None)?;
        Ok(Self { gateway: gateway.clone(), connection: Connection::new(gateway), request })
    }

    /// Waits until the gateway routes to the old service.
    async fn wait_for_old(&mut self) -> Result<(), Failure> {
        let asking = async {
            while self.connection.send(self.request.clone()).await != Outcome::Answered(OLD) {
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.map_err(|_| {
            Failure::Unhealthy(format!("{} does not route to a node of the benchmark", self.gateway))
        })
    }

    /// Asks until the gateway has followed the change.
    async fn ask(mut self, acknowledged: Rc<Cell<Option<Instant>>>) -> (Self, Asked) {
        let asked = RefCell::new(Asked::default());
        let asking = async {
            let mut in_a_row = 0;
            while in_a_row < ANSWERS_THAT_SETTLE {
                let sent = Instant::now();
                let outcome = self.connection.send(self.request.clone()).await;
                let is_acknowledged = acknowledged.get().is_some();
                let has_failed = {
                    let mut asked = asked.borrow_mut();
                    asked.requests += 1;
                    match outcome {
                        Outcome::Answered(OLD) => {
                            asked.last_by_old = Some(sent);
                            in_a_row = 0;
                        }
                        Outcome::Answered(NEW) => in_a_row += u32::from(is_acknowledged),
                        Outcome::Answered(status) => {
                            asked.failed.push(format!("HTTP {status} of a gateway"));
                        }
                        Outcome::Broken(reason) => asked.failed.push(format!("a gateway: {reason}")),
                    }
                    matches!(outcome, Outcome::Broken(_) | Outcome::Answered(400..))
                };
                if has_failed {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        let settled = tokio::time::timeout(PATIENCE, asking).await;
        let mut asked = asked.into_inner();
        if settled.is_err() {
            asked.failed.push(format!("a gateway that did not follow within {} s", PATIENCE.as_secs()));
        }
        (self, asked)
    }
}

/// A service that says who it is by the status of its answer, so that nobody has to read a body.
async fn serve(who: u16, services: &mut JoinSet<()>) -> Result<u16, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let answer = move |request: Request<Incoming>| async move {
        let mut response = Response::new(Empty::<Bytes>::new());
        if request.uri().path() == WHO_PATH
            && let Ok(status) = who.try_into()
        {
            *response.status_mut() = status;
        }
        Ok::<_, Infallible>(response)
    };
    services.spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let http = hyper::server::conn::http1::Builder::new();
            let connection = http.serve_connection(TokioIo::new(stream), service_fn(answer));
            tokio::task::spawn_local(async move {
                // A gateway closes its connections when it likes.
                let _ = connection.await;
            });
        }
    });
    Ok(port)
}

async fn register(bench: &Bench<'_>, port: u16, weight: i64) -> Result<NodeAddress, Failure> {
    let invalid = |Invalid(why)| Failure::Other(why);
    let host: Host = "127.0.0.1".parse().map_err(invalid)?;
    let address =
        NodeAddress { ns: bench.ns.clone(), host, port: i64::from(port).try_into().map_err(invalid)? };
    bench.client.register(&registration(address.clone(), weight)?).await?;
    Ok(address)
}

fn registration(address: NodeAddress, weight: i64) -> Result<NodeRegister, Failure> {
    let invalid = |Invalid(why)| Failure::Other(why);
    let NodeAddress { ns, host, port } = address;
    Ok(NodeRegister {
        ns,
        host,
        port,
        weight: Weight::try_from(weight).map_err(invalid)?,
        health_path: None,
        metadata: Metadata::default(),
        ttl_seconds: Some(TTL_SECONDS.try_into().map_err(invalid)?),
        if_revision: None,
    })
}

/// Registers the nodes that are never picked.
async fn fill(bench: &Bench<'_>, nodes: u32) -> Result<(), Failure> {
    let mut lanes = Vec::new();
    for (lane, endpoint) in (0..FILL_CLIENTS.min(nodes)).zip(bench.client.endpoints().iter().cycle()) {
        let preparer = Preparer::new(endpoint, bench.token)?;
        let own = (lane..nodes).step_by(FILL_CLIENTS.min(nodes) as usize);
        let requests = own
            .map(|n| {
                preparer
                    .post(path::NODE_REGISTER, &registration(workload::refusing_address(&bench.ns, n)?, 0)?)
            })
            .collect::<Result<Vec<_>, Failure>>()?;
        lanes.push(Lane { endpoint: endpoint.clone(), requests: Box::new(requests.into_iter()), pace: None });
    }
    let limits = Limits {
        duration: None,
        operations: Some(u64::from(nodes)),
        per_request: 1,
        show_progress: bench.show_progress,
        what: "registering nodes",
    };
    run::run(lanes, &limits).await?.all_registered(u64::from(nodes))
}

async fn set_weight(bench: &Bench<'_>, node: &NodeAddress, weight: i64) -> Result<(), Failure> {
    let weight = weight.try_into().map_err(|Invalid(why)| Failure::Other(why))?;
    let NodeAddress { ns, host, port } = node.clone();
    bench.client.set_weight(&NodeWeight { ns, host, port, weight: Some(weight), if_revision: None }).await?;
    Ok(())
}
