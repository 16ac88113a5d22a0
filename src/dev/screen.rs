//! What `kenger dev` says: progress, what runs where, what to try, and what has ended.

use std::io::IsTerminal;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use comfy_table::{Table, presets};
use indicatif::ProgressBar;
use kenger_types::MemberId;

use super::crew::Crew;
use super::parts::{Part, registry};
use super::ports::Ports;
use super::{NAMESPACE, TOKEN};

/// Between two pictures of the progress line.
const SPINNER_INTERVAL: Duration = Duration::from_millis(100);

/// The line that says what is being waited for.
pub(super) struct Progress {
    /// Absent where nobody looks: then each step is a line of its own.
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(ProgressBar::new_spinner);
        if let Some(bar) = &bar {
            bar.enable_steady_tick(SPINNER_INTERVAL);
        }
        Self { bar }
    }

    pub(super) fn say(&self, waiting_for: &str) {
        let text = format!("waiting for {waiting_for} …");
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None => eprintln!("{text}"),
        }
    }

    pub(super) fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Says what runs where, what to try, and how to start a part again.
pub(super) fn welcome(crew: &Crew, ports: Ports, leader: Option<MemberId>, took: Duration) {
    let leader = leader.map(|id| format!("member {id}"));
    let leads = |part: &Part| Some(&part.name) == leader.as_ref();
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["PART", "PID", "WHERE", "LOG"]);
    for (part, pid) in crew.parts() {
        let name = if leads(part) { format!("{} (leads)", part.name) } else { part.name.clone() };
        table.add_row([name, pid.to_string(), part.place.clone(), part.log.display().to_string()]);
    }
    println!(
        "\nKenger is up, after {:.1} seconds. Ctrl-C stops everything.\n\n{table}\n",
        took.as_secs_f32()
    );

    let endpoints = registry(ports).join(",");
    let program = crew.parts().next().map(|(part, _)| part.program.with_file_name("kengerctl"));
    let kengerctl = program.map_or_else(|| "kengerctl".to_owned(), |program| program.display().to_string());
    let victim = crew.parts().find(|(part, _)| leads(part)).or_else(|| crew.parts().next());
    let (victim, pid) = victim.map(|(part, pid)| (part.name.as_str(), pid)).unwrap_or_default();
    let second = ports.service(1);
    println!("Try, in another terminal:");
    println!("\n  # Traffic goes to v1 and v2, 90 to 10.");
    println!("  for i in $(seq 100); do curl -s http://{}/; done | sort | uniq -c", ports.gateway());
    println!("\n  # Shift it: v2 gets as much as v1. Run the loop again.");
    println!("  {kengerctl} --endpoints {endpoints} --token {TOKEN} node weight {NAMESPACE} {second} 90");
    println!("\n  # Kill the leader ({victim}) while the loop runs: no request fails, no node is lost.");
    println!("  kill -9 {pid}");
    println!("\nTo start a part again after that:");
    for (part, _) in crew.parts() {
        println!("\n  # {}\n  {}", part.name, part.command_line());
    }
    println!();
}

/// Says that a part has ended, and how it can be started again.
pub(super) fn part_ended(part: &Part, status: ExitStatus) {
    let how = match status.signal() {
        Some(signal) => format!("was ended by signal {signal}"),
        None => format!("ended ({status})"),
    };
    eprintln!("{} {how}. Start it again in a terminal of its own:\n\n  {}\n", part.name, part.command_line());
}
