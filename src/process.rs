//! What every long-running role of the program does alike: it logs, listens for signals, and ends at
//! once when it is told to stop a second time.

use std::future::Future;
use std::io::{self, IsTerminal};
use std::pin::pin;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};
use crate::environment::Stray;
use crate::exit;

/// Said less of unless asked for, because they say much that is of use to their authors only: openraft
/// warns ten times a second while a member is down, which the member itself says once.
const QUIET: &str = "openraft=error,sled=warn,hyper=warn";

/// Runs a role until it ends, and gives its exit code. SIGTERM and SIGINT cancel the token that it
/// gets; after a second one nothing is waited for. Warns of `strays` first.
pub fn run<F: Future<Output = u8>>(
    log: &LogConfig,
    strays: &[Stray],
    role: impl FnOnce(CancellationToken) -> F,
) -> u8 {
    start_logging(log);
    strays.iter().for_each(|stray| tracing::warn!("{stray}"));
    raise_file_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            return exit::SOFTWARE;
        }
    };
    let code = runtime.block_on(until_stopped(role));
    // Whatever still runs was told to end, and did not.
    runtime.shutdown_background();
    code
}

async fn until_stopped<F: Future<Output = u8>>(role: impl FnOnce(CancellationToken) -> F) -> u8 {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "cannot listen for signals");
            return exit::SOFTWARE;
        }
    };
    let stop = CancellationToken::new();
    let mut running = pin!(role(stop.clone()));
    tokio::select! {
        code = running.as_mut() => return code,
        () = signals.next() => stop.cancel(),
    }
    tokio::select! {
        code = running => code,
        () = signals.next() => {
            tracing::warn!("told to stop a second time: ending at once");
            exit::INTERRUPTED
        }
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Logs to standard error, so that standard output stays free for what a person asked for.
fn start_logging(config: &LogConfig) {
    let filter = EnvFilter::new(format!("{QUIET},{}", config.filter));
    let logging = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match config.format {
        LogFormat::Text => logging.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => logging.json().flatten_event(true).init(),
    }
}

/// A server has a connection for each client; the usual soft limit is for programs that use `select`.
fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}
