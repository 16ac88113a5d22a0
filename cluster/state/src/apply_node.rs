//! Commands about one node.

use std::sync::Arc;

use kenger_types::api::NodeAddress;
use kenger_types::feed::NodeCause;
use kenger_types::{Description, HealthPath, Metadata, NodeId, NodeStatus, Revision, Weight};

use crate::apply::{Transition, check_revision};
use crate::command::NamespaceKey;
use crate::outcome::{LeaseEffect, Output, Rejection};
use crate::record::{NamespaceRecord, NodeRecord};

impl Transition<'_> {
    /// `declare` writes into the node what the service says about it.
    pub(crate) fn register(
        &mut self,
        key: &NodeAddress,
        declare: impl FnOnce(&mut NodeRecord),
        create_namespace: bool,
        if_revision: Option<Revision>,
    ) -> Result<Output, Rejection> {
        let namespace = self.state.namespace(&key.ns).cloned();
        if namespace.is_none() && !create_namespace {
            return Err(Rejection::NamespaceNotFound(NamespaceKey::Name(key.ns.clone())));
        }
        let before = self.state.node(&key.ns, &key.host, key.port).cloned();
        check_revision(if_revision, before.as_ref().map_or(Revision(0), |node| node.mod_revision))?;

        let mut node = match &before {
            Some(before) => NodeRecord::clone(before),
            None => {
                let namespace = namespace.unwrap_or_else(|| {
                    self.make_namespace(&key.ns, &Description::default(), &HealthPath::default())
                });
                self.blank_node(&namespace, key)
            }
        };
        declare(&mut node);
        let node = self.put_alive(before.as_deref(), node, NodeCause::Registered);
        Ok(Output::Node(node))
    }

    pub(crate) fn deregister(
        &mut self,
        key: &NodeAddress,
        if_revision: Option<Revision>,
    ) -> Result<Output, Rejection> {
        let node = self.find_node(key)?;
        check_revision(if_revision, node.mod_revision)?;
        self.remove_node(&node, NodeCause::Deregistered);
        Ok(Output::NodeDeleted(node))
    }

    /// An override is a change even if it equals the declared weight, and so is taking such a one
    /// back: it decides what the next registration does.
    pub(crate) fn set_weight(
        &mut self,
        key: &NodeAddress,
        weight: Option<Weight>,
        if_revision: Option<Revision>,
    ) -> Result<Output, Rejection> {
        let before = self.find_node(key)?;
        check_revision(if_revision, before.mod_revision)?;
        let after = NodeRecord { weight_override: weight, ..NodeRecord::clone(&before) };
        Ok(Output::Node(self.put_node(Some(&before), after, NodeCause::Weight)))
    }

    /// `edit` writes into the node what the operator asks for.
    pub(crate) fn update_node(
        &mut self,
        id: NodeId,
        edit: impl FnOnce(&mut NodeRecord),
        if_revision: Option<Revision>,
    ) -> Result<Output, Rejection> {
        let before = self.find_node_by_id(id)?;
        check_revision(if_revision, before.mod_revision)?;
        let mut after = NodeRecord::clone(&before);
        edit(&mut after);
        let after = self.put_node(Some(&before), after, NodeCause::Updated);
        if after.ttl_seconds != before.ttl_seconds {
            self.leases.push(LeaseEffect::TtlChanged { id, ttl: after.ttl_seconds });
        }
        Ok(Output::Node(after))
    }

    pub(crate) fn delete_node(
        &mut self,
        id: NodeId,
        if_revision: Option<Revision>,
    ) -> Result<Output, Rejection> {
        let node = self.find_node_by_id(id)?;
        check_revision(if_revision, node.mod_revision)?;
        self.remove_node(&node, NodeCause::Deleted);
        Ok(Output::NodeDeleted(node))
    }

    /// Writes a node that was heard from: online, in a new epoch, with a full time to live. Only what
    /// clients see makes a change; epoch and time of hearing do not.
    pub(crate) fn put_alive(
        &mut self,
        before: Option<&NodeRecord>,
        mut node: NodeRecord,
        cause: NodeCause,
    ) -> Arc<NodeRecord> {
        node.status = NodeStatus::Online;
        node.epoch = self.new_epoch();
        node.heard_at_ms = self.at_ms;
        self.leases.push(LeaseEffect::Renewed { id: node.id, epoch: node.epoch, ttl: node.ttl_seconds });
        self.put_node(before, node, cause)
    }

    /// A node that has declared nothing yet.
    fn blank_node(&mut self, namespace: &NamespaceRecord, key: &NodeAddress) -> NodeRecord {
        let id = self.state.next_node_id;
        self.state.next_node_id = NodeId(id.0 + 1);
        NodeRecord {
            id,
            ns_id: namespace.id,
            ns: namespace.name.clone(),
            host: key.host.clone(),
            port: key.port,
            registered_weight: Weight::default(),
            weight_override: None,
            health_path: None,
            status: NodeStatus::Online,
            metadata: Metadata::default(),
            ttl_seconds: None,
            epoch: 0,
            heard_at_ms: self.at_ms,
            created_at_ms: self.at_ms,
            updated_at_ms: self.at_ms,
            mod_revision: self.revision,
        }
    }

    fn find_node(&self, key: &NodeAddress) -> Result<Arc<NodeRecord>, Rejection> {
        self.state
            .node(&key.ns, &key.host, key.port)
            .cloned()
            .ok_or_else(|| Rejection::NodeNotFound(format!("{}/{}", key.ns, key.host.authority(key.port))))
    }
}
