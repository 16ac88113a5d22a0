//! What can be typed.

mod node;
mod values;

use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use kenger_sdk::Client;
use kenger_types::{Description, HealthPath, NamespaceName, Revision};

use crate::bench::BenchArgs;
use crate::failure::{EXIT_CODES, Failure};

pub(crate) use node::{NodeCommand, NodeListArgs, NodeRegisterArgs, NodeUpdateArgs};
pub(crate) use values::{Address, OrDefault};

const EXAMPLES: &str = "\
Examples:
  export KENGER_ENDPOINTS=192.0.2.1:5000,192.0.2.2:5000,192.0.2.3:5000 KENGER_TOKEN=…
  kengerctl cluster status
  kengerctl node list web
  kengerctl node weight web 192.0.2.17:8080 10
  kengerctl watch --ns web -o json | jq .
";

/// Shows and steers a Kenger cluster.
#[derive(Debug, Parser)]
#[command(name = "kengerctl", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = format!("{EXAMPLES}\n{EXIT_CODES}"))]
#[command(disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Members to ask, separated by commas; the next one is asked when one does not answer
    #[arg(short, long, global = true, env = "KENGER_ENDPOINTS", value_name = "URL,…", value_delimiter = ',')]
    #[arg(default_value = "http://127.0.0.1:5000", hide_env_values = true)]
    endpoints: Vec<String>,
    /// What proves who you are; better given by the environment, where other users do not see it
    #[arg(long, global = true, env = "KENGER_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// table or wide for people, json for programs: the data of the registry's answer
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    pub(crate) output: Format,
    /// The longest that a call may take, with all members that it asks
    #[arg(long, global = true, default_value = "10s", value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Say nothing but the answer
    #[arg(short, long, global = true, action = ArgAction::SetTrue)]
    pub(crate) quiet: bool,
}

impl Global {
    /// A client as the options say.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        if self.timeout.is_zero() {
            return Err(Failure::Usage("--timeout must be longer than nothing".to_owned()));
        }
        let mut builder = Client::builder().endpoints(self.endpoints.iter().map(String::as_str));
        // An empty variable is as good as none.
        if let Some(token) = self.token.as_deref().filter(|token| !token.is_empty()) {
            builder = builder.token(token);
        }
        Ok(builder.timeout(self.timeout).build()?)
    }

    /// The token, for requests that are not made by the client.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref().filter(|token| !token.is_empty())
    }
}

/// How an answer looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    // What each of them is stands in the help of `--output`: help of their own would make clap write
    // everything twice as long.
    #[default]
    Table,
    Wide,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The members of the cluster
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Namespaces: named pools of nodes
    #[command(subcommand, visible_alias = "namespace")]
    Ns(NsCommand),
    /// Nodes: instances of services
    #[command(subcommand)]
    Node(NodeCommand),
    /// Show changes as they happen
    Watch(WatchArgs),
    /// Measure a running cluster
    Bench(BenchArgs),
    /// Print completions for a shell
    #[command(after_help = "For instance, in ~/.bashrc: source <(kengerctl completions bash)")]
    Completions {
        /// Which shell
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Who leads, and how far each member is; ends with code 69 if nobody leads
    Status,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NsCommand {
    /// All namespaces
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        stale: Stale,
    },
    /// Make a namespace
    Add {
        /// 1 to 64 of A-Z a-z 0-9 . _ -
        name: NamespaceName,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        description: Option<Description>,
        /// Where nodes that name no path of their own are checked
        #[arg(long, value_name = "PATH")]
        health_path: Option<HealthPath>,
    },
    /// Change a namespace; what is not given stays
    Update(NsUpdateArgs),
    /// Delete a namespace and all its nodes
    #[command(visible_alias = "rm")]
    Delete {
        /// Which
        name: NamespaceName,
        #[command(flatten)]
        condition: Condition,
        /// Do not ask, even if it has nodes
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
#[command(override_usage = "kengerctl ns update [OPTIONS] <NAME>")]
#[group(id = "changes", required = true, multiple = true, args = ["rename", "description", "health_path"])]
pub(crate) struct NsUpdateArgs {
    /// Which
    pub(crate) name: NamespaceName,
    /// Another name
    #[arg(long, value_name = "NAME")]
    pub(crate) rename: Option<NamespaceName>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<Description>,
    /// Where nodes that name no path of their own are checked
    #[arg(long, value_name = "PATH")]
    pub(crate) health_path: Option<HealthPath>,
    #[command(flatten)]
    pub(crate) condition: Condition,
}

/// Compare-and-set.
#[derive(Debug, Args)]
pub(crate) struct Condition {
    /// Only if its revision (mod_revision in json) is still this one
    #[arg(long, value_name = "REVISION")]
    pub(crate) if_revision: Option<Revision>,
}

/// How fresh an answer has to be.
#[derive(Debug, Args)]
pub(crate) struct Stale {
    /// Take what the asked member knows, even if it hears no leader
    #[arg(long)]
    pub(crate) stale: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Only these namespaces, separated by commas
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub(crate) ns: Vec<NamespaceName>,
    /// Begin after this revision instead of with what there is
    #[arg(long, value_name = "REVISION")]
    pub(crate) since: Option<Revision>,
    /// Listen to the leader, which is the first to know
    #[arg(long)]
    pub(crate) from_leader: bool,
    /// End after this many changes
    #[arg(long, value_name = "NUMBER")]
    pub(crate) count: Option<u64>,
    #[command(flatten)]
    pub(crate) stale: Stale,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
