//! Whole clusters within one process: real members, real files, real sockets, default timers.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its helpers, too"
)]

mod bootstrap;
mod failover;
mod harness;
mod leases;
mod restart;
mod traffic;
