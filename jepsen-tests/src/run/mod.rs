//! A run: a cluster, clients, faults, and the history of it all.

mod arena;
mod clients;
mod recorder;

use std::time::Duration;

pub use arena::{Arena, Setup, process};
pub use clients::Clients;
pub use recorder::{RECORDS_MAX, Recorder};

/// A workload ends within this time after it was told to stop: what it waits for is bounded by less.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(15);
