//! The data plane: takes requests, picks a node, passes both bodies through.
//!
//! One worker per core; each has its own runtime, sockets and upstream connections. On its way a
//! request loads the table once, takes no lock and asks nobody (invariant 20).
//!
//! Not forwarded: interim responses (1xx other than 101), because the HTTP library cannot send them;
//! `Expect: 100-continue` is answered by the gateway as soon as a node takes the body.

mod body;
mod budget;
mod client;
mod client_io;
mod exchange;
mod failure;
mod gate;
mod head_timer;
mod headers;
mod listen;
mod pool;
mod progress;
mod rules;
mod tunnel;
mod worker;

pub(crate) use exchange::ATTEMPTS_MAX;
pub(crate) use failure::{Failure, RetryReason};
pub(crate) use listen::bind;
pub(crate) use worker::{WorkerHandle, WorkerSetup};
