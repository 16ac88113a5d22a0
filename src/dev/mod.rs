//! `kenger dev`: a whole system on one machine, for trying out and for developing services against.
//!
//! Three members, a gateway and two versions of a demo service, each a process of its own, so that one
//! can be killed and started again. Only this process knows all of them; the parts are told apart by
//! nothing but their configuration, as in production.

mod crew;
pub(crate) mod demo_service;
mod directory;
mod error;
pub(crate) mod healthcheck;
mod parts;
mod ports;
mod ready;
mod screen;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crew::Crew;
use directory::Directory;
use error::DevError;
use parts::{Part, Stage};
use ports::Ports;

/// The token of the original system's examples. It protects nothing, on loopback.
const TOKEN: &str = "defaultToken";
/// The namespace of the demo services.
const NAMESPACE: &str = "demo";
/// The longest that a stage of the start may take.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Run three members, a gateway and two demo services on this machine, to try Kenger out.
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Keep everything in this directory, and go on from what it holds; otherwise everything lies in a
    /// temporary directory that is removed at the end.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The first member's API port; all other ports lie at fixed distances from it: members at +0,
    /// +100, +200, their peers one above, demo services at +2001 and +2002, the gateway's admin API at
    /// +3081, the gateway at +13080.
    #[arg(long, value_name = "PORT", default_value_t = Ports::DEFAULT_BASE, value_parser = clap::value_parser!(u16).range(1024..=Ports::MAX_BASE))]
    port_base: u16,
    /// Show what the parts log, too.
    #[arg(long, short)]
    verbose: bool,
}

/// Runs everything until Ctrl-C, SIGTERM or SIGHUP.
pub(crate) fn run(args: &DevArgs) -> ExitCode {
    // Everything happens on this thread: the kernel ends the parts when the *thread* ends that started
    // them, and this one lives as long as the process.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run_system(args)),
        Err(error) => Err(DevError::Io { doing: "starting the runtime".to_owned(), error }),
    };
    match outcome {
        Ok(()) => ExitCode::from(kenger::exit::OK),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

async fn run_system(args: &DevArgs) -> Result<(), DevError> {
    let mut stop = StopSignals::new()?;
    let ports = Ports::new(args.port_base);
    ports.check_free()?;
    let directory = Directory::open(args.data_dir.as_deref(), ports)?;
    let parts = parts::plan(&directory, ports)?;
    let mut crew = Crew::new(args.verbose);

    let outcome = tokio::select! {
        outcome = serve(&mut crew, parts, ports) => outcome,
        () = stop.next() => Ok(()),
    };
    eprintln!("\nstopping …");
    let stopped = tokio::select! {
        () = crew.stop() => true,
        () = stop.next() => false,
    };
    if !stopped {
        crew.kill().await;
    }
    if let Some(kept) = directory.close(reason_to_keep(&outcome, ports).as_deref()) {
        eprintln!("{kept}");
    }
    outcome
}

/// Why a temporary directory must stay: somebody wants to read its logs, or a part that was started again
/// by hand, and belongs to whoever did that, still works in it.
fn reason_to_keep(outcome: &Result<(), DevError>, ports: Ports) -> Option<String> {
    if outcome.is_err() {
        return Some("the logs may say more".to_owned());
    }
    let running: Vec<String> = ports.taken().into_iter().map(|(_, purpose, _)| purpose).collect();
    (!running.is_empty()).then(|| format!("still running, started elsewhere: {}", running.join(", ")))
}

/// Starts everything, says so, and watches. Ends only with an error, or by being dropped.
async fn serve(crew: &mut Crew, parts: Vec<Part>, ports: Ports) -> Result<(), DevError> {
    let started = Instant::now();
    let progress = screen::Progress::new();
    for stage in [Stage::Members, Stage::Services, Stage::Gateway] {
        progress.say(stage.waiting_for());
        for part in parts.iter().filter(|part| part.stage == stage) {
            crew.start(part.clone())?;
        }
        let ready = tokio::time::timeout(READY_TIMEOUT, ready::wait(stage, ports));
        tokio::select! {
            ready = ready => ready.map_err(|_| DevError::NotReady { what: stage.waiting_for(), after: READY_TIMEOUT })?,
            (part, status) = crew.next_end() => return Err(DevError::part_ended(&part, status)),
        }
    }
    progress.done();
    let leader = ready::leader(ports).await;
    screen::welcome(crew, ports, leader, started.elapsed());
    loop {
        let (part, status) = crew.next_end().await;
        screen::part_ended(&part, status);
    }
}

/// What tells this program to stop.
struct StopSignals {
    signals: [Signal; 3],
}

impl StopSignals {
    fn new() -> Result<Self, DevError> {
        let listen = |kind| {
            signal(kind).map_err(|error| DevError::Io { doing: "listening for signals".to_owned(), error })
        };
        let signals = [
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ];
        Ok(Self { signals })
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
