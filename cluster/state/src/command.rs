//! What goes into the Raft log.
//!
//! These types are stored on disk and sent between members: variants and fields are only ever added
//! at the end, and `cluster/src/codec.rs` has golden bytes of each.

use std::fmt;

use kenger_types::api::NodeAddress;
use kenger_types::{
    Description, HealthPath, Metadata, NamespaceId, NamespaceName, NodeId, Revision, TtlSeconds, Weight,
};
use serde::{Deserialize, Serialize};

/// A command with the time at which the leader took it. `apply` reads no clock, it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The leader's wall clock in milliseconds since 1970; for `created_at` and `updated_at` only.
    pub proposed_at_ms: u64,
    /// What to do.
    pub command: Command,
}

/// Which namespace a command means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamespaceKey {
    /// By number.
    Id(NamespaceId),
    /// By name.
    Name(NamespaceName),
}

/// The only thing that changes a [`crate::State`]. `if_revision` is compare-and-set on the object's
/// `mod_revision`; 0 means that there must be no such object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Makes a namespace; rejected if the name is taken.
    AddNamespace {
        /// Must not be taken.
        name: NamespaceName,
        /// What it is for.
        description: Description,
        /// Where nodes that name no path of their own are checked.
        health_path: HealthPath,
    },
    /// Changes a namespace; what is `None` stays.
    UpdateNamespace {
        /// Which.
        key: NamespaceKey,
        /// Must not be taken.
        new_name: Option<NamespaceName>,
        /// What it is for.
        description: Option<Description>,
        /// Where nodes that name no path of their own are checked.
        health_path: Option<HealthPath>,
        /// Compare-and-set.
        if_revision: Option<Revision>,
    },
    /// Deletes a namespace and its nodes.
    DeleteNamespace {
        /// Which.
        key: NamespaceKey,
        /// Compare-and-set.
        if_revision: Option<Revision>,
    },
    /// Registers a node, or renews its registration: what it declares is taken over, an operator's
    /// weight stays, an offline node comes back. Always gives the node a new epoch.
    Register {
        /// Which.
        key: NodeAddress,
        /// What the service declares.
        weight: Weight,
        /// Its own health path.
        health_path: Option<HealthPath>,
        /// What the service says about it.
        metadata: Metadata,
        /// The time to live it asks for.
        ttl_seconds: Option<TtlSeconds>,
        /// Whether to make the namespace if it is new.
        create_namespace: bool,
        /// Compare-and-set.
        if_revision: Option<Revision>,
    },
    /// Removes a node at its own wish.
    Deregister {
        /// Which.
        key: NodeAddress,
        /// Compare-and-set.
        if_revision: Option<Revision>,
    },
    /// Overrides the declared weight, or gives it back (`None`).
    SetWeight {
        /// Which.
        key: NodeAddress,
        /// The operator's weight.
        weight: Option<Weight>,
        /// Compare-and-set.
        if_revision: Option<Revision>,
    },
    /// Changes a node; what is `None` stays.
    UpdateNode {
        /// Which.
        id: NodeId,
        /// As `SetWeight`.
        weight: Option<Option<Weight>>,
        /// `Some(None)`: the namespace's.
        health_path: Option<Option<HealthPath>>,
        /// Replaces all pairs.
        metadata: Option<Metadata>,
        /// `Some(None)`: the cluster's default.
        ttl_seconds: Option<Option<TtlSeconds>>,
        /// Compare-and-set.
        if_revision: Option<Revision>,
    },
    /// Removes a node at an operator's wish.
    DeleteNode {
        /// Which.
        id: NodeId,
        /// Compare-and-set.
        if_revision: Option<Revision>,
    },
    /// Nodes whose leases ran out, as the leader saw them. A node whose epoch is another by now was
    /// heard from in between and is left alone.
    Expire {
        /// To be marked offline.
        offline: Vec<Seen>,
        /// To be deleted, after they have been offline for long enough.
        delete: Vec<Seen>,
    },
    /// Nodes that were offline, or about to be, and were heard from again. Each gets a new epoch.
    Return {
        /// Which.
        nodes: Vec<NodeId>,
    },
}

/// A node as the proposer of an expiry saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Which.
    pub id: NodeId,
    /// Its epoch then.
    pub epoch: u64,
}

impl Command {
    /// The command's name, for logs and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Command::AddNamespace { .. } => "add_namespace",
            Command::UpdateNamespace { .. } => "update_namespace",
            Command::DeleteNamespace { .. } => "delete_namespace",
            Command::Register { .. } => "register",
            Command::Deregister { .. } => "deregister",
            Command::SetWeight { .. } => "set_weight",
            Command::UpdateNode { .. } => "update_node",
            Command::DeleteNode { .. } => "delete_node",
            Command::Expire { .. } => "expire",
            Command::Return { .. } => "return",
        }
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.command.name(), self.proposed_at_ms)
    }
}
