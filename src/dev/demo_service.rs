//! `kenger demo-service`: a small web service that lives as a user's would. It registers and
//! heartbeats through the SDK, answers with its version, and deregisters when it is told to stop.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use clap::Args;
use kenger::config::LogArgs;
use kenger::{exit, process};
use kenger_sdk::{Client, KeepOptions, Phase, RegistrationStatus};
use kenger_types::api::NodeRegister;
use kenger_types::metadata::VERSION_KEY;
use kenger_types::{Host, Metadata, NamespaceName, Port, Weight};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Where a registry's health checks look by default.
const STATUS_PATH: &str = "/api/status";
/// How long requests go on to be served after the node is gone from the registry: gateways that have
/// chosen it a moment ago are still on their way.
const LINGER: Duration = Duration::from_millis(500);
/// The longest wait for requests that are being served.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Run a small service that registers itself and answers with its version.
#[derive(Debug, Args)]
pub(crate) struct DemoServiceArgs {
    /// What it answers with, and its metadata `version`.
    #[arg(long)]
    version: String,
    /// The weight that it declares.
    #[arg(long, default_value = "100")]
    weight: Weight,
    /// Where it listens.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// The host that it registers as; its address otherwise.
    #[arg(long)]
    host: Option<Host>,
    /// The namespace that it registers in.
    #[arg(long, default_value = "demo")]
    namespace: NamespaceName,
    /// The members' APIs, separated by commas.
    #[arg(long, value_delimiter = ',', required = true)]
    registry: Vec<String>,
    /// A file with the registry's token.
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// The registry's token. Prefer the environment: other people on this machine can see arguments.
    #[arg(long, env = "KENGER_TOKEN", hide_env_values = true)]
    token: Option<String>,
    #[command(flatten)]
    log: LogArgs,
}

/// Serves until SIGTERM or Ctrl-C.
pub(crate) fn run(args: DemoServiceArgs) -> ExitCode {
    let log = match args.log.load() {
        Ok(log) => log,
        Err(errors) => {
            eprintln!("kenger demo-service: {errors}");
            return exit::USAGE.into();
        }
    };
    let serve_and_report = |stop: CancellationToken| async move {
        match serve(args, stop).await {
            Ok(()) => exit::OK,
            Err(error) => {
                tracing::error!("{error}");
                exit::SOFTWARE
            }
        }
    };
    process::run(&log, &[], serve_and_report).into()
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What the handlers know.
struct Service {
    version: String,
    registration: watch::Receiver<RegistrationStatus>,
}

async fn serve(args: DemoServiceArgs, stop: CancellationToken) -> Result<(), Failure> {
    let listener = TcpListener::bind(args.listen).await?;
    let node = node(&args, listener.local_addr()?)?;
    let registration = client(&args)?.register_and_keep(node, KeepOptions::default());

    let service = Arc::new(Service { version: args.version, registration: registration.status() });
    let routes = Router::new()
        .route("/", get(version))
        .route(STATUS_PATH, get(|| async { "ok\n" }))
        .route("/ready", get(ready))
        .with_state(service);
    let drain = CancellationToken::new();
    let server = axum::serve(listener, routes).with_graceful_shutdown(drain.clone().cancelled_owned());
    let mut server = tokio::spawn(server.into_future());

    tokio::select! {
        () = stop.cancelled() => {}
        ended = &mut server => return Ok(ended??),
    }
    if let Err(error) = registration.stop().await {
        tracing::warn!(%error, "not deregistered; the node goes offline when its time to live is over");
    }
    tokio::time::sleep(LINGER).await;
    drain.cancel();
    tokio::time::timeout(DRAIN_TIMEOUT, server).await.map_or(Ok(()), |ended| Ok(ended??))
}

async fn version(State(service): State<Arc<Service>>) -> String {
    format!("{}\n", service.version)
}

/// Whether the registry knows this node since this process was started.
async fn ready(State(service): State<Arc<Service>>) -> Response<String> {
    let registered = service.registration.borrow().phase == Phase::Registered;
    let (status, text) = if registered { (200, "registered\n") } else { (503, "not registered\n") };
    let mut response = Response::new(text.to_owned());
    if let Ok(status) = status.try_into() {
        *response.status_mut() = status;
    }
    response
}

fn client(args: &DemoServiceArgs) -> Result<Client, Failure> {
    let token = match &args.token_file {
        Some(file) => {
            let text =
                std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
            Some(text.trim().to_owned())
        }
        None => args.token.clone(),
    };
    let builder = Client::builder().endpoints(args.registry.iter().cloned());
    Ok(token.into_iter().fold(builder, |builder, token| builder.token(token)).build()?)
}

fn node(args: &DemoServiceArgs, listening: SocketAddr) -> Result<NodeRegister, Failure> {
    let host = match &args.host {
        Some(host) => host.clone(),
        None => listening.ip().to_string().parse()?,
    };
    let metadata = BTreeMap::from([(VERSION_KEY.to_owned(), args.version.clone())]);
    Ok(NodeRegister {
        ns: args.namespace.clone(),
        host,
        port: Port::try_from(i64::from(listening.port()))?,
        weight: args.weight,
        health_path: Some(STATUS_PATH.parse()?),
        metadata: Metadata::try_from(metadata)?,
        ttl_seconds: None,
        if_revision: None,
    })
}
