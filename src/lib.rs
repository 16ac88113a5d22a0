//! The registry member as a program: configuration, HTTP API, start and stop.
//!
//! What a member does is in `kenger-cluster`; here it is put behind sockets. The binary is in
//! `main.rs`; this is a library so that tests can start the API in their own process.

pub mod api;
pub mod config;
pub mod environment;
pub mod exit;
pub mod process;
pub mod serve;
pub mod token;
