//! The HTTP API over real sockets, in front of real members.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails is a test that fails")]

mod auth;
mod bad_input;
mod contract;
mod failover;
mod heartbeat;
mod operations;
mod registry;
mod stop;
mod support;
mod sync;
mod watch;
