//! What clients do with a cluster while faults happen. One file for each workload, and one line in
//! [`all`].

use futures_util::future::LocalBoxFuture;

use crate::history::Floor;
use crate::run::{Clients, Setup};

/// A kind of use.
pub trait Workload {
    /// Called once before the cluster starts: settings that it needs.
    fn prepare(&mut self, _setup: &mut Setup) {}

    /// What a run of `seconds` seconds has to have done at least; it raises the figures that it is about.
    fn raise(&self, floor: &mut Floor, seconds: u64);

    /// Works until `clients.stop` is cancelled, and ends within [`crate::run::DRAIN_LIMIT`] after that.
    /// What is asked and answered is noted by the clients; an answer that is wrong is no error here.
    ///
    /// # Errors
    /// It cannot work, for a reason that is not the cluster's. That ends the run.
    fn run(self: Box<Self>, clients: Clients) -> LocalBoxFuture<'static, Result<(), String>>;
}

/// A line of the list: what `--workload` calls it, what it does, and how it is made.
pub struct Entry {
    /// One word.
    pub name: &'static str,
    /// One line.
    pub about: &'static str,
    /// Makes one for a run.
    pub make: fn() -> Box<dyn Workload>,
}

/// All workloads.
pub fn all() -> Vec<Entry> {
    Vec::new()
}
