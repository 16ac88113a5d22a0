//! `kenger gateway`: the gateway's own crate, with the program's way of logging, stopping and ending.

use std::process::ExitCode;

use clap::Args;
use kenger::config::LogArgs;
use kenger::environment::Stray;
use kenger::{exit, process};
use kenger_gateway::{GatewayArgs, RunError};

/// The gateway's settings, and how to log.
#[derive(Args)]
pub(crate) struct GatewayCommand {
    #[command(flatten)]
    gateway: GatewayArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs a gateway until it is told to stop. `strays` may be why its configuration is not what was meant.
pub(crate) fn run(args: GatewayCommand, strays: &[Stray]) -> ExitCode {
    let (config, log) = match (args.gateway.load(), args.log.load()) {
        (Ok(config), Ok(log)) => (config, log),
        (config, log) => {
            for problem in [config.err().map(|e| e.to_string()), log.err().map(|e| e.to_string())] {
                problem.iter().for_each(|problem| eprintln!("kenger gateway: {problem}"));
            }
            strays.iter().for_each(|stray| eprintln!("kenger gateway: warning: {stray}"));
            return exit::USAGE.into();
        }
    };
    let run_and_report = |stop: tokio_util::sync::CancellationToken| async move {
        match kenger_gateway::run(config, stop.cancelled_owned()).await {
            Ok(()) => exit::OK,
            Err(error) => {
                tracing::error!("{error}");
                exit_code(&error)
            }
        }
    };
    process::run(&log, strays, run_and_report).into()
}

fn exit_code(error: &RunError) -> u8 {
    match error {
        RunError::Bind { .. } => exit::UNAVAILABLE,
        RunError::Registry(_) => exit::USAGE,
        RunError::Worker(_) | RunError::Ended(_) => exit::SOFTWARE,
    }
}
