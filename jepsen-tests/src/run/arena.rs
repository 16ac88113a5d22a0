//! What a run holds, and what a nemesis may lay hands on.

use std::path::PathBuf;

use nix::sys::signal::Signal;

use super::recorder::Recorder;
use crate::harness::{Cluster, Ending, MemberId, Network, Settings};
use crate::history::Happened;

/// What is decided before the cluster starts. Workloads and nemeses may change it in `prepare`.
#[derive(Debug)]
pub struct Setup {
    /// How the members are started.
    pub settings: Settings,
    /// The directory of the run; what is put there stays after the run.
    pub folder: PathBuf,
    /// What joins the members, before any of them was started.
    pub network: Box<dyn Network>,
}

/// A running cluster with everything around it. The nemeses have it in turn, so nobody else starts,
/// ends or stops members meanwhile; clients are tasks of their own that have no part in it.
#[derive(Debug)]
pub struct Arena {
    /// The members. Start and end them by the methods of the arena, which also note it.
    pub cluster: Cluster,
    /// What joins them.
    pub network: Box<dyn Network>,
    /// Where things are noted; its clock is the clock of the run.
    pub recorder: Recorder,
    /// Decides for the nemeses; from the seed of the run.
    pub rng: fastrand::Rng,
    /// The directory of the run.
    pub folder: PathBuf,
    /// A nemesis at work expects these members to end by themselves (their disk is full, a bit was
    /// flipped). The run starts every other one that ends, and notes that it was not expected.
    pub may_end: Vec<MemberId>,
    /// Members that have no power: nobody starts them before they have.
    pub dark: Vec<MemberId>,
    /// Members whose store was damaged. Each may refuse to start, now or later, and is lost then.
    pub damaged: Vec<MemberId>,
    /// Members that are out for the rest of the run, because their store is damaged and they say so.
    /// Nobody starts them, or waits for them.
    pub lost: Vec<MemberId>,
    pub(super) unexpected: u32,
}

/// Members that end by themselves are started again so often in a run.
const RESTARTS_MAX: u32 = 6;
/// How many lines of its output are noted when a member ends by itself.
const LINES_MAX: usize = 12;

impl Arena {
    /// All members.
    pub fn ids(&self) -> Vec<MemberId> {
        self.cluster.ids()
    }

    /// How many members can be away while the others still have a quorum.
    pub fn spare(&self) -> usize {
        (self.ids().len() - 1) / 2
    }

    /// Draws `count` of `ids` (all, if there are not so many), in a random order.
    pub fn draw(&mut self, ids: &[MemberId], count: usize) -> Vec<MemberId> {
        let mut ids = ids.to_vec();
        self.rng.shuffle(&mut ids);
        ids.truncate(count);
        ids
    }

    /// Starts a member that does not run.
    pub fn start(&mut self, id: MemberId) {
        self.cluster.start_member(id);
        self.recorder.note_life(&process(id), Happened::Started);
    }

    /// Kills a member that runs.
    pub fn kill(&mut self, id: MemberId) {
        self.cluster.kill(id);
        self.recorder.note_life(&process(id), Happened::Killed);
    }

    /// Notes which members have ended by themselves, and starts those again that should not have.
    pub(crate) fn look_after_members(&mut self) {
        for id in self.ids() {
            let Some((status, output)) = self.cluster.ended(id) else { continue };
            let is_damaged = self.damaged.contains(&id);
            let is_expected = is_damaged || self.may_end.contains(&id);
            let from = output.lines().count().saturating_sub(LINES_MAX);
            let lines: Vec<_> = output.lines().skip(from).collect();
            let how = format!("{status}; {}", lines.join("\n"));
            self.recorder.note_life(&process(id), Happened::Ended { how, is_expected });
            if is_damaged {
                self.lost.push(id);
            }
            if !is_expected && self.unexpected < RESTARTS_MAX {
                self.unexpected += 1;
                self.start(id);
            }
        }
    }

    /// Starts every member that does not run, unless it has ended by itself again and again.
    pub(super) fn start_missing(&mut self) {
        self.may_end.clear();
        let running = self.cluster.running();
        for id in self.ids() {
            if !running.contains(&id) && !self.lost.contains(&id) && self.unexpected < RESTARTS_MAX {
                self.start(id);
            }
        }
    }

    /// Asks a member to stop (SIGTERM) and waits until it has.
    ///
    /// # Panics
    /// It does not do so in time, or not with success.
    pub async fn stop(&mut self, id: MemberId) {
        self.cluster.end(id, Ending::Asked).await;
        let how = format!("asked to stop by {}", Signal::SIGTERM);
        self.recorder.note_life(&process(id), Happened::Ended { how, is_expected: true });
    }
}

/// What a member's process is called in a history.
pub fn process(id: MemberId) -> String {
    format!("member {id}")
}
