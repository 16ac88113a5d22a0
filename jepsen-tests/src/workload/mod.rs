//! What clients do with a cluster while faults happen. One file for each workload, and one line in
//! [`all`].

mod bulk;
mod edge;
mod feed;
mod gateway;
mod heartbeat;
mod register;
mod settled;

use std::ops::Range;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::history::Floor;
use crate::run::{Clients, Setup};

/// A kind of use.
pub trait Workload {
    /// Called once before the cluster starts: settings that it needs.
    fn prepare(&mut self, _setup: &mut Setup) {}

    /// What a run of `seconds` seconds has to have done at least, in the figures that it is about; the
    /// others stay 0. Of several workloads the largest of each figure counts, except of
    /// `acknowledged_per_key`, which is about the keys of all of them: there the smallest counts.
    fn floor(&self, seconds: u64) -> Floor;

    /// Works until `clients.stop` is cancelled, and ends within [`crate::run::DRAIN_LIMIT`] after that.
    /// What is asked and answered is noted by the clients; an answer that is wrong is no error here.
    ///
    /// # Errors
    /// It cannot work, for a reason that is not the cluster's. That ends the run.
    fn run(self: Box<Self>, clients: Clients) -> LocalBoxFuture<'static, Result<(), String>>;
}

/// A line of the list: what `--workload` calls it, what it does, and how it is made.
#[derive(Debug, Clone, Copy)]
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
    vec![
        Entry {
            name: "register",
            about: "writes with compare-and-set and linearizable reads of a few nodes, at any member",
            make: || Box::new(register::Register),
        },
        Entry {
            name: "feed",
            about: "watchers, some with a filter, that resume on other members; a little writing",
            make: || Box::new(feed::Feed),
        },
        Entry {
            name: "settled",
            about: "nodes that are given a weight once and left alone, while snapshots come often",
            make: || Box::new(settled::Settled),
        },
        Entry {
            name: "bulk",
            about: "registrations as large as can be, and a ring that holds few of them",
            make: || Box::new(bulk::Bulk),
        },
        Entry {
            name: "edge",
            about: "nodes that are heard from when their time is just about to run out, or just has",
            make: || Box::new(edge::Edge),
        },
        Entry {
            name: "heartbeat",
            about: "nodes that keep beating at any member, and nodes that stop and are to be deleted",
            make: || Box::new(heartbeat::Heartbeat),
        },
        Entry {
            name: "gateway",
            about: "requests through a real gateway while services change their weight, come and go",
            make: || Box::new(gateway::Gateway),
        },
    ]
}

/// Waits for a time in this range of milliseconds, or until the run is over.
async fn pause(rng: &mut fastrand::Rng, ms: Range<u64>, clients: &Clients) {
    let time = Duration::from_millis(rng.u64(ms));
    tokio::select! {
        () = sleep(time) => {}
        () = clients.stop.cancelled() => {}
    }
}

/// Waits for all clients of a workload.
async fn join_all(mut tasks: JoinSet<Result<(), String>>) -> Result<(), String> {
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| format!("a client ended: {error}"))??;
    }
    Ok(())
}
