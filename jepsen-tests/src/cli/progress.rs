//! How a run goes, in one line: one that is written over again on a terminal, a new one from time to
//! time elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jepsen_tests::run::{Progress, Tally};

/// Where nobody sees a line being written over, one comes this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

pub(super) struct Show {
    time_limit: Duration,
    bar: ProgressBar,
    last: Option<Duration>,
}

impl Show {
    pub(super) fn new(time_limit: Duration) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template("{spinner} {wide_msg}").expect("a template"));
        Self { time_limit, bar, last: None }
    }

    pub(super) fn take(&mut self, progress: &Progress) {
        let line = line(progress, self.time_limit);
        if !self.bar.is_hidden() {
            self.bar.set_message(line);
            self.bar.tick();
        } else if self.last.is_none_or(|last| progress.elapsed >= last + LINE_EVERY) {
            self.last = Some(progress.elapsed);
            eprintln!("{line}");
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn line(progress: &Progress, time_limit: Duration) -> String {
    let Tally { answered, not_done, unknown, foreign, events, proxied, proxied_badly, .. } = &progress.tally;
    let Tally { faults, in_force, lead, leader_changes, .. } = &progress.tally;
    let mut line = format!(
        "{:>3} s of {}: {}; {answered} answered, {not_done} not done, {unknown} unknown",
        progress.elapsed.as_secs(),
        time_limit.as_secs(),
        progress.stage
    );
    if *foreign > 0 {
        line += &format!(", {foreign} FOREIGN");
    }
    line += &format!("; {events} events");
    if *proxied > 0 {
        line += &format!("; {proxied} proxied, {proxied_badly} of them badly");
    }
    if let Some((term, leader)) = lead {
        let leader = leader.map_or_else(|| "nobody".to_owned(), |id| id.to_string());
        line += &format!("; {leader} leads in term {term} ({leader_changes} changes)");
    }
    if *faults > 0 {
        let names: Vec<_> = in_force.values().map(String::as_str).collect();
        line += &format!(
            "; {faults} faults, now {}",
            if names.is_empty() { "none".to_owned() } else { names.join("+") }
        );
    }
    line
}
