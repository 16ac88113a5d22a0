//! Between members: authenticated, framed, multiplexed requests over one TCP port.
//!
//! A connection serves one [`Purpose`], so that heartbeats and votes never queue behind entries,
//! snapshots or forwarded writes. It begins with a [`handshake`] in which both sides prove the peer
//! secret and name cluster, member and incarnation of both; after that one side asks and the other
//! answers, in any order. An error says whether the request can have been acted on.

mod connection;
mod frame;
mod handshake;
mod message;
mod peers;
mod server;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use connection::{CallError, PendingAnswer};
pub(crate) use handshake::{Hello, PeerIdentity, Purpose};
pub(crate) use message::{
    MemberReport, ProbeAnswer, ProbeMember, Request, Response, SnapshotChunk, SnapshotHead,
};
pub(crate) use peers::{PeerAddress, Peers};
pub(crate) use server::{Admission, BoxAnswer, BoxDecision, Server, Service};
