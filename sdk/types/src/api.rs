//! Bodies of requests and answers of the HTTP API.
//!
//! A request with a field that is not listed here is refused: a misspelt `weight` must not register
//! a node at the default weight.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    Description, HealthPath, Host, Metadata, NamespaceId, NamespaceName, NodeId, NodeStatus, Port, Revision,
    TtlSeconds, Weight,
};

/// Paths of the API, each once.
pub mod path {
    /// `GET` all namespaces.
    pub const NAMESPACE_LIST: &str = "/api/upstream/namespace/list";
    /// `POST` [`super::NamespaceAdd`].
    pub const NAMESPACE_ADD: &str = "/api/upstream/namespace/add";
    /// `POST` [`super::NamespaceUpdate`].
    pub const NAMESPACE_UPDATE: &str = "/api/upstream/namespace/update";
    /// `POST` [`super::NamespaceDelete`].
    pub const NAMESPACE_DELETE: &str = "/api/upstream/namespace/delete";
    /// `GET` nodes.
    pub const NODE_LIST: &str = "/api/upstream/node/list";
    /// `POST` [`super::NodeRegister`].
    pub const NODE_REGISTER: &str = "/api/upstream/node/register";
    /// `POST` [`super::NodeDeregister`].
    pub const NODE_DEREGISTER: &str = "/api/upstream/node/deregister";
    /// `POST` [`super::NodeWeight`].
    pub const NODE_WEIGHT: &str = "/api/upstream/node/weight";
    /// `POST` [`super::NodeUpdate`].
    pub const NODE_UPDATE: &str = "/api/upstream/node/update";
    /// `POST` [`super::NodeDelete`].
    pub const NODE_DELETE: &str = "/api/upstream/node/delete";
    /// `POST` [`super::Heartbeat`].
    pub const HEARTBEAT: &str = "/api/upstream/heartbeat";
    /// `GET` the nodes that take traffic.
    pub const SYNC: &str = "/api/upstream/sync";
    /// `GET` the change feed.
    pub const WATCH: &str = "/api/upstream/watch";
    /// `GET` [`crate::cluster::ClusterStatus`].
    pub const CLUSTER_STATUS: &str = "/api/cluster/status";
    /// `GET`: the process is up.
    pub const HEALTHZ: &str = "/healthz";
    /// `GET`: the member has a leader and has caught up.
    pub const READYZ: &str = "/readyz";
    /// `GET` metrics for Prometheus.
    pub const METRICS: &str = "/metrics";
}

/// Names of the headers that Kenger defines.
pub mod header {
    /// A token, for clients that cannot set `Authorization`.
    pub const API_TOKEN: &str = "x-api-token";
    /// The revision that an answer was made from.
    pub const REVISION: &str = "x-kenger-revision";
    /// How long ago the answering member last heard from a leader, in milliseconds (stale reads).
    pub const LEADER_LAG_MS: &str = "x-kenger-leader-lag-ms";
}

/// Every successful answer: `{"code": 0, "message": "ok", "data": …}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope<T> {
    /// Always 0.
    pub code: u16,
    /// Always `ok`.
    pub message: String,
    /// The answer.
    pub data: T,
}

impl<T> Envelope<T> {
    /// The envelope of a success.
    pub fn ok(data: T) -> Self {
        Self { code: 0, message: "ok".to_owned(), data }
    }
}

/// The answer of `sync`: the envelope with the revision as `version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncEnvelope {
    /// Always 0.
    pub code: u16,
    /// Always `ok`.
    pub message: String,
    /// The revision that the answer was made from.
    pub version: Revision,
    /// By namespace name; a namespace without online nodes is there, with none.
    pub data: BTreeMap<NamespaceName, SyncNamespace>,
}

/// One namespace in [`SyncEnvelope`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncNamespace {
    /// Where nodes that name no path of their own are checked.
    pub health_path: HealthPath,
    /// The online nodes, by host and port.
    pub nodes: Vec<SyncNode>,
}

/// One online node in [`SyncEnvelope`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncNode {
    /// Where it listens.
    pub host: Host,
    /// Where it listens.
    pub port: Port,
    /// Its share of traffic.
    pub weight: Weight,
    /// Where it is checked: its own path or the namespace's.
    pub health_path: HealthPath,
    /// What the service says about it.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

/// Body of `namespace/add`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceAdd {
    /// Must not be taken.
    pub name: NamespaceName,
    /// Empty if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// `/api/status` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_path: Option<HealthPath>,
}

/// Body of `namespace/update`. What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceUpdate {
    /// Which, by number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<NamespaceId>,
    /// Which, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<NamespaceName>,
    /// Must not be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_name: Option<NamespaceName>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// Where nodes that name no path of their own are checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_path: Option<HealthPath>,
    /// Only if the namespace's `mod_revision` is this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_revision: Option<Revision>,
}

/// Body of `namespace/delete`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceDelete {
    /// Which, by number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<NamespaceId>,
    /// Which, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<NamespaceName>,
    /// Only if the namespace's `mod_revision` is this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_revision: Option<Revision>,
}

/// Body of `node/register`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRegister {
    /// Made if it is new.
    #[serde(alias = "namespace")]
    pub ns: NamespaceName,
    /// Where the node listens.
    pub host: Host,
    /// Where the node listens.
    pub port: Port,
    /// 100 if absent.
    #[serde(default)]
    pub weight: Weight,
    /// The namespace's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_path: Option<HealthPath>,
    /// What the service says about the node.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// The cluster's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<TtlSeconds>,
    /// Only if the node's `mod_revision` is this; 0: only if there is no such node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_revision: Option<Revision>,
}

/// Which node is meant, by where it listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeAddress {
    /// Its namespace.
    #[serde(alias = "namespace")]
    pub ns: NamespaceName,
    /// Where it listens.
    pub host: Host,
    /// Where it listens.
    pub port: Port,
}

/// Body of `node/deregister`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeDeregister {
    /// Its namespace.
    #[serde(alias = "namespace")]
    pub ns: NamespaceName,
    /// Where it listens.
    pub host: Host,
    /// Where it listens.
    pub port: Port,
    /// Only if the node's `mod_revision` is this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_revision: Option<Revision>,
}

/// Body of `node/weight`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeWeight {
    /// Its namespace.
    #[serde(alias = "namespace")]
    pub ns: NamespaceName,
    /// Where it listens.
    pub host: Host,
    /// Where it listens.
    pub port: Port,
    /// Must be there: a number overrides what the service declares, `null` gives that back.
    #[serde(deserialize_with = "present")]
    pub weight: Option<Weight>,
    /// Only if the node's `mod_revision` is this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_revision: Option<Revision>,
}

/// Body of `node/update`. What is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeUpdate {
    /// Which.
    pub id: NodeId,
    /// As `node/weight`: a number overrides, `null` gives back.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub weight: Option<Option<Weight>>,
    /// `null`: the namespace's.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub health_path: Option<Option<HealthPath>>,
    /// Replaces all pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// `null`: the cluster's default.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<Option<TtlSeconds>>,
    /// Only if the node's `mod_revision` is this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_revision: Option<Revision>,
}

/// Body of `node/delete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeDelete {
    /// Which.
    pub id: NodeId,
    /// Only if the node's `mod_revision` is this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_revision: Option<Revision>,
}

/// Body of `heartbeat` for many nodes; one node sends a [`NodeAddress`] as the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatBatch {
    /// At most [`crate::limits::HEARTBEAT_BATCH_MAX_NODES`].
    pub nodes: Vec<NodeAddress>,
}

/// What a heartbeat did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatAck {
    /// Always online: a heartbeat brings a node back.
    pub status: NodeStatus,
    /// Within this many seconds the next one must come.
    pub ttl_seconds: u32,
}

/// What a batch of heartbeats did, node by node in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatBatchAck {
    /// One for each node of the request.
    pub nodes: Vec<HeartbeatBatchItem>,
}

/// One node of a [`HeartbeatBatchAck`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum HeartbeatBatchItem {
    /// Heard.
    Ok(HeartbeatAck),
    /// No such node: it has to register again.
    NodeNotFound,
}

/// Deserializes an `Option` whose key must be there (`null` is a value, absence an error).
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(from)
}

/// Deserializes the inner `Option` of a key that was given, so that `null` and absence differ.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}
