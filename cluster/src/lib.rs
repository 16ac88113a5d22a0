//! A member of the Kenger cluster.
//!
//! [`Member`] is all that the rest of the program sees: it proposes commands, answers reads from the
//! replicated state, takes heartbeats and serves the change feed. Consensus (openraft) and storage
//! (sled, redb) do not appear in any public signature.
//!
//! Data flows one way: `proposer` → raft log (`storage`) → `machine` (apply) → `feed` and `lease`.
//! The one loop is `lease` → `proposer`: a lease that ran out re-enters by the front door.

mod codec;
pub mod config;
pub mod env;
pub mod error;
pub mod feed;
mod lease;
pub mod member;
mod raft;
mod storage;

/// The state machine, for the types of commands and answers.
pub use kenger_state as state;

pub use config::{MemberConfig, StoreKind};
pub use env::Env;
pub use error::{ProposeError, ReadError, StartError};
pub use feed::{FeedEvent, FeedFilter, FeedItem, Subscription};
pub use member::{Committed, HeartbeatOutcome, Leadership, Member};
