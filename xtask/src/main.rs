//! Kenger's development tasks: `cargo xtask test | ci | fix | tidy | sim | bench`.
//!
//! `test` and `tidy` never change a file of the repository; `fix` does.

mod bench;
mod docker;
mod fix;
mod sim;
mod suite;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Development tasks of Kenger.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run every test there is, installing what it needs; sums up what passed, failed and was skipped.
    Test(suite::Options),
    /// The same, with what a CI log needs: facts about the machine, and a check that nothing was changed.
    Ci(suite::Options),
    /// Format, and apply what clippy can put right by itself.
    Fix,
    /// Check the rules of the house: layers, headers, leftovers, lengths, manifests, texts.
    Tidy,
    /// Simulate whole clusters from seeds: `cargo xtask sim -- run --seeds 0..200`.
    Sim(sim::Options),
    /// Build the image that the Docker test starts, from base images made on this machine.
    Image,
    /// Measure a release build: a cluster, gateways, and beside them what a user would take instead.
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let root = workspace::root();
    match Arguments::parse().task {
        Task::Test(options) => suite::run(&root, &options, suite::Kind::Local),
        Task::Ci(options) => suite::run(&root, &options, suite::Kind::Ci),
        Task::Bench(options) => bench::run(&root, &options),
        Task::Sim(options) => sim::run(&root, &options),
        Task::Fix => fix::run(&root),
        Task::Tidy => exit(suite::tidy_step(&root)),
        Task::Image => {
            exit(docker::build_image(&root, &workspace::target(&root)).map(|image| println!("{image}")))
        }
    }
}

fn exit(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}
