//! The loop in simulated time, against a registry that answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use kenger_types::{ApiError, ErrorCode, NodeStatus, Revision, Timestamp};

use super::super::Registration;
use super::*;
use crate::Failure;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Called {
    Register,
    Heartbeat,
    Deregister,
}

/// How a call goes.
#[derive(Clone)]
enum Outcome {
    Fine,
    Fails(Error),
    /// Answers after this long.
    Slow(Duration),
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<FakeState>>);

#[derive(Default)]
struct FakeState {
    started: Option<Instant>,
    /// When each call arrived, in milliseconds since the first.
    calls: Vec<(u128, Called)>,
    /// What the next calls get; fine when there is nothing.
    script: VecDeque<Outcome>,
    ttl_seconds: u32,
    conditions: Vec<Option<Revision>>,
}

impl Fake {
    fn new(ttl_seconds: u32, script: impl IntoIterator<Item = Outcome>) -> Self {
        let fake = Self::default();
        fake.with(|state| {
            state.ttl_seconds = ttl_seconds;
            state.script.extend(script);
        });
        fake
    }

    fn with<T>(&self, run: impl FnOnce(&mut FakeState) -> T) -> T {
        run(&mut self.0.lock().unwrap())
    }

    async fn call(&self, called: Called) -> Result<u32, Error> {
        let (outcome, ttl_seconds) = self.with(|state| {
            let started = *state.started.get_or_insert_with(Instant::now);
            state.calls.push((started.elapsed().as_millis(), called));
            (state.script.pop_front().unwrap_or(Outcome::Fine), state.ttl_seconds)
        });
        match outcome {
            Outcome::Fine => Ok(ttl_seconds),
            Outcome::Fails(error) => Err(error),
            Outcome::Slow(time) => {
                tokio::time::sleep(time).await;
                Ok(ttl_seconds)
            }
        }
    }

    fn calls(&self) -> Vec<(u128, Called)> {
        self.with(|state| state.calls.clone())
    }

    fn kinds(&self) -> Vec<Called> {
        self.calls().into_iter().map(|(_, called)| called).collect()
    }
}

impl Registry for Fake {
    async fn register(&self, node: &NodeRegister, _: Duration) -> Result<Node, Error> {
        self.with(|state| state.conditions.push(node.if_revision));
        self.call(Called::Register).await?;
        Ok(Node {
            id: kenger_types::NodeId(1),
            ns: node.ns.clone(),
            host: node.host.clone(),
            port: node.port,
            weight: node.weight,
            registered_weight: node.weight,
            health_path: None,
            status: NodeStatus::Online,
            metadata: node.metadata.clone(),
            ttl_seconds: node.ttl_seconds,
            last_heartbeat: None,
            created_at: Timestamp::from_unix_ms(0),
            updated_at: Timestamp::from_unix_ms(0),
            mod_revision: Revision(1),
        })
    }

    async fn heartbeat(&self, _: &NodeAddress, _: Duration) -> Result<HeartbeatAck, Error> {
        let ttl_seconds = self.call(Called::Heartbeat).await?;
        Ok(HeartbeatAck { status: NodeStatus::Online, ttl_seconds })
    }

    async fn deregister(&self, _: &NodeDeregister) -> Result<(), Error> {
        self.call(Called::Deregister).await.map(drop)
    }
}

fn node(ttl_seconds: Option<u32>) -> NodeRegister {
    NodeRegister {
        ns: "demo".parse().unwrap(),
        host: "127.0.0.1".parse().unwrap(),
        port: 8080.try_into().unwrap(),
        weight: Default::default(),
        health_path: None,
        metadata: Default::default(),
        ttl_seconds: ttl_seconds.map(|seconds| i64::from(seconds).try_into().unwrap()),
        if_revision: None,
    }
}

fn refused(code: ErrorCode) -> Outcome {
    let endpoint = "127.0.0.1:1".parse().unwrap();
    Outcome::Fails(Error::Refused { endpoint, error: ApiError::new(code, "so it is") })
}

fn unavailable() -> Outcome {
    let endpoint = "127.0.0.1:1".parse().unwrap();
    Outcome::Fails(Error::Unavailable {
        failures: vec![Failure { endpoint, code: None, reason: "down".to_owned() }],
    })
}

fn steady() -> KeepOptions {
    KeepOptions { jitter: 0.0, seed: Some(1), ..KeepOptions::default() }
}

async fn run_for(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn heartbeats_come_three_times_in_the_nodes_time_to_live() {
    let fake = Fake::new(30, []);
    let _registration = Registration::start(fake.clone(), node(Some(30)), steady());
    run_for(35).await;
    assert_eq!(
        fake.calls(),
        [
            (0, Called::Register),
            (10_000, Called::Heartbeat),
            (20_000, Called::Heartbeat),
            (30_000, Called::Heartbeat)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_without_a_time_to_live_of_its_own_learns_the_clusters_soon() {
    let fake = Fake::new(3, []);
    let registration = Registration::start(fake.clone(), node(None), steady());
    run_for(3).await;
    assert_eq!(
        fake.calls(),
        [
            (0, Called::Register),
            (500, Called::Heartbeat),
            (1_500, Called::Heartbeat),
            (2_500, Called::Heartbeat)
        ]
    );
    assert_eq!(registration.status().borrow().ttl, Some(Duration::from_secs(3)));
}

#[tokio::test(start_paused = true)]
async fn waits_are_jittered_by_a_tenth_and_repeatable() {
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let fake = Fake::new(30, []);
        let options = KeepOptions { seed: Some(seed), ..KeepOptions::default() };
        let _registration = Registration::start(fake.clone(), node(Some(30)), options);
        run_for(300).await;
        let times: Vec<u128> = fake.calls().into_iter().map(|(at, _)| at).collect();
        for pair in times.windows(2) {
            assert!((9_000..=11_000).contains(&(pair[1] - pair[0])), "{pair:?}");
        }
        runs.push(times);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test(start_paused = true)]
async fn an_interval_that_would_lose_the_node_is_shortened() {
    let fake = Fake::new(30, []);
    let options = KeepOptions { interval: Some(Duration::from_secs(60)), ..steady() };
    let _registration = Registration::start(fake.clone(), node(Some(30)), options);
    run_for(20).await;
    assert_eq!(fake.calls(), [(0, Called::Register), (15_000, Called::Heartbeat)]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_heartbeat_is_repeated_long_before_the_next_one_is_due() {
    let fake = Fake::new(30, [Outcome::Fine, unavailable(), unavailable(), unavailable()]);
    let registration = Registration::start(fake.clone(), node(Some(30)), steady());
    tokio::time::sleep(Duration::from_millis(10_050)).await;
    assert_eq!(registration.status().borrow().failures, 1);
    run_for(3).await;
    let calls = fake.calls();
    assert_eq!(calls.len(), 5, "{calls:?}");
    assert!(calls[4].0 < 12_000, "{calls:?}");
    let status = registration.status().borrow().clone();
    assert_eq!((status.failures, status.registrations, status.phase), (0, 1, Phase::Registered));
    assert!(status.last_error.is_none());
}

#[tokio::test(start_paused = true)]
async fn retries_of_a_registry_that_stays_away_are_bounded_below_and_above() {
    let fake = Fake::new(30, std::iter::repeat_n(unavailable(), 1_000));
    let _registration = Registration::start(fake.clone(), node(Some(30)), steady());
    run_for(600).await;
    let times: Vec<u128> = fake.calls().into_iter().map(|(at, _)| at).collect();
    for pair in times.windows(2) {
        assert!((100..=2_500).contains(&(pair[1] - pair[0])), "{pair:?}");
    }
    assert!(times.last().unwrap() > &597_000);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_the_registry_has_forgotten_is_registered_again_at_once() {
    let script = [Outcome::Fine, refused(ErrorCode::NodeNotFound), unavailable()];
    let fake = Fake::new(30, script);
    let mut wanted = node(Some(30));
    wanted.if_revision = Some(Revision(0));
    let registration = Registration::start(fake.clone(), wanted, steady());
    run_for(12).await;
    use Called::*;
    assert_eq!(fake.kinds(), [Register, Heartbeat, Register, Register]);
    assert_eq!(fake.calls()[2].0, 10_000);
    assert_eq!(registration.status().borrow().registrations, 2);
    assert_eq!(fake.with(|state| state.conditions.clone()), [Some(Revision(0)), None, None]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_told_and_tried_again_without_hurry() {
    let fake = Fake::new(30, std::iter::repeat_n(refused(ErrorCode::Unauthenticated), 2));
    let registration = Registration::start(fake.clone(), node(Some(30)), steady());
    let error = registration.registered().await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::Unauthenticated));
    run_for(25).await;
    assert_eq!(fake.calls(), [(0, Called::Register), (10_000, Called::Register), (20_000, Called::Register)]);
    registration.registered().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn registered_waits_for_a_registry_that_is_down_at_first() {
    let fake = Fake::new(30, [unavailable(), unavailable()]);
    let registration = Registration::start(fake.clone(), node(None), steady());
    assert_eq!(registration.status().borrow().phase, Phase::Registering);
    registration.registered().await.unwrap();
    assert_eq!(fake.kinds(), [Called::Register; 3]);
}

#[tokio::test(start_paused = true)]
async fn stop_ends_the_wait_and_deregisters() {
    let fake = Fake::new(30, []);
    let registration = Registration::start(fake.clone(), node(Some(30)), steady());
    registration.registered().await.unwrap();
    let status = registration.status();
    registration.stop().await.unwrap();
    assert_eq!(fake.calls(), [(0, Called::Register), (0, Called::Deregister)]);
    assert_eq!(status.borrow().phase, Phase::Stopped);
    run_for(60).await;
    assert_eq!(fake.calls().len(), 2, "nothing is sent after the end");
}

#[tokio::test(start_paused = true)]
async fn stop_waits_for_the_registration_under_way_before_it_deregisters() {
    let fake = Fake::new(30, [Outcome::Slow(Duration::from_secs(2))]);
    let registration = Registration::start(fake.clone(), node(Some(30)), steady());
    run_for(1).await;
    registration.stop().await.unwrap();
    assert_eq!(fake.calls(), [(0, Called::Register), (2_000, Called::Deregister)]);
}

#[tokio::test(start_paused = true)]
async fn stop_is_bounded_when_the_registry_hangs() {
    let fake = Fake::new(30, [Outcome::Fine, Outcome::Slow(Duration::from_secs(3_600))]);
    let registration = Registration::start(fake.clone(), node(Some(30)), steady());
    registration.registered().await.unwrap();
    let before = Instant::now();
    let error = registration.stop().await.unwrap_err();
    assert!(matches!(error, Error::StopTimedOut(_)), "{error}");
    assert_eq!(before.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_gone_already_counts_as_deregistered() {
    let fake = Fake::new(30, [Outcome::Fine, refused(ErrorCode::NodeNotFound)]);
    let registration = Registration::start(fake.clone(), node(Some(30)), steady());
    registration.registered().await.unwrap();
    registration.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn dropping_the_handle_ends_the_heartbeats_and_does_not_deregister() {
    let fake = Fake::new(30, []);
    drop({
        let registration = Registration::start(fake.clone(), node(Some(30)), steady());
        registration.registered().await.unwrap();
        registration
    });
    run_for(60).await;
    assert_eq!(fake.kinds(), [Called::Register]);
}
