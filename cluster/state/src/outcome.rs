//! What applying a command gave.

use std::sync::Arc;

use kenger_types::feed::Change;
use kenger_types::{NamespaceName, NodeId, Revision, TtlSeconds};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::command::NamespaceKey;
use crate::record::{NamespaceRecord, NodeRecord};

/// Everything that one command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The revision after the command; higher than before exactly if `changes` is not empty.
    pub revision: Revision,
    /// The answer to whoever proposed it.
    pub result: Result<Output, Rejection>,
    /// For the feed, in the order in which they are to be applied.
    pub changes: Vec<Change>,
    /// For the lease keeper.
    pub leases: Vec<LeaseEffect>,
}

/// What a successful command answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// The namespace as it is now.
    Namespace(Arc<NamespaceRecord>),
    /// The node as it is now.
    Node(Arc<NodeRecord>),
    /// The namespace as it last was, and how many nodes went with it.
    NamespaceDeleted(Arc<NamespaceRecord>, u64),
    /// The node as it last was.
    NodeDeleted(Arc<NodeRecord>),
    /// How many nodes of an expiry were marked offline and how many were deleted; the others had
    /// been heard from.
    Expired {
        /// Marked offline.
        offline: u64,
        /// Deleted.
        deleted: u64,
    },
    /// Which nodes of a return are online now; the others are gone.
    Returned(Vec<NodeId>),
}

/// What a command did to the liveness of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseEffect {
    /// Registered or returned: online, with a full time to live from now on.
    Renewed {
        /// Which.
        id: NodeId,
        /// Its epoch from now on.
        epoch: u64,
        /// The time to live it asked for.
        ttl: Option<TtlSeconds>,
    },
    /// Marked offline: deleted if it stays silent.
    Offline {
        /// Which.
        id: NodeId,
        /// Its epoch, as before.
        epoch: u64,
    },
    /// Its time to live is another; the lease goes on.
    TtlChanged {
        /// Which.
        id: NodeId,
        /// The time to live it asks for now.
        ttl: Option<TtlSeconds>,
    },
    /// Gone.
    Removed {
        /// Which.
        id: NodeId,
    },
}

/// Why a command changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum Rejection {
    /// No such namespace.
    #[error("there is no namespace {}", namespace(.0))]
    NamespaceNotFound(NamespaceKey),
    /// No such node.
    #[error("there is no node {0}")]
    NodeNotFound(String),
    /// The name is taken.
    #[error("there is a namespace {0:?} already; choose another name or update that one")]
    NamespaceExists(NamespaceName),
    /// Another revision than the expected one.
    #[error("if_revision is {expected}, but mod_revision is {current}; read it again and decide anew")]
    RevisionMismatch {
        /// What the object's `mod_revision` is; 0 if there is no such object.
        current: Revision,
        /// What the command expected.
        expected: Revision,
    },
}

fn namespace(key: &NamespaceKey) -> String {
    match key {
        NamespaceKey::Id(id) => format!("with id {id}"),
        NamespaceKey::Name(name) => format!("{name:?}"),
    }
}
