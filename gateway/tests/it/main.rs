//! The gateway over real sockets: small services and a fake registry in this process, a gateway with
//! its own threads between them. Every port is 0 and every wait has a bound.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod support;

mod admin;
mod bodies;
mod discovery;
mod failures;
mod health;
mod lifecycle;
mod proxying;
mod retries;
mod routing;
mod smuggling;
mod tunnels;
