//! A member of the Kenger cluster.
//!
//! [`Member`] is all that the rest of the program sees: it proposes commands, answers reads from the
//! replicated state, takes heartbeats and serves the change feed. Consensus (openraft) and storage
//! (sled, redb) do not appear in any public signature.
//!
//! Data flows one way: `proposer` → raft log (`storage`) → `machine` (apply) → `feed` and `lease`.
//! The one loop is `lease` → `proposer`: a lease that ran out re-enters by the front door.

mod bootstrap;
mod codec;
mod compaction;
pub mod config;
pub mod env;
pub mod error;
mod failure;
pub mod feed;
mod handover;
mod identity;
mod leadership;
mod lease;
mod lease_link;
pub mod member;
mod membership;
mod proposer;
mod publisher;
mod raft;
mod reader;
mod service;
pub mod stats;
mod status;
mod storage;
mod transport;

/// The state machine, for the types of commands and answers.
pub use kenger_state as state;

pub use config::{MemberConfig, StoreKind};
pub use env::Env;
pub use error::{MembershipError, ProposeError, ReadError, StartError};
pub use feed::{FeedEnd, FeedEvent, FeedFilter, FeedItem, FeedStats, Subscription};
pub use leadership::Leadership;
pub use lease::LeaseStats;
pub use member::{Committed, HeartbeatOutcome, Member};
pub use stats::MemberStats;
