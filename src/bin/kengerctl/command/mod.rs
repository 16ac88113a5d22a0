//! What the commands do: ask the registry, show the answer.

mod cluster;
mod namespace;
mod node;
mod watch;

use std::io::{Write, stdout};

use clap::CommandFactory;
use kenger_sdk::{Answer, Consistency};

use crate::args::{Cli, Command};
use crate::failure::Failure;
use crate::output::Output;

/// Runs one command.
pub(crate) async fn run(cli: Cli) -> Result<(), Failure> {
    let output = Output::new(&cli.global);
    let client = cli.global.client();
    match cli.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "kengerctl", &mut script);
            Ok(stdout().lock().write_all(&script)?)
        }
        Command::Cluster(command) => cluster::run(&client?, command, output).await,
        Command::Ns(command) => namespace::run(&client?, command, output).await,
        Command::Node(command) => node::run(&client?, command, output).await,
        Command::Watch(args) => watch::run(&client?, args, output).await,
        Command::Bench(args) => crate::bench::run(&client?, cli.global.token(), args, output).await,
    }
}

fn consistency(stale: bool) -> Consistency {
    if stale { Consistency::Stale } else { Consistency::Linearizable }
}

/// Says how old a stale answer may be.
fn remark_staleness<T>(answer: &Answer<T>, stale: bool, output: Output) {
    if !stale {
        return;
    }
    let revision = answer.revision.map_or_else(String::new, |revision| format!(" at revision {revision}"));
    let heard = match answer.leader_lag {
        Some(lag) => format!(", which last heard from a leader {} ms ago", lag.as_millis()),
        None => String::new(),
    };
    output.remark(&format!("stale answer of {}{revision}{heard}", answer.endpoint));
}
