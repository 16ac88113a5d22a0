//! Whole clusters within one process: real members, real files, real sockets, default timers.

mod bootstrap;
mod failover;
mod harness;
mod restart;
mod traffic;
