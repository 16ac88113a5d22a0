//! `kenger healthcheck`: asks a part of Kenger whether it is well, for containers whose image has no
//! HTTP client.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

/// Shorter than the time after which container engines give up on a check.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Ask a URL whether it is well: exit code 0 if it answers 200, else 1.
#[derive(Debug, Args)]
pub(crate) struct HealthcheckArgs {
    /// What to ask, for instance http://127.0.0.1:5000/readyz.
    #[arg(long)]
    url: String,
}

/// Asks once.
pub(crate) fn run(args: &HealthcheckArgs) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let healthy = runtime.is_ok_and(|runtime| runtime.block_on(is_healthy(&args.url)));
    if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether the URL answers 200, in time.
pub(super) async fn is_healthy(url: &str) -> bool {
    let Ok(client) = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build() else { return false };
    client.get(url).send().await.is_ok_and(|answer| answer.status().as_u16() == 200)
}
