//! `cargo xtask bench`: what Kenger does in a second and what that costs, beside what a user would take
//! instead, in one run on one machine.
//!
//! Everything is a process of its own, as in production; the load is made by `kengerctl bench`, also for
//! the others. What is compared is measured by turns, and medians are told, because other work on the
//! machine comes and goes.

mod clock;
mod cluster;
mod etcd;
mod http;
mod lab;
mod load;
mod members;
mod parts;
mod table;
mod tools;
mod usage;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use crate::suite::process;
use crate::workspace::target;
use etcd::Etcd;
use lab::Lab;
use members::Members;
use table::Row;

const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);
/// After so long, what has not begun is skipped; without the build.
const TIME_LIMIT: Duration = Duration::from_secs(13 * 60);

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A short run, to see that everything works: its numbers mean little.
    #[arg(long)]
    quick: bool,
    /// Install what Kenger is compared with, by apt-get.
    #[arg(long)]
    install: bool,
    /// Only these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Rounds of the failover.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=200))]
    failover_rounds: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Durable writes, beside etcd.
    Writes,
    /// Heartbeats, beside etcd.
    Heartbeats,
    /// From the acknowledgement of a change to its event.
    Watch,
    /// From the acknowledgement of a change to gateways routing by it.
    Route,
    /// The gateway, beside nginx.
    Gateway,
    /// Killed leaders, beside etcd.
    Failover,
    /// A hundred thousand nodes: heartbeats, memory, restart.
    Capacity,
}

const ALL: [Part; 7] =
    [Part::Writes, Part::Heartbeats, Part::Watch, Part::Route, Part::Gateway, Part::Failover, Part::Capacity];

/// How much is measured.
struct Plan {
    /// Runs of each load.
    rounds: usize,
    run_seconds: u32,
    proxy_rounds: usize,
    watch_changes: u32,
    route_changes: u32,
    failover_rounds: usize,
    nodes: u32,
}

impl Plan {
    fn new(options: &Options) -> Self {
        let (full, quick) = (
            Self {
                rounds: 3,
                run_seconds: 5,
                proxy_rounds: 5,
                watch_changes: 1_000,
                route_changes: 100,
                failover_rounds: 20,
                nodes: 100_000,
            },
            Self {
                rounds: 1,
                run_seconds: 1,
                proxy_rounds: 1,
                watch_changes: 100,
                route_changes: 5,
                failover_rounds: 2,
                nodes: 5_000,
            },
        );
        let mut plan = if options.quick { quick } else { full };
        plan.failover_rounds = options.failover_rounds.map_or(plan.failover_rounds, usize::from);
        plan
    }

    /// How long each load runs, as `kengerctl` takes it.
    fn run_time(&self) -> String {
        format!("{}s", self.run_seconds)
    }
}

/// Measures, prints the table and writes it to a file.
pub(crate) fn run(root: &Path, options: &Options) -> ExitCode {
    match measure(root, options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every part that was begun came to its end.
fn measure(root: &Path, options: &Options) -> Result<bool, String> {
    if options.install {
        tools::install()?;
    }
    let mut build = Command::new("cargo");
    build.args(["build", "--release", "--locked", "--bins"]).current_dir(root);
    process::run(&mut build, BUILD_LIMIT).result?;

    let lab = Lab::open(&target(root))?;
    let mut session = Session::start(&lab, Plan::new(options))?;
    let parts = ALL.iter().filter(|part| options.only.is_empty() || options.only.contains(part));
    for part in parts {
        session.part(*part);
    }
    let is_whole = session.is_whole;
    let text = session.report(options.quick);
    println!("\n{text}");
    let file = target(root).join("bench").join("report.md");
    std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    println!("written to {}", file.display());
    Ok(is_whole)
}

/// One run: the clusters, and what was found so far.
struct Session<'a> {
    lab: &'a Lab,
    plan: Plan,
    began: Instant,
    members: Members<'a>,
    etcd: Option<Etcd<'a>>,
    rows: Vec<Row>,
    is_whole: bool,
}

impl<'a> Session<'a> {
    fn start(lab: &'a Lab, plan: Plan) -> Result<Self, String> {
        let members = Members::start(lab)?;
        let etcd = match tools::missing(&["etcd"]) {
            None => Some(Etcd::start(lab)?),
            Some(_) => None,
        };
        let mut rows = Vec::new();
        rows.extend(tools::missing(&["etcd"]).map(|why| Row::skipped("beside etcd", why)));
        Ok(Self { lab, plan, began: clock::now(), members, etcd, rows, is_whole: true })
    }

    /// Measures one part; that it fails is a row, too.
    fn part(&mut self, part: Part) {
        let name = format!("{part:?}").to_lowercase();
        if self.began.elapsed() > TIME_LIMIT {
            let why = format!("{} minutes were over", TIME_LIMIT.as_secs() / 60);
            return self.rows.push(Row::skipped(name, why));
        }
        eprintln!("measuring: {name} (load average {})", usage::load_average());
        let began = clock::now();
        match self.measure(part) {
            Ok(mut rows) => {
                let load = usage::load_average();
                rows.iter_mut().for_each(|row| row.conditions.push_str(&format!("; load average {load}")));
                self.rows.append(&mut rows);
            }
            Err(why) => {
                self.is_whole = false;
                self.rows.push(Row { conditions: why, ..Row::new(name.as_str(), "FAILED") });
            }
        }
        eprintln!("{name}: {:.0} s", began.elapsed().as_secs_f64());
    }

    fn measure(&mut self, part: Part) -> Result<Vec<Row>, String> {
        let (lab, plan, etcd) = (self.lab, &self.plan, self.etcd.as_ref());
        match part {
            Part::Writes => parts::writes::run(lab, &self.members, etcd, plan),
            Part::Heartbeats => parts::heartbeats::run(lab, &self.members, etcd, plan),
            Part::Watch => parts::feed::watch(lab, &self.members, plan),
            Part::Route => parts::feed::route(lab, &self.members, plan),
            Part::Gateway => match tools::missing(&["nginx", "wrk"]) {
                None => parts::proxy::run(lab, &self.members, plan),
                Some(why) => Ok(vec![Row::skipped("gateway beside nginx", why)]),
            },
            Part::Failover => parts::failover::run(&mut self.members, self.etcd.as_mut(), plan),
            Part::Capacity => {
                // Nothing is compared from here on.
                self.etcd = None;
                parts::capacity::run(lab, &mut self.members, plan)
            }
        }
    }

    fn report(&self, is_quick: bool) -> String {
        let quick = if is_quick { " A quick run: the numbers mean little." } else { "" };
        format!(
            "# Kenger's benchmark\n\nThree members, and three of etcd, on loopback of one machine with {} cores, \
             which also made the load; ratio is ours to theirs. {:.0} s in all.{quick}\n\n{}",
            usage::cores(),
            self.began.elapsed().as_secs_f64(),
            table::markdown(&self.rows)
        )
    }
}
