//! `kenger serve`: starts a member and its API, and stops them in good order.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use kenger_cluster::{Env, Member, StartError};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::api::{self, Api};
use crate::config::{Config, ServeArgs};
use crate::environment::Stray;
use crate::{exit, process};

/// The member may take this long to hand over the lead and close its store.
const MEMBER_STOP_MAX: Duration = Duration::from_secs(10);

/// Why a member does not serve, or does not go on.
#[derive(Debug, Error)]
pub enum ServeError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({setting}): {error}")]
    Listen {
        /// Which setting names it.
        setting: &'static str,
        /// As configured.
        address: String,
        /// Why.
        error: io::Error,
    },
    /// The member did not start.
    #[error("the member cannot start: {0}")]
    Start(#[from] StartError),
    /// The member ended itself.
    #[error("the member cannot go on: {0}")]
    Failed(String),
    /// The operating system refused something basic.
    #[error("{0}")]
    System(io::Error),
}

impl ServeError {
    /// The exit code that tells a supervisor what is worth a restart.
    pub fn exit_code(&self) -> u8 {
        match self {
            ServeError::Listen { .. } => exit::UNAVAILABLE,
            ServeError::Start(StartError::Raft(_)) | ServeError::Failed(_) | ServeError::System(_) => {
                exit::SOFTWARE
            }
            ServeError::Start(
                StartError::DataDir { .. } | StartError::Identity(_) | StartError::Store(_),
            ) => exit::IO,
        }
    }
}

/// The whole of `kenger serve`: from the arguments to the exit code. `strays` may be why the
/// configuration is not what was meant.
pub fn main(args: ServeArgs, strays: &[Stray]) -> ExitCode {
    let check_only = args.check_only();
    let warn = || strays.iter().for_each(|stray| eprintln!("kenger serve: warning: {stray}"));
    let config = match Config::load(args) {
        Ok((config, summary)) if check_only => {
            drop(config);
            println!("{summary}");
            warn();
            return exit::OK.into();
        }
        Ok((config, _)) => config,
        Err(errors) => {
            eprintln!("kenger serve: {errors}");
            warn();
            return exit::USAGE.into();
        }
    };
    let log = config.log.clone();
    let run_and_report = |stop| async move {
        match run(config, stop).await {
            Ok(()) => exit::OK,
            Err(error) => {
                tracing::error!("{error}");
                error.exit_code()
            }
        }
    };
    process::run(&log, strays, run_and_report).into()
}

/// Runs a member and its API until `stop` is cancelled.
///
/// # Errors
/// It did not start, or could not go on.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), ServeError> {
    let peers = listen("listen_peer", &config.listen_peer).await?;
    let clients = listen("listen_api", &config.listen_api).await?;
    let (peer, api) = (local_address(&peers)?, local_address(&clients)?);
    let (id, data_dir) = (config.member.id, config.member.data_dir.clone());
    tracing::info!(member = %id, data_dir = %data_dir.display(), "starting");
    let starting = Member::start(config.member, Env::system(), Box::new(peers));
    let Some(member) = stop.run_until_cancelled(starting).await else { return Ok(()) };
    let member = member?;
    tracing::info!(member = %id, %api, %peer, version = env!("CARGO_PKG_VERSION"), "serving");
    let serving = tokio::spawn(api::serve(clients, Api::new(member.clone(), config.api, stop.clone())));
    tokio::select! {
        reason = member.failed() => return Err(ServeError::Failed(reason)),
        () = stop.cancelled() => tracing::info!("stopping"),
    }
    // The API ends first: what is in flight needs the member.
    if let Err(e) = serving.await {
        tracing::error!(error = %e, "the API ended badly");
    }
    if tokio::time::timeout(MEMBER_STOP_MAX, member.shutdown()).await.is_err() {
        tracing::warn!("the member did not stop within {} s", MEMBER_STOP_MAX.as_secs());
    }
    tracing::info!("stopped");
    Ok(())
}

async fn listen(setting: &'static str, address: &str) -> Result<TcpListener, ServeError> {
    let failed = |error| ServeError::Listen { setting, address: address.to_owned(), error };
    TcpListener::bind(address).await.map_err(failed)
}

fn local_address(listener: &TcpListener) -> Result<SocketAddr, ServeError> {
    listener.local_addr().map_err(ServeError::System)
}
