//! Calls about nodes: listing, registration, heartbeats and what operators do.

use kenger_types::api::{
    HeartbeatAck, HeartbeatBatch, HeartbeatBatchAck, NodeAddress, NodeDelete, NodeDeregister, NodeRegister,
    NodeUpdate, NodeWeight, path,
};
use kenger_types::{NamespaceName, Node, NodeStatus};
use serde::de::IgnoredAny;

use super::call::{Call, Repeat, is_gone};
use super::{Answer, Client, Consistency};
use crate::Error;

/// Which nodes to list; what is absent does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeQuery {
    /// Of this namespace.
    pub ns: Option<NamespaceName>,
    /// Of this status.
    pub status: Option<NodeStatus>,
    /// Whose metadata names this version.
    pub version: Option<String>,
    /// How fresh the answer has to be.
    pub consistency: Consistency,
}

impl Client {
    /// The nodes that the query asks for.
    ///
    /// # Errors
    /// See [`Error`]; a namespace that does not exist may be one.
    pub async fn nodes(&self, query: &NodeQuery) -> Result<Answer<Vec<Node>>, Error> {
        let call = Call::get(path::NODE_LIST)
            .query("ns", query.ns.as_ref())
            .query("status", query.status)
            .query("version", query.version.as_ref())
            .consistency(query.consistency);
        self.call(&call).await
    }

    /// Registers a node, or renews its registration. Idempotent, so that it goes to the next endpoint
    /// when one does not answer; not so with `if_revision`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn register(&self, body: &NodeRegister) -> Result<Node, Error> {
        let repeat = Repeat::idempotent_unless(body.if_revision);
        Ok(self.call(&Call::post(path::NODE_REGISTER, body, repeat)?).await?.data)
    }

    /// Removes a node at its own wish. Idempotent, so that it goes to the next endpoint when one does
    /// not answer; not so with `if_revision`.
    ///
    /// # Errors
    /// See [`Error`]. That there is no such node is no error if an attempt before may have removed it.
    pub async fn deregister(&self, body: &NodeDeregister) -> Result<(), Error> {
        let repeat = Repeat::idempotent_unless(body.if_revision);
        match self.send(&Call::post(path::NODE_DEREGISTER, body, repeat)?).await {
            Ok(_) => Ok(()),
            Err(failed) if failed.after_unknown && is_gone(&failed) => Ok(()),
            Err(failed) => Err(failed.error),
        }
    }

    /// Overrides the weight that a node declares, or gives it back. Never sent twice.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn set_weight(&self, body: &NodeWeight) -> Result<Node, Error> {
        Ok(self.call(&Call::post(path::NODE_WEIGHT, body, Repeat::Never)?).await?.data)
    }

    /// Changes a node; answers what it is now. Never sent twice.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn update_node(&self, body: &NodeUpdate) -> Result<Node, Error> {
        Ok(self.call(&Call::post(path::NODE_UPDATE, body, Repeat::Never)?).await?.data)
    }

    /// Removes a node at an operator's wish. Never sent twice.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_node(&self, body: &NodeDelete) -> Result<(), Error> {
        self.call::<IgnoredAny>(&Call::post(path::NODE_DELETE, body, Repeat::Never)?).await.map(drop)
    }

    /// Says that a node is alive. Idempotent.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::is_not_found`]: the node has to register again.
    pub async fn heartbeat(&self, node: &NodeAddress) -> Result<HeartbeatAck, Error> {
        Ok(self.call(&Call::post(path::HEARTBEAT, node, Repeat::Idempotent)?).await?.data)
    }

    /// Says that many nodes are alive, at most
    /// [`HEARTBEAT_BATCH_MAX_NODES`](kenger_types::limits::HEARTBEAT_BATCH_MAX_NODES). Idempotent.
    ///
    /// # Errors
    /// See [`Error`]. A node that has to register again is told in the answer.
    pub async fn heartbeat_batch(&self, batch: &HeartbeatBatch) -> Result<HeartbeatBatchAck, Error> {
        Ok(self.call(&Call::post(path::HEARTBEAT, batch, Repeat::Idempotent)?).await?.data)
    }
}
