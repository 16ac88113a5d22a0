//! `kengerctl bench`: measures a running cluster from outside, within bounds.
//!
//! Everything that it makes lies in the namespace `bench` (or `--ns`). The load comes from one thread:
//! one task for each connection, requests that are made before the clock starts, so that the
//! generator takes as little as possible of what it measures.

mod connection;
mod feed;
mod heartbeat;
mod http;
mod load;
mod members;
mod register;
mod report;
mod route;
mod run;
mod workload;

use std::time::Duration;

use clap::{Args, Subcommand};
use kenger_sdk::{Client, Consistency, Endpoint};
use kenger_types::NamespaceName;
use kenger_types::api::NamespaceDelete;

use crate::failure::Failure;
use crate::output::Output;
use members::Members;

/// Longest run of a benchmark.
const DURATION_MAX: Duration = Duration::from_secs(600);
/// Most connections that are opened.
const CONNECTIONS_MAX: usize = 4_096;
/// Most nodes that are registered.
const NODES_MAX: u32 = 1_000_000;

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Args)]
struct Common {
    /// Where everything is made; deleted at the end, with all nodes in it
    #[arg(long, global = true, default_value = "bench", value_name = "NAMESPACE")]
    ns: NamespaceName,
    /// Leave the nodes that were registered
    #[arg(long, global = true)]
    keep: bool,
    /// Process ids of the members on this machine, to tell the processor time of each operation
    #[arg(long, global = true, value_delimiter = ',', value_name = "PID,…")]
    pids: Vec<u32>,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    #[command(flatten)]
    Cluster(ClusterBench),
    /// Any HTTP server, with the same load: to compare with others
    Http(http::HttpArgs),
}

#[derive(Debug, Subcommand)]
enum ClusterBench {
    /// Durable registrations of new nodes
    Register {
        /// Connections, each with one request at a time
        #[arg(long, default_value_t = 64, value_parser = connections)]
        clients: usize,
        /// How long
        #[arg(long, default_value = "10s", value_parser = duration)]
        duration: Duration,
    },
    /// Heartbeats of registered nodes
    Heartbeat {
        /// Connections, each with one request at a time
        #[arg(long, default_value_t = 64, value_parser = connections)]
        connections: usize,
        /// How many nodes
        #[arg(long, default_value_t = 1_000, value_parser = nodes)]
        nodes: u32,
        /// Nodes in one request
        #[arg(long, default_value_t = 1, value_parser = batch)]
        batch: u32,
        /// Heartbeats a second, all together; as many as possible if not given
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
        rate: Option<u32>,
        /// How long
        #[arg(long, default_value = "10s", value_parser = duration)]
        duration: Duration,
        /// The nodes are there already, from `bench load` with at least as many
        #[arg(long)]
        registered: bool,
    },
    /// Time from the acknowledgement of a change to its event at subscribers
    Watch {
        /// Subscribers, spread over the members
        #[arg(long, default_value_t = 10, value_parser = connections)]
        watchers: usize,
        /// Changes, one after the other
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        changes: u32,
        /// Listen to the leader, as gateways do
        #[arg(long)]
        from_leader: bool,
    },
    /// Time from the acknowledgement of a change to gateways routing by it
    ///
    /// Two services in this process take turns at a weight of 10000 and 0. The gateways must be on this
    /// machine and listen for the namespace of `--ns`, which must have no nodes.
    Route {
        /// Where the gateways listen
        #[arg(long, required = true, value_delimiter = ',', value_name = "URL,…")]
        gateways: Vec<Endpoint>,
        /// Further nodes of the namespace, of weight 0
        #[arg(long, default_value_t = 1_000, value_parser = nodes)]
        nodes: u32,
        /// Changes, one after the other
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        changes: u32,
    },
    /// Fill the cluster with nodes, for measurements of memory and restarts
    Load {
        /// How many
        #[arg(long, default_value_t = 100_000, value_parser = nodes)]
        nodes: u32,
        /// Connections, each with one request at a time
        #[arg(long, default_value_t = 64, value_parser = connections)]
        clients: usize,
        /// Seconds that each node may be silent: long, because nobody sends heartbeats
        #[arg(long, default_value_t = 86_400, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
        ttl: u32,
        /// Delete what an earlier load left, and do nothing else
        #[arg(long)]
        cleanup: bool,
    },
}

/// What every benchmark works with.
struct Bench<'a> {
    client: &'a Client,
    token: Option<&'a str>,
    ns: NamespaceName,
    output: Output,
    show_progress: bool,
}

/// Runs one benchmark and shows its report.
pub(crate) async fn run(
    client: &Client,
    token: Option<&str>,
    args: BenchArgs,
    output: Output,
) -> Result<(), Failure> {
    let Common { ns, keep, pids } = args.common;
    let show_progress = output.wants_progress();
    let command = match args.command {
        BenchCommand::Http(load) => {
            let report = http::run(load, &Members::new(client, pids)?, show_progress).await?;
            return show(&report, output);
        }
        BenchCommand::Cluster(command) => command,
    };
    let bench = Bench { client, token, ns, output, show_progress };
    if matches!(command, ClusterBench::Load { cleanup: true, .. }) {
        bench.clean_up().await?;
        return output
            .done(&serde_json::json!({ "ns": bench.ns }), || format!("namespace {:?} deleted", bench.ns));
    }
    let keeps_nodes = keep || matches!(command, ClusterBench::Load { .. });
    let members = Members::new(client, pids)?;
    // A wrong token or a cluster without a leader is told at once, and not as a number of failures.
    client.namespaces(Consistency::Linearizable).await?;
    if matches!(command, ClusterBench::Route { .. }) {
        route::refuse_foreign_nodes(&bench).await?;
    }
    let report = bench.measure(command, &members).await;
    if !keeps_nodes && let Err(failure) = bench.clean_up().await {
        output.remark(&format!("namespace {:?} could not be deleted and is left behind", bench.ns));
        failure.print();
    }
    show(&report?, output)
}

/// Shows what was found. That something failed is a failure of the command.
fn show(report: &report::Report, output: Output) -> Result<(), Failure> {
    output.answer(report, || report.text())?;
    match report.failed.values().sum::<u64>() {
        0 => Ok(()),
        failed => Err(Failure::Other(format!(
            "{failed} operations failed; the others are what the report tells of"
        ))),
    }
}

impl Bench<'_> {
    async fn measure(&self, command: ClusterBench, members: &Members<'_>) -> Result<report::Report, Failure> {
        match command {
            ClusterBench::Register { clients, duration } => {
                register::run(self, members, clients, duration).await
            }
            ClusterBench::Heartbeat { connections, nodes, batch, rate, duration, registered } => {
                let load = heartbeat::Load { connections, nodes, batch, rate, duration, registered };
                heartbeat::run(self, members, load).await
            }
            ClusterBench::Watch { watchers, changes, from_leader } => {
                feed::run(self, members, feed::Load { watchers, changes, from_leader }).await
            }
            ClusterBench::Route { gateways, nodes, changes } => {
                route::run(self, members, route::Load { gateways, nodes, changes }).await
            }
            ClusterBench::Load { nodes, clients, ttl, .. } => {
                load::run(self, members, nodes, clients, ttl).await
            }
        }
    }

    /// Deletes the namespace; that there is none is fine.
    async fn clean_up(&self) -> Result<(), Failure> {
        let body = NamespaceDelete { id: None, name: Some(self.ns.clone()), if_revision: None };
        match self.client.delete_namespace(&body).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match duration {
        d if d.is_zero() || d > DURATION_MAX => {
            Err(format!("a run takes 1ms to {} s", DURATION_MAX.as_secs()))
        }
        d => Ok(d),
    }
}

fn within(text: &str, max: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (1..=max).contains(&n) => Ok(n),
        _ => Err(format!("a whole number from 1 to {max}")),
    }
}

fn connections(text: &str) -> Result<usize, String> {
    within(text, CONNECTIONS_MAX)
}

fn nodes(text: &str) -> Result<u32, String> {
    within(text, NODES_MAX as usize).map(|n| n as u32)
}

fn batch(text: &str) -> Result<u32, String> {
    within(text, kenger_types::limits::HEARTBEAT_BATCH_MAX_NODES).map(|n| n as u32)
}
