//! What happens in a run, from outside of the members: clients work, faults come and go, all members
//! are to agree in the end.
//!
//! The clients, the watchers and the workloads are those of the runs with real processes.

use std::sync::Arc;
use std::time::Duration;

use jepsen_tests::harness::{Api, within};
use jepsen_tests::history::{Happened, Record, StateRecord, Timers};
use jepsen_tests::run::{Clients, DRAIN_LIMIT, Recorder, look_after, state, write_on};
use jepsen_tests::workload;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::faults::Faults;
use crate::net::{API_PORT, Requests, host};
use crate::sdk::Users;
use crate::world::World;

/// The cluster forms within this time, and all members are ready within it after the last fault.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// After the last fault all clients go on for this time. Whether the cluster recovers shows a single one that
/// writes until it has: it may take a while, and what many do in it costs most of a simulation.
const AFTERMATH: Duration = Duration::from_secs(3);
/// When nobody writes any more, all members have the same state within this time.
const AGREEMENT_LIMIT: Duration = Duration::from_secs(30);
/// All watchers have been told of the last revision within this time after that.
const WATCH_LIMIT: Duration = Duration::from_secs(25);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A member that is looked at has this long to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// All of a run, in simulated time, beside the time of the faults.
pub(crate) const REST_LIMIT: Duration = Duration::from_secs(180);

/// What a run is to be.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// How long faults and clients are at work.
    pub(crate) lasts: Duration,
    /// Names of the workloads.
    pub(crate) workloads: Vec<&'static str>,
    /// Whether links, machines and clocks have faults.
    pub(crate) faults: FaultKinds,
    /// The timers of the members.
    pub(crate) timers: Timers,
}

/// Which faults there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FaultKinds {
    /// Partitions, slow and lossy links.
    pub(crate) links: bool,
    /// Kills, power cuts, pauses.
    pub(crate) machines: bool,
    /// Clocks that jump.
    pub(crate) clocks: bool,
    /// Members that come and go.
    pub(crate) membership: bool,
}

/// What a run came to, beside what the history tells.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// What was noted.
    pub(crate) records: Vec<Record>,
    /// What went wrong.
    pub(crate) problems: Vec<String>,
}

/// Plays a run.
pub(crate) async fn play(world: World, script: Script, mut rng: fastrand::Rng) -> Ended {
    let recorder = Recorder::new();
    let apis: Vec<_> = world
        .machines
        .iter()
        .map(|machine| {
            let address = format!("{}:{API_PORT}", host(machine.id()));
            Api::over(Arc::new(Requests), machine.id(), &address, None)
        })
        .collect();
    for id in world.joined() {
        recorder.note_life(&process(id), Happened::Started);
    }
    let mut stage = Stage { world, recorder, apis, problems: Vec::new() };
    if stage.become_ready("after the start").await {
        stage.work(&script, &mut rng).await;
    }
    Ended { records: stage.recorder.take(), problems: stage.problems }
}

fn process(member: u64) -> String {
    format!("member {member}")
}

struct Stage {
    world: World,
    recorder: Recorder,
    apis: Vec<Api>,
    problems: Vec<String>,
}

impl Stage {
    async fn work(&mut self, script: &Script, rng: &mut fastrand::Rng) {
        let mut clients = Clients::new(
            self.apis.clone(),
            String::new(),
            self.recorder.clone(),
            script.timers,
            std::path::PathBuf::new(),
            rng.fork(),
        );
        let stop_monitors = CancellationToken::new();
        let monitors: Vec<JoinHandle<()>> = self
            .apis
            .iter()
            .map(|api| tokio::spawn(look_after(api.clone(), self.recorder.clone(), stop_monitors.clone())))
            .collect();
        clients.watch(&[]);
        let wanted = workload::all().into_iter().filter(|entry| script.workloads.contains(&entry.name));
        let tasks: Vec<JoinHandle<Result<(), String>>> =
            wanted.map(|entry| tokio::task::spawn_local((entry.make)().run(clients.clone()))).collect();

        let mut users = Users::start(&clients, &mut rng.fork());

        let (probe, over) = (clients.client(), CancellationToken::new());
        self.disturb(script, rng).await;
        let recovered = async {
            sleep(AFTERMATH).await;
            clients.stop.cancel();
            for task in tasks {
                match timeout(DRAIN_LIMIT, task).await {
                    Ok(Ok(Ok(()))) => {}
                    other => self.problems.push(format!("a workload did not end well: {other:?}")),
                }
            }
            self.become_ready("after the last fault").await;
            self.problems.extend(users.settle().await);
            over.cancel();
        };
        tokio::join!(recovered, write_on(probe, &clients, &over));
        // Two who read at the same time may be answered in another order.
        stop_monitors.cancel();
        for monitor in monitors {
            self.problems.extend(monitor.await.err().map(|error| format!("a monitor ended: {error}")));
        }
        let states = self.last_states().await;
        let revision = states.iter().map(|state| state.revision).max().unwrap_or(0);
        if let Some(last) = states.iter().max_by_key(|state| state.revision) {
            self.problems.extend(users.end(last).await);
        }
        states.into_iter().for_each(|state| self.recorder.note(Record::State(state)));
        self.problems.extend(clients.end_watching(revision, WATCH_LIMIT).await.err());
        self.note_the_ended();
    }

    async fn disturb(&mut self, script: &Script, rng: &mut fastrand::Rng) {
        let end = Instant::now() + script.lasts;
        let kinds = script.faults;
        let mut lane = |number| Faults {
            world: self.world.clone(),
            recorder: self.recorder.clone(),
            rng: rng.fork(),
            number,
            step: 4,
        };
        let (links, machines, clocks, membership) = (lane(1), lane(2), lane(3), lane(4));
        let noted = async {
            while Instant::now() < end {
                sleep(LOOK_EVERY).await;
                self.note_the_ended();
            }
        };
        tokio::join!(
            async {
                if kinds.links {
                    links.of_links(end).await;
                }
            },
            async {
                if kinds.machines {
                    machines.of_machines(end).await;
                }
            },
            async {
                if kinds.clocks {
                    clocks.of_clocks(end).await;
                }
            },
            async {
                if kinds.membership {
                    membership.of_membership(end).await;
                }
            },
            noted,
        );
    }

    /// A program that ended by itself is noted, and not started again: no fault here is a reason for
    /// it, so the run has failed.
    fn note_the_ended(&self) {
        for machine in &self.world.machines {
            if let Some(how) = machine.take_ended() {
                let happened = Happened::Ended { how, is_expected: false };
                self.recorder.note_life(&process(machine.id()), happened);
            }
        }
    }

    async fn become_ready(&mut self, when: &str) -> bool {
        let all_ready = within(READY_LIMIT, async || {
            for api in self.joined() {
                if !api.with_limit(ANSWER_LIMIT).is_ready().await {
                    tracing::debug!(member = api.member, "is not ready {when}");
                    return None;
                }
            }
            Some(())
        });
        let in_time = all_ready.await.is_some();
        self.note_the_ended();
        if !in_time {
            self.problems.push(format!("{when} the members were not all ready within {READY_LIMIT:?}"));
        }
        in_time
    }

    /// The APIs of those that belong to the cluster.
    fn joined(&self) -> Vec<&Api> {
        let joined = self.world.joined();
        self.apis.iter().filter(|api| joined.contains(&api.member)).collect()
    }

    async fn last_states(&mut self) -> Vec<StateRecord> {
        let began = Instant::now();
        loop {
            let mut states = Vec::new();
            for api in self.joined() {
                states.extend(state(&api.with_limit(ANSWER_LIMIT), &self.recorder).await);
            }
            let states: Vec<_> =
                states.into_iter().map(|state| StateRecord { is_final: true, ..state }).collect();
            let agree = states.windows(2).all(|pair| pair[0].revision == pair[1].revision);
            if agree && states.len() == self.joined().len() {
                return states;
            }
            if began.elapsed() > AGREEMENT_LIMIT {
                let revisions: Vec<_> = states.iter().map(|state| (state.member, state.revision)).collect();
                self.problems.push(format!(
                    "{AGREEMENT_LIMIT:?} after the last write the members were at different revisions: {revisions:?}"
                ));
                return states;
            }
            sleep(LOOK_EVERY).await;
        }
    }
}
