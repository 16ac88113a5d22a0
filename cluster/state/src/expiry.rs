//! Commands about the liveness of many nodes at once, proposed by the leader's lease keeper.

use std::sync::Arc;

use kenger_mutant::{self as mutant, Mutant};
use kenger_types::feed::NodeCause;
use kenger_types::{NodeId, NodeStatus};

use crate::apply::Transition;
use crate::command::Seen;
use crate::outcome::{LeaseEffect, Output};
use crate::record::NodeRecord;

impl Transition<'_> {
    /// Takes silent nodes out of service, and removes those that have been out of it for long.
    pub(crate) fn expire(&mut self, offline: &[Seen], delete: &[Seen]) -> Output {
        let (mut marked, mut deleted) = (0, 0);
        for seen in offline {
            if let Some(before) = self.unheard(seen, NodeStatus::Online) {
                let after = NodeRecord { status: NodeStatus::Offline, ..NodeRecord::clone(&before) };
                self.put_node(Some(&before), after, NodeCause::Expired);
                self.leases.push(LeaseEffect::Offline { id: seen.id, epoch: seen.epoch });
                marked += 1;
            }
        }
        for seen in delete {
            if let Some(node) = self.unheard(seen, NodeStatus::Offline) {
                self.remove_node(&node, NodeCause::Expired);
                deleted += 1;
            }
        }
        Output::Expired { offline: marked, deleted }
    }

    /// Nodes that were heard from although they were offline, or about to be.
    pub(crate) fn bring_back(&mut self, ids: &[NodeId]) -> Output {
        let mut returned = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(before) = self.state.node_by_id(*id).cloned() {
                self.put_alive(Some(&before), NodeRecord::clone(&before), NodeCause::Returned);
                returned.push(*id);
            }
        }
        Output::Returned(returned)
    }

    /// The node, if it has this status and is as the proposer saw it: not registered and not
    /// returned since.
    fn unheard(&self, seen: &Seen, status: NodeStatus) -> Option<Arc<NodeRecord>> {
        self.state
            .node_by_id(seen.id)
            .filter(|node| node.epoch == seen.epoch || mutant::is(Mutant::ExpireUnchecked))
            .filter(|node| node.status == status)
            .cloned()
    }
}
