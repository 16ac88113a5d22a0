//! The store under openraft's own suite, restarts, failures, kills and power cuts, on every engine.

mod append_speed;
mod disk_full;
mod failures;
mod fixtures;
mod flipped_bits;
mod kill_nine;
mod ledger;
mod loop_device;
mod model;
mod no_sync;
mod power_cut;
mod restart;
mod snapshots;
mod suite;
mod workload;
