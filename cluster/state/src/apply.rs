//! The one way to change a [`State`]: each command is a transition that either is rejected and
//! leaves no trace, or is carried out whole, at one revision.

use std::sync::Arc;

use kenger_types::feed::{Change, NodeCause};
use kenger_types::{NodeId, Revision};

use crate::command::{Command, NamespaceKey, Proposal};
use crate::outcome::{Applied, LeaseEffect, Output, Rejection};
use crate::record::{NamespaceRecord, NodeRecord};
use crate::state::State;

impl State {
    /// Applies one command. A function of `self` and `proposal` alone.
    pub fn apply(&mut self, proposal: &Proposal) -> Applied {
        let mut transition = Transition {
            at_ms: proposal.proposed_at_ms,
            revision: self.revision.next(),
            state: self,
            changes: Vec::new(),
            leases: Vec::new(),
        };
        let result = transition.run(&proposal.command);
        let Transition { revision, changes, leases, .. } = transition;
        debug_assert!(
            result.is_ok() || (changes.is_empty() && leases.is_empty()),
            "a rejected command must leave no trace"
        );
        if !changes.is_empty() {
            self.revision = revision;
        }
        Applied { revision: self.revision, result, changes, leases }
    }
}

/// A command under way. Checks come before the first write, because there is no way back.
pub(crate) struct Transition<'a> {
    pub(crate) state: &'a mut State,
    /// The leader's wall clock, for what is shown to people.
    pub(crate) at_ms: u64,
    /// The revision that the command makes, if it changes anything observable.
    pub(crate) revision: Revision,
    pub(crate) changes: Vec<Change>,
    pub(crate) leases: Vec<LeaseEffect>,
}

impl Transition<'_> {
    fn run(&mut self, command: &Command) -> Result<Output, Rejection> {
        match command {
            Command::AddNamespace { name, description, health_path } => {
                self.add_namespace(name, description, health_path)
            }
            Command::UpdateNamespace { key, new_name, description, health_path, if_revision } => self
                .update_namespace(
                    key,
                    new_name.as_ref(),
                    description.as_ref(),
                    health_path.as_ref(),
                    *if_revision,
                ),
            Command::DeleteNamespace { key, if_revision } => self.delete_namespace(key, *if_revision),
            Command::Register {
                key,
                weight,
                health_path,
                metadata,
                ttl_seconds,
                create_namespace,
                if_revision,
            } => {
                let declare = |node: &mut NodeRecord| {
                    node.registered_weight = *weight;
                    node.health_path.clone_from(health_path);
                    node.metadata.clone_from(metadata);
                    node.ttl_seconds = *ttl_seconds;
                };
                self.register(key, declare, *create_namespace, *if_revision)
            }
            Command::Deregister { key, if_revision } => self.deregister(key, *if_revision),
            Command::SetWeight { key, weight, if_revision } => self.set_weight(key, *weight, *if_revision),
            Command::UpdateNode { id, weight, health_path, metadata, ttl_seconds, if_revision } => {
                let edit = |node: &mut NodeRecord| {
                    node.weight_override = weight.unwrap_or(node.weight_override);
                    node.ttl_seconds = ttl_seconds.unwrap_or(node.ttl_seconds);
                    if let Some(health_path) = health_path {
                        node.health_path.clone_from(health_path);
                    }
                    if let Some(metadata) = metadata {
                        node.metadata.clone_from(metadata);
                    }
                };
                self.update_node(*id, edit, *if_revision)
            }
            Command::DeleteNode { id, if_revision } => self.delete_node(*id, *if_revision),
            Command::Expire { offline, delete } => Ok(self.expire(offline, delete)),
            Command::Return { nodes } => Ok(self.bring_back(nodes)),
        }
    }

    /// The namespace that `key` means.
    pub(crate) fn find_namespace(&self, key: &NamespaceKey) -> Result<Arc<NamespaceRecord>, Rejection> {
        match key {
            NamespaceKey::Id(id) => self.state.namespace_by_id(*id),
            NamespaceKey::Name(name) => self.state.namespace(name),
        }
        .cloned()
        .ok_or_else(|| Rejection::NamespaceNotFound(key.clone()))
    }

    /// The node with this number.
    pub(crate) fn find_node_by_id(&self, id: NodeId) -> Result<Arc<NodeRecord>, Rejection> {
        self.state.node_by_id(id).cloned().ok_or_else(|| Rejection::NodeNotFound(format!("with id {id}")))
    }

    /// Writes a node that was `before`. If clients can tell the difference, the node gets the
    /// command's revision and time, and there is a change with this cause.
    pub(crate) fn put_node(
        &mut self,
        before: Option<&NodeRecord>,
        mut node: NodeRecord,
        cause: NodeCause,
    ) -> Arc<NodeRecord> {
        if !before.is_some_and(|before| before.looks_like(&node)) {
            node.updated_at_ms = self.at_ms;
            node.mod_revision = self.revision;
            self.changes.push(Change::NodePut { cause, node: node.view() });
        }
        let node = Arc::new(node);
        self.state.put_node(Arc::clone(&node));
        node
    }

    /// Removes a node, which makes a change with this cause.
    pub(crate) fn remove_node(&mut self, node: &NodeRecord, cause: NodeCause) {
        self.state.remove_node(node);
        self.leases.push(LeaseEffect::Removed { id: node.id });
        self.changes.push(Change::NodeDeleted {
            cause,
            id: node.id,
            ns: node.ns.clone(),
            host: node.host.clone(),
            port: node.port,
        });
    }

    /// An epoch that no node ever had.
    pub(crate) fn new_epoch(&mut self) -> u64 {
        let epoch = self.state.next_epoch;
        self.state.next_epoch += 1;
        epoch
    }
}

/// Compare-and-set: `current` is 0 if there is no such object.
pub(crate) fn check_revision(expected: Option<Revision>, current: Revision) -> Result<(), Rejection> {
    match expected {
        Some(expected) if expected != current => Err(Rejection::RevisionMismatch { current, expected }),
        _ => Ok(()),
    }
}
