//! Who asks a cluster for things while faults happen, writes down what was answered, and decides
//! afterwards whether the promises were kept.

mod pulse;
mod replica;
mod watcher;
mod writers;

pub use pulse::{Pulse, PulseReport};
pub use replica::Replica;
pub use watcher::{WatchReport, Watcher};
pub use writers::{Ledger, Writers};
