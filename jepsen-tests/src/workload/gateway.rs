//! A real gateway in front of real services, while services come, change their weight, go and die.
//!
//! One that goes stops listening only when it is known to be deregistered and some time has passed; one
//! that dies just does. Others are there all the time and requests can be repeated, so none has a reason
//! to fail, whatever happens to the members.

mod service;

use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use nix::sys::signal::Signal;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::service::Service;
use super::{Workload, pause};
use crate::harness::{Process, kenger_command};
use crate::history::{Answer, Floor, Happened, Key, Outcome, Proxied, Record};
use crate::run::{Client, Clients};

const NAMESPACE: &str = "web";
/// Services that stay.
const ANCHORS: usize = 2;
/// Services that come and go.
const FICKLE: usize = 3;
/// Clients of the gateway.
const ASKERS: usize = 2;
/// Between two requests of one of them, in milliseconds.
const ASK_MS: std::ops::Range<u64> = 5..35;
/// A request that takes longer has failed.
const ASK_LIMIT: Duration = Duration::from_secs(5);
const BEAT_MS: std::ops::Range<u64> = 700..1_000;
const RETRY_MS: std::ops::Range<u64> = 50..200;
/// How long a service that comes and goes stays.
const LIFE_MS: std::ops::Range<u64> = 4_000..12_000;
/// A service goes on answering for this time after it is known to be deregistered: its gateway may be
/// waiting for a new leader, and what is in flight has to end.
const LEAVE_AFTER: Duration = Duration::from_secs(8);
/// One of so many services that go does not deregister: it is dead, and what it was at is broken off.
const DEATH_ONCE_IN: u32 = 3;
const WEIGHTS: [u32; 6] = [0, 0, 1, 50, 100, 300];
/// The gateway is up and has a node to pass requests on to within this time.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// It ends within this time after it was asked to.
const STOP_LIMIT: Duration = Duration::from_secs(10);
const NAME: &str = "gateway 1";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Gateway;

impl Workload for Gateway {
    fn floor(&self, seconds: u64) -> Floor {
        // A service that came when nobody led may never have been registered, so nothing is said about
        // single keys.
        Floor { acknowledged: seconds, proxied: 5 * seconds, ..Floor::default() }
    }

    fn run(self: Box<Self>, mut clients: Clients) -> LocalBoxFuture<'static, Result<(), String>> {
        Box::pin(async move {
            let mut services = JoinSet::new();
            let all_asked = CancellationToken::new();
            for _ in 0..ANCHORS {
                let client = clients.client();
                services.spawn(stay(client, clients.clone(), all_asked.clone()));
            }
            let mut gateway = Running::start(&clients).await?;
            for _ in 0..FICKLE {
                let client = clients.client();
                services.spawn(come_and_go(client, clients.clone(), all_asked.clone()));
            }
            let mut askers = JoinSet::new();
            for _ in 0..ASKERS {
                askers.spawn(ask(gateway.url.clone(), clients.fork_rng(), clients.clone()));
            }
            while !clients.stop.is_cancelled() {
                pause(&mut clients.fork_rng(), BEAT_MS, &clients).await;
                gateway.look(&clients)?;
            }
            super::join_all(askers).await?;
            all_asked.cancel();
            super::join_all(services).await?;
            gateway.stop(&clients).await
        })
    }
}

/// The gateway's process.
struct Running {
    process: Process,
    url: String,
}

impl Running {
    async fn start(clients: &Clients) -> Result<Self, String> {
        let (port, admin) = (free_port()?, free_port()?);
        let registry: Vec<_> = clients.apis.iter().map(|api| api.url.clone()).collect();
        let mut command = kenger_command();
        command
            .arg("gateway")
            .args(["--registry", &registry.join(",")])
            .args(["--listen", &format!("127.0.0.1:{port}={NAMESPACE}")])
            .args(["--admin", &format!("127.0.0.1:{admin}")])
            .args([
                "--health-interval",
                "1s",
                "--health-timeout",
                "900ms",
                "--workers",
                "1",
                "--shutdown-grace",
                "2s",
            ])
            .arg("--cache-file")
            .arg(clients.folder.join("gateway-1.cache"))
            .env("KENGER_GATEWAY_TOKEN", &clients.token);
        let process = Process::start(NAME, &mut command, &clients.folder.join("gateway-1.log"), None);
        clients.recorder.note_life(NAME, Happened::Started);
        let mut running = Self { process, url: format!("http://127.0.0.1:{port}/") };
        let http = reqwest::Client::builder().no_proxy().timeout(ASK_LIMIT).build().unwrap();
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            running.look(clients)?;
            let answer = http.get(&running.url).send().await;
            if answer.is_ok_and(|answer| answer.status().as_u16() == 200) {
                clients.recorder.note_life(NAME, Happened::Ready);
                return Ok(running);
            }
            if Instant::now() >= deadline || clients.stop.is_cancelled() {
                return Err(format!("{NAME} passes nothing on after {READY_LIMIT:?}"));
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// It has no reason to end.
    fn look(&mut self, clients: &Clients) -> Result<(), String> {
        let Some(status) = self.process.ended() else { return Ok(()) };
        let how = format!("{status}; {}", self.process.log_tail());
        clients.recorder.note_life(NAME, Happened::Ended { how, is_expected: false });
        Err(format!("{NAME} ended by itself: {status}"))
    }

    async fn stop(mut self, clients: &Clients) -> Result<(), String> {
        self.process.signal(Signal::SIGTERM);
        let deadline = Instant::now() + STOP_LIMIT;
        let status = loop {
            if let Some(status) = self.process.ended() {
                break status;
            }
            if Instant::now() >= deadline {
                return Err(format!("{NAME} was asked to stop and has not after {STOP_LIMIT:?}"));
            }
            sleep(Duration::from_millis(50)).await;
        };
        let how = format!("asked to stop: {status}");
        clients.recorder.note_life(NAME, Happened::Ended { how, is_expected: true });
        if status.success() {
            Ok(())
        } else {
            Err(format!("{NAME} was asked to stop and ended with {status}"))
        }
    }
}

/// A port that nobody listens on at the moment.
fn free_port() -> Result<u16, String> {
    let found = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    found.map(|address| address.port()).map_err(|error| format!("no free port: {error}"))
}

/// A service that is there from the beginning to the end.
async fn stay(mut client: Client, clients: Clients, all_asked: CancellationToken) -> Result<(), String> {
    let service = Service::start().await?;
    let key = key(&service);
    beat_until(&mut client, &key, &clients, None).await;
    all_asked.cancelled().await;
    Ok(())
}

async fn come_and_go(
    mut client: Client,
    clients: Clients,
    all_asked: CancellationToken,
) -> Result<(), String> {
    let mut leaving = JoinSet::new();
    while !clients.stop.is_cancelled() {
        let service = Service::start().await?;
        let key = key(&service);
        let life = Duration::from_millis(client.rng().u64(LIFE_MS));
        let dies = client.rng().u32(..DEATH_ONCE_IN) == 0;
        let name = format!("node {}:{}", key.host, key.port);
        clients.recorder.note_life(&name, Happened::Started);
        beat_until(&mut client, &key, &clients, Some(Instant::now() + life)).await;
        if dies && !clients.stop.is_cancelled() {
            clients.recorder.note_life(&name, Happened::Killed);
            drop(service);
            continue;
        }
        while !clients.stop.is_cancelled() {
            match client.deregister(&key, None).await {
                Outcome::Done(_) | Outcome::Rejected(_) => break,
                _ => pause(client.rng(), RETRY_MS, &clients).await,
            }
        }
        let all_asked = all_asked.clone();
        leaving.spawn(async move {
            tokio::select! {
                () = sleep(LEAVE_AFTER) => {}
                () = all_asked.cancelled() => {}
            }
            drop(service);
            Ok(())
        });
    }
    super::join_all(leaving).await
}

/// Registers, and says that it is alive; one that is to go changes its weight now and then.
async fn beat_until(client: &mut Client, key: &Key, clients: &Clients, until: Option<Instant>) {
    let mut is_registered = false;
    while !clients.stop.is_cancelled() && until.is_none_or(|until| Instant::now() < until) {
        let outcome = if !is_registered {
            client.register(key, 100, clients.next_value(), None, None).await
        } else if until.is_some() && client.rng().u32(..3) == 0 {
            let weight = WEIGHTS[client.rng().usize(..WEIGHTS.len())];
            client.set_weight(key, Some(weight), None).await
        } else {
            client.heartbeat(key).await
        };
        match outcome {
            Outcome::Done(_) => {
                is_registered = true;
                pause(client.rng(), BEAT_MS, clients).await;
            }
            Outcome::Rejected(Answer::Absent) => is_registered = false,
            _ => pause(client.rng(), RETRY_MS, clients).await,
        }
    }
}

fn key(service: &Service) -> Key {
    Key { ns: NAMESPACE.to_owned(), host: "127.0.0.1".to_owned(), port: service.port() }
}

/// Sends requests through the gateway.
async fn ask(url: String, mut rng: fastrand::Rng, clients: Clients) -> Result<(), String> {
    let http = reqwest::Client::builder().no_proxy().build().map_err(|error| error.to_string())?;
    while !clients.stop.is_cancelled() {
        let called = clients.recorder.now();
        let answer = timeout(ASK_LIMIT, http.get(&url).send()).await;
        let returned = clients.recorder.now();
        let (status, node, error) = match answer {
            Err(_) => (None, None, Some(format!("no answer within {ASK_LIMIT:?}"))),
            Ok(Err(error)) => (None, None, Some(error.to_string())),
            Ok(Ok(answer)) => {
                let node = answer.headers().get(service::ANSWERED_BY);
                let node = node.and_then(|node| node.to_str().ok()).map(str::to_owned);
                let status = answer.status().as_u16();
                let error = if node.is_none() { answer.text().await.ok() } else { None };
                (Some(status), node, error)
            }
        };
        clients.recorder.note(Record::Proxied(Proxied { called, returned, gateway: 1, status, node, error }));
        pause(&mut rng, ASK_MS, &clients).await;
    }
    Ok(())
}
