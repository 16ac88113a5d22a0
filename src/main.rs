//! `kenger`: one binary for every role.

mod dev;
mod gateway;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use kenger::config::ServeArgs;
use kenger::{environment, exit};

/// A service registry with canary release, replicated by Raft.
#[derive(Parser)]
#[command(version, about, max_term_width = 110, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

const EXIT_CODES: &str = "\
Exit codes: 0 stopped as told to · 64 wrong configuration · 69 an address cannot be listened on ·
70 cannot go on (the log says why) · 74 data directory not usable · 130 told to stop twice";

const SERVE_EXAMPLES: &str = "\
Examples:
  A registry of one member, to try it out:
    kenger serve --data-dir data --insecure-no-auth
  The first of three members; the others differ in --member-id alone:
    export KENGER_TOKEN=… KENGER_PEER_SECRET=…
    export KENGER_MEMBERS=1=m1:5001@m1:5000,2=m2:5001@m2:5000,3=m3:5001@m3:5000
    kenger serve --member-id 1 --data-dir /var/lib/kenger \\
      --listen-api 0.0.0.0:5000 --listen-peer 0.0.0.0:5001
  The same from a file, checked first:
    kenger serve --config /etc/kenger.toml --check

Exit codes: 0 stopped as told to · 64 wrong configuration · 69 an address cannot be listened on ·
70 cannot go on (the log says why) · 74 data directory not usable · 130 told to stop twice";

#[derive(Subcommand)]
enum Role {
    /// Run a member of the registry.
    ///
    /// Each setting can be given as a flag, as an environment variable or in a TOML file; the flag
    /// wins over the environment, the environment over the file.
    #[command(after_help = EXIT_CODES, after_long_help = SERVE_EXAMPLES)]
    Serve(Box<ServeArgs>),
    /// Run a gateway, which follows the registry and passes requests on by weight.
    ///
    /// Each setting can be given as a flag, as an environment variable or in a TOML file; the flag
    /// wins over the environment, the environment over the file.
    #[command(after_help = EXIT_CODES)]
    Gateway(Box<gateway::GatewayCommand>),
    /// Run a whole system on this machine, to try Kenger out: three members, a gateway, two services.
    Dev(dev::DevArgs),
    /// Run the small web service of the demo.
    #[command(hide = true)]
    DemoService(dev::demo_service::DemoServiceArgs),
    /// Ask a URL whether it is well: exit code 0 if it answers 200, else 1.
    #[command(hide = true)]
    Healthcheck(dev::healthcheck::HealthcheckArgs),
}

fn main() -> ExitCode {
    match kenger_mutant::from_environment() {
        Ok(None) => {}
        Ok(Some(mutant)) => eprintln!("kenger: BROKEN ON PURPOSE: this process is the mutant {mutant}"),
        Err(error) => {
            eprintln!("kenger: {error}");
            return exit::USAGE.into();
        }
    }
    let strays = || environment::strays(&Cli::command());
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way, too. If even this cannot be written, nobody is there.
            let _unwritten = error.print();
            return if error.use_stderr() { exit::USAGE } else { exit::OK }.into();
        }
    };
    match cli.role {
        Role::Serve(args) => kenger::serve::main(*args, &strays()),
        Role::Gateway(args) => gateway::run(*args, &strays()),
        Role::Dev(args) => dev::run(&args),
        Role::DemoService(args) => dev::demo_service::run(args),
        Role::Healthcheck(args) => dev::healthcheck::run(&args),
    }
}
