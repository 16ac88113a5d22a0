//! One run from its beginning to its end, on the thread and in the network that it was given.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::{JoinError, JoinHandle, JoinSet, LocalSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::arena::{Arena, Setup, process};
use super::clients::Clients;
use super::monitor;
use super::plan::{Plan, floor_of, timers};
use super::probe::write_on;
use super::schedule::Schedule;
use super::{DRAIN_LIMIT, Shared};
use crate::harness::Api;
use crate::history::{Floor, Happened, Record, Run, StateRecord};
use crate::nemesis::Nemesis;
use crate::workload::Workload;

/// After the last fault clients go on for this time, so that it shows whether the cluster recovers.
const AFTERMATH: Duration = Duration::from_secs(6);
/// After the last fault every member is ready within this time.
const RECOVERY_LIMIT: Duration = Duration::from_secs(45);
/// When nobody writes any more, all members have the same state within this time. Nodes that are not
/// heard from any more are still being deleted in it.
const AGREEMENT_LIMIT: Duration = Duration::from_secs(40);
/// All watchers have been told of the last revision within this time after that: longer than one of
/// them stays with a stream that is silent.
const WATCH_LIMIT: Duration = Duration::from_secs(25);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// In a run of so many seconds one fault is to take hold at least.
const SECONDS_PER_FAULT: u64 = 20;

/// Why a run did not get to its end.
#[derive(Debug)]
pub(super) enum Stopped {
    /// This machine lacks something that it needs; it has not begun.
    Lacks(String),
    /// Something of the harness failed.
    Failed(String),
}

/// Makes the run that `plan` says; what happens is noted in `shared` all the time, so that nothing is
/// lost with it. Answers what went wrong beside what the history tells.
pub(super) async fn run(plan: &Plan, shared: &Shared) -> Result<Vec<String>, Stopped> {
    let mut rng = fastrand::Rng::with_seed(plan.seed);
    let mut setup = Setup {
        settings: plan.settings(),
        folder: plan.folder.clone(),
        network: plan.backend.network(plan).map_err(Stopped::Lacks)?,
    };
    let mut nemeses = plan.nemeses();
    let mut workloads = plan.workloads();
    for (name, nemesis) in &mut nemeses {
        nemesis.prepare(&mut setup).await.map_err(|reason| Stopped::Lacks(format!("{name}: {reason}")))?;
    }
    workloads.iter_mut().for_each(|workload| workload.prepare(&mut setup));
    let timers = timers(&setup.settings);
    shared.describe(Run {
        command: plan.command(),
        seed: plan.seed,
        workloads: plan.workloads.clone(),
        nemeses: plan.nemeses.clone(),
        members: plan.members,
        timers,
        floor: floor(plan, &workloads, &nemeses),
        began_unix_ms: Some(shared.began_unix_ms),
    });

    shared.stage("the members start");
    let Setup { settings, folder, mut network } = setup;
    let cluster = network.start(settings).await;
    let recorder = shared.recorder.clone();
    for id in cluster.ids() {
        recorder.note_life(&process(id), Happened::Started);
    }
    let clients = Clients::new(
        cluster.apis(),
        cluster.settings().token.clone(),
        recorder.clone(),
        timers,
        folder.clone(),
        rng.fork(),
    );
    let arena_rng = rng.fork();
    let mut arena = Arena {
        cluster,
        network,
        recorder,
        rng: arena_rng,
        folder,
        may_end: Vec::new(),
        dark: Vec::new(),
        damaged: Vec::new(),
        lost: Vec::new(),
        unexpected: 0,
    };
    let mut schedule = Schedule::new(nemeses, timers, &mut rng);
    LocalSet::new()
        .run_until(play(plan, shared, &mut arena, &mut schedule, workloads, clients))
        .await
        .map_err(Stopped::Failed)
}

fn floor(plan: &Plan, workloads: &[Box<dyn Workload>], nemeses: &[(String, Box<dyn Nemesis>)]) -> Floor {
    let seconds = plan.time_limit.as_secs();
    let of_workloads: Vec<_> = workloads.iter().map(|workload| workload.floor(seconds)).collect();
    let mut of_nemeses: Vec<_> = nemeses.iter().map(|(_, nemesis)| nemesis.floor(seconds)).collect();
    if !nemeses.is_empty() {
        of_nemeses.push(Floor { faults: (seconds / SECONDS_PER_FAULT).max(1), ..Floor::default() });
    }
    floor_of(&of_workloads, &of_nemeses)
}

/// Everything that happens while the members run.
async fn play(
    plan: &Plan,
    shared: &Shared,
    arena: &mut Arena,
    schedule: &mut Schedule,
    workloads: Vec<Box<dyn Workload>>,
    mut clients: Clients,
) -> Result<Vec<String>, String> {
    let stop_monitors = CancellationToken::new();
    let monitors: Vec<JoinHandle<()>> = clients
        .apis
        .iter()
        .map(|api| {
            tokio::spawn(monitor::look_after(api.clone(), arena.recorder.clone(), stop_monitors.clone()))
        })
        .collect();
    clients.watch_steadily();
    clients.watchers_have_begun(WATCH_LIMIT).await?;
    let mut tasks = JoinSet::new();
    for workload in workloads {
        tasks.spawn_local(workload.run(clients.clone()));
    }

    let probe = clients.client();
    let mut problems = Vec::new();
    shared.stage("at work");
    let faults_and_recovery = async {
        schedule.run(arena, Instant::now() + plan.time_limit).await;
        shared.stage("recovers");
        let over = CancellationToken::new();
        let recovered = async {
            let problem = recover(arena).await;
            over.cancel();
            problem
        };
        tokio::join!(recovered, write_on(probe, &clients, &over)).0
    };
    tokio::select! {
        problem = faults_and_recovery => problems.extend(problem),
        reason = first_failure(&mut tasks) => return Err(reason),
    }
    shared.stage("the clients stop");
    clients.stop.cancel();
    let drained = timeout(DRAIN_LIMIT, async {
        while let Some(ended) = tasks.join_next().await {
            outcome_of_workload(ended)?;
        }
        Ok(())
    });
    drained.await.unwrap_or_else(|_| Err(format!("a workload does not stop within {DRAIN_LIMIT:?}")))?;
    shared.stage("the last state is read");
    let (states, problem) = last_states(arena, &clients.apis).await;
    problems.extend(problem);
    let revision = states.iter().map(|state| state.revision).max().unwrap_or(0);
    states.into_iter().for_each(|state| arena.recorder.note(Record::State(state)));
    problems.extend(clients.end_watching(revision, WATCH_LIMIT).await.err());
    stop_monitors.cancel();
    for monitor in monitors {
        monitor.await.map_err(|error| format!("a monitor ended: {error}"))?;
    }
    shared.stage("the members stop");
    arena.look_after_members();
    for id in arena.cluster.running() {
        arena.stop(id).await;
    }
    if arena.recorder.tally().faults == 0 {
        problems.extend(std::mem::take(&mut schedule.refusals));
    }
    Ok(problems)
}

/// Waits until a workload fails, for ever if none does.
async fn first_failure(tasks: &mut JoinSet<Result<(), String>>) -> String {
    while let Some(ended) = tasks.join_next().await {
        if let Err(reason) = outcome_of_workload(ended) {
            return reason;
        }
    }
    std::future::pending().await
}

fn outcome_of_workload(ended: Result<Result<(), String>, JoinError>) -> Result<(), String> {
    ended.map_err(|error| format!("a workload ended: {error}"))?
}

/// Waits until every member is ready after the last fault, and then for the aftermath.
async fn recover(arena: &mut Arena) -> Option<String> {
    let began = Instant::now();
    let mut unready;
    loop {
        arena.look_after_members();
        arena.start_missing();
        let apis = arena.cluster.apis();
        let ready = join_all(
            apis.iter().map(|api| async { api.with_limit(Duration::from_secs(3)).is_ready().await }),
        );
        unready = std::iter::zip(arena.ids(), ready.await)
            .filter(|(id, ready)| !ready && !arena.lost.contains(id))
            .map(|(id, _)| id)
            .collect::<Vec<_>>();
        if unready.is_empty() || began.elapsed() > RECOVERY_LIMIT {
            break;
        }
        sleep(LOOK_EVERY).await;
    }
    let over = Instant::now() + AFTERMATH;
    while Instant::now() < over {
        sleep(LOOK_EVERY).await;
        arena.look_after_members();
    }
    let what =
        || format!("{RECOVERY_LIMIT:?} after the last fault these members were not ready: {unready:?}");
    (!unready.is_empty()).then(what)
}

/// Reads all members until they agree, or should have.
async fn last_states(arena: &mut Arena, apis: &[Api]) -> (Vec<StateRecord>, Option<String>) {
    let apis: Vec<_> = apis.iter().map(|api| api.with_limit(Duration::from_secs(3))).collect();
    let began = Instant::now();
    loop {
        arena.look_after_members();
        let there: Vec<_> = apis.iter().filter(|api| !arena.lost.contains(&api.member)).collect();
        let read = join_all(there.iter().map(|api| monitor::state(api, &arena.recorder))).await;
        let states: Vec<_> =
            read.into_iter().flatten().map(|state| StateRecord { is_final: true, ..state }).collect();
        let agree = states.windows(2).all(|pair| pair[0].revision == pair[1].revision);
        if agree && states.len() == there.len() {
            return (states, None);
        }
        if began.elapsed() > AGREEMENT_LIMIT {
            let revisions: Vec<_> = states.iter().map(|state| (state.member, state.revision)).collect();
            let what = format!(
                "{AGREEMENT_LIMIT:?} after the last write the members were at different revisions: {revisions:?}"
            );
            return (states, Some(what));
        }
        sleep(LOOK_EVERY).await;
    }
}
