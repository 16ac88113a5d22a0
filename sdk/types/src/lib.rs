//! Wire types of Kenger: what travels between clients, members and gateways as JSON.
//!
//! Every value that a client can send is a type here that cannot hold an invalid value: parsing is
//! validation, so that no other crate checks a name, a port or a weight a second time. The crate
//! knows no transport and no clock.

pub mod api;
pub mod cluster;
pub mod error;
pub mod feed;
pub mod id;
pub mod limits;
pub mod metadata;
pub mod name;
pub mod number;
pub mod time;
pub mod view;

pub use api::{Envelope, SyncEnvelope};
pub use error::{ApiError, ErrorCode};
pub use id::{ClusterId, Incarnation, MemberId, NamespaceId, NodeId, Revision};
pub use metadata::Metadata;
pub use name::{Description, HealthPath, Host, NamespaceName};
pub use number::{Port, TtlSeconds, Weight};
pub use time::Timestamp;
pub use view::{Namespace, Node, NodeStatus};

/// A value that broke one of the rules of this crate, with what is wrong and what is allowed.
///
/// The message is written for the person who sent the value; the name of the field is added by
/// whoever knows it (the JSON path, the flag, the query parameter).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(pub String);

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}
