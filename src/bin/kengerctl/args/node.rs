//! What can be typed after `kengerctl node`.

use clap::{Args, Subcommand};
use kenger_types::{HealthPath, NamespaceName, NodeStatus, TtlSeconds, Weight};

use super::{Address, Condition, OrDefault, Stale};

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Nodes of a namespace, or of all
    #[command(visible_alias = "ls")]
    List(NodeListArgs),
    /// Register a node, as its service does when it starts
    #[command(
        after_help = "A node that nobody sends heartbeats for goes offline when its time to live is over."
    )]
    Register(NodeRegisterArgs),
    /// Remove a node at its own wish, as its service does when it ends
    Deregister {
        /// Its namespace
        ns: NamespaceName,
        /// Where it listens
        #[arg(value_name = "HOST:PORT")]
        address: Address,
        #[command(flatten)]
        condition: Condition,
    },
    /// Set a node's share of traffic, whatever its service declares
    #[command(after_help = "The weight stays when the service registers again. `default` gives it back.")]
    Weight {
        /// Its namespace
        ns: NamespaceName,
        /// Where it listens
        #[arg(value_name = "HOST:PORT")]
        address: Address,
        /// 0 to 10000; 0 takes no new traffic; `default` is what the service declares
        #[arg(value_name = "WEIGHT|default", allow_negative_numbers = true)]
        weight: OrDefault<Weight>,
        #[command(flatten)]
        condition: Condition,
    },
    /// Change a node; what is not given stays
    Update(NodeUpdateArgs),
    /// Delete a node; a service that is still alive registers again
    #[command(visible_alias = "rm")]
    Delete {
        /// Its namespace
        ns: NamespaceName,
        /// Where it listens
        #[arg(value_name = "HOST:PORT")]
        address: Address,
        #[command(flatten)]
        condition: Condition,
        /// Do not ask, even if it is online
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NodeListArgs {
    /// Only of this namespace
    pub(crate) ns: Option<NamespaceName>,
    /// Only those that are online, or offline
    #[arg(long, value_name = "STATUS", value_parser = status)]
    pub(crate) status: Option<NodeStatus>,
    /// Only those whose metadata name this version
    #[arg(long, value_name = "VERSION", id = "node_version")]
    pub(crate) version: Option<String>,
    #[command(flatten)]
    pub(crate) stale: Stale,
}

#[derive(Debug, Args)]
pub(crate) struct NodeRegisterArgs {
    /// Its namespace; made if it is new
    pub(crate) ns: NamespaceName,
    /// Where it listens
    #[arg(value_name = "HOST:PORT")]
    pub(crate) address: Address,
    /// Its share of traffic, 0 to 10000
    #[arg(long, default_value_t, allow_negative_numbers = true)]
    pub(crate) weight: Weight,
    /// Where it is checked; the namespace's path if not given
    #[arg(long, value_name = "PATH")]
    pub(crate) health_path: Option<HealthPath>,
    /// A pair of metadata; can be given several times
    #[arg(short, long = "meta", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) metadata: Vec<(String, String)>,
    /// Seconds that it may be silent; the cluster's default if not given
    #[arg(long, value_name = "SECONDS")]
    pub(crate) ttl: Option<TtlSeconds>,
    #[command(flatten)]
    pub(crate) condition: Condition,
}

#[derive(Debug, Args)]
#[command(override_usage = "kengerctl node update [OPTIONS] <NS> <HOST:PORT>")]
#[group(id = "node_changes", required = true, multiple = true, args = ["weight", "health_path", "metadata", "no_meta", "ttl"])]
pub(crate) struct NodeUpdateArgs {
    /// Its namespace
    pub(crate) ns: NamespaceName,
    /// Where it listens
    #[arg(value_name = "HOST:PORT")]
    pub(crate) address: Address,
    /// As `node weight`
    #[arg(long, value_name = "WEIGHT|default", allow_negative_numbers = true)]
    pub(crate) weight: Option<OrDefault<Weight>>,
    /// Where it is checked; `default` is the namespace's path
    #[arg(long, value_name = "PATH|default")]
    pub(crate) health_path: Option<OrDefault<HealthPath>>,
    /// A pair of metadata; all pairs that it had are replaced by those that are given
    #[arg(short, long = "meta", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) metadata: Vec<(String, String)>,
    /// Take all metadata away
    #[arg(long, conflicts_with = "metadata")]
    pub(crate) no_meta: bool,
    /// Seconds that it may be silent; `default` is the cluster's
    #[arg(long, value_name = "SECONDS|default")]
    pub(crate) ttl: Option<OrDefault<TtlSeconds>>,
    #[command(flatten)]
    pub(crate) condition: Condition,
}

fn status(text: &str) -> Result<NodeStatus, String> {
    match text {
        "online" => Ok(NodeStatus::Online),
        "offline" => Ok(NodeStatus::Offline),
        _ => Err("a status is online or offline".to_owned()),
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a pair of metadata is written KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
