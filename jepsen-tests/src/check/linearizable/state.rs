//! What is known of one node at one moment of a search.
//!
//! Some of what the registry knows is not in an answer (an operator's weight that equals the declared
//! one; the revision that an unanswered write made), so a state is what must be known to go on: it may
//! leave a revision or a number open, and answers fill it in.

use crate::check::changes::{Cause, Told, View};
use crate::history::{Action, Answer};

/// A node with everything around it that decides what may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// How many changes of the timeline have happened.
    pub(super) told: usize,
    pub(super) node: Option<NodeState>,
    /// The revision is at least this; the next change makes a greater one.
    pub(super) floor: u64,
    /// No new registration has a number up to this.
    pub(super) last_id: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct NodeState {
    /// `None`: nobody has seen it.
    pub(super) id: Option<u64>,
    pub(super) value: Option<u64>,
    pub(super) registered_weight: u32,
    pub(super) weight_override: Option<u32>,
    pub(super) is_online: bool,
    pub(super) mod_revision: ModRevision,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ModRevision {
    Known(u64),
    /// Nobody has seen it; greater than this.
    After(u64),
}

impl NodeState {
    pub(super) fn weight(&self) -> u32 {
        self.weight_override.unwrap_or(self.registered_weight)
    }

    /// The node, if it is what somebody saw; that may tell what was open before.
    pub(super) fn shown(&self, view: &View, last_id: u64) -> Option<Self> {
        let is_as_shown = self.value == view.value
            && self.registered_weight == view.registered_weight
            && self.weight() == view.weight
            && self.is_online == view.is_online
            && self.id.map_or(view.id > last_id, |id| id == view.id);
        let is_of_then = match self.mod_revision {
            ModRevision::Known(revision) => revision == view.mod_revision,
            ModRevision::After(revision) => revision < view.mod_revision,
        };
        (is_as_shown && is_of_then).then(|| Self::of(view, self.weight_override))
    }

    pub(super) fn of(view: &View, weight_override: Option<u32>) -> Self {
        Self {
            id: Some(view.id),
            value: view.value,
            registered_weight: view.registered_weight,
            weight_override,
            is_online: view.is_online,
            mod_revision: ModRevision::Known(view.mod_revision),
        }
    }
}

impl State {
    /// A state for people.
    pub(super) fn describe(&self) -> String {
        match &self.node {
            None => "there is no such node".to_owned(),
            Some(node) => {
                let mod_revision = match node.mod_revision {
                    ModRevision::Known(revision) => format!("{revision}"),
                    ModRevision::After(revision) => format!("above {revision}"),
                };
                let status = if node.is_online { "online" } else { "offline" };
                format!(
                    "value {:?}, weight {} (declared {}), {status}, mod_revision {mod_revision}",
                    node.value,
                    node.weight(),
                    node.registered_weight
                )
            }
        }
    }

    /// The revision that is known to have been reached.
    pub(super) fn revision(&self) -> u64 {
        self.floor
    }

    /// Whether another state differs at most in what is known about revisions outside the node.
    pub(super) fn has_same_node(&self, other: &Self) -> bool {
        (self.told, self.node) == (other.told, other.node)
    }
}

/// The state after a change that was told and that nobody asked for. Silence and a return change
/// nothing but the status: above all not an operator's weight.
pub(super) fn changed_by_itself(state: &State, told: &Told) -> Option<State> {
    let node = match (told.cause, &told.node) {
        (Cause::Register | Cause::SetWeight | Cause::Deregister | Cause::Gap { .. }, _) => return None,
        (Cause::Lease, None) if state.node.is_none_or(|node| node.is_online) => return None,
        (_, None) => None,
        (Cause::Lease, Some(view)) => {
            let before = state.node?;
            let after = NodeState::of(view, before.weight_override);
            let is_other_way = before.is_online != after.is_online && before.weight() == view.weight;
            let status_aside = NodeState {
                id: before.id.or(after.id),
                is_online: after.is_online,
                mod_revision: after.mod_revision,
                ..before
            };
            (is_other_way && status_aside == after).then_some(Some(after))?
        }
        (Cause::Other, Some(view)) => {
            // An operator may have set the weight by other ways than those in the history.
            let kept = state.node.and_then(|node| node.weight_override);
            let is_kept = view.weight == kept.unwrap_or(view.registered_weight);
            Some(NodeState::of(view, if is_kept { kept } else { Some(view.weight) }))
        }
    };
    let last_id = state.last_id.max(node.and_then(|node| node.id).unwrap_or(0));
    Some(State { told: state.told + 1, node, floor: told.revision, last_id })
}

/// What may be kept of an operator's weight where nobody has seen it being set.
pub(super) fn possible_overrides(view: &View) -> Vec<Option<u32>> {
    if view.weight == view.registered_weight {
        vec![None, Some(view.weight)]
    } else {
        vec![Some(view.weight)]
    }
}

/// Compare-and-set; 0 means that there must be no such node, which only a registration can ask for.
pub(super) fn compared(state: &State, if_revision: Option<u64>, is_registration: bool) -> Option<State> {
    let Some(expected) = if_revision else { return Some(*state) };
    let Some(node) = state.node else { return (expected == 0 && is_registration).then_some(*state) };
    known(state, node, expected)
}

/// The state if its revision is this one.
fn known(state: &State, node: NodeState, revision: u64) -> Option<State> {
    match node.mod_revision {
        ModRevision::Known(known) => (known == revision).then_some(*state),
        ModRevision::After(after) => (after < revision).then(|| {
            let node = Some(NodeState { mod_revision: ModRevision::Known(revision), ..node });
            State { node, floor: state.floor.max(revision), ..*state }
        }),
    }
}

pub(super) fn refused(state: &State, action: &Action, answer: &Answer) -> Option<State> {
    let (expected, is_registration) = match action {
        Action::Register { if_revision, .. } => (*if_revision, true),
        Action::SetWeight { if_revision, .. } | Action::Deregister { if_revision } => (*if_revision, false),
        Action::Read | Action::Heartbeat => (None, false),
    };
    match (answer, state.node) {
        (Answer::Absent, None) => Some(*state),
        (Answer::Mismatch { current }, None) => {
            let is_mismatch = is_registration && expected.is_some_and(|expected| expected != 0);
            (is_mismatch && current.is_none_or(|current| current == 0)).then_some(*state)
        }
        (Answer::Mismatch { current }, Some(node)) => {
            let expected = expected?;
            match (current, node.mod_revision) {
                (Some(current), _) if *current == expected => None,
                (Some(current), _) => known(state, node, *current),
                (None, ModRevision::Known(revision)) => (revision != expected).then_some(*state),
                (None, ModRevision::After(_)) => Some(*state),
            }
        }
        _ => None,
    }
}
