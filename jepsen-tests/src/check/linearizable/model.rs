//! One node as a sequential machine: what each operation does to it, and which answers it can give.
//!
//! Some of what the registry knows is not in an answer (an operator's weight that equals the declared
//! one; the revision that an unanswered write made), so a state is what must be known to go on: it may
//! leave a revision or a number open, and answers fill it in.

use kenger_types::NodeStatus;

use super::timeline::Timeline;
use crate::check::changes::{Cause, Told, View};
use crate::history::{Action, Answer, Micros, Observed};

/// A node with everything around it that decides what may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// How many changes of the timeline have happened.
    told: usize,
    node: Option<NodeState>,
    /// The revision is at least this; the next change makes a greater one.
    floor: u64,
    /// No new registration has a number up to this.
    last_id: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct NodeState {
    /// `None`: nobody has seen it.
    id: Option<u64>,
    value: Option<u64>,
    registered_weight: u32,
    weight_override: Option<u32>,
    is_online: bool,
    mod_revision: ModRevision,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum ModRevision {
    Known(u64),
    /// Nobody has seen it; greater than this.
    After(u64),
}

/// What was asked for and answered.
#[derive(Debug, Clone)]
pub(super) struct Op {
    pub(super) place: usize,
    pub(super) action: Action,
    /// `None`: nobody knows.
    pub(super) answer: Option<Answer>,
    pub(super) is_refusal: bool,
    pub(super) called: Micros,
    /// `None`: it may happen at any time, or never.
    pub(super) returned: Option<Micros>,
}

/// What governs the transitions of one node in one run.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// What the feed told; without it, anything may have happened in between.
    pub(super) timeline: Option<Timeline>,
    /// The run was long enough for a silent node to be marked offline.
    pub(super) may_expire: bool,
    /// And for it to be deleted.
    pub(super) may_be_deleted: bool,
}

impl NodeState {
    fn weight(&self) -> u32 {
        self.weight_override.unwrap_or(self.registered_weight)
    }

    fn of(view: &View, weight_override: Option<u32>) -> Self {
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
    /// The revision that is known to have been reached.
    pub(super) fn revision(&self) -> u64 {
        self.floor
    }

    /// Whether another state differs at most in what is known about revisions outside the node.
    pub(super) fn has_same_node(&self, other: &Self) -> bool {
        (self.told, self.node) == (other.told, other.node)
    }
}

impl Model {
    /// The states that a node may be in at the beginning.
    pub(super) fn begin(&self) -> Vec<State> {
        let empty = State { told: 0, node: None, floor: 0, last_id: 0 };
        let Some(timeline) = &self.timeline else { return vec![empty] };
        let begin = State { floor: timeline.base_revision, ..empty };
        match &timeline.base {
            None => vec![begin],
            Some(view) => possible_overrides(view)
                .into_iter()
                .map(|it| State { node: Some(NodeState::of(view, it)), last_id: view.id, ..begin })
                .collect(),
        }
    }

    fn told(&self) -> &[Told] {
        self.timeline.as_ref().map_or(&[], |timeline| &timeline.told)
    }

    /// Whether everything that was told has happened.
    pub(super) fn is_explained(&self, state: &State) -> bool {
        state.told == self.told().len()
    }

    /// The change that is to happen next, if it was told.
    pub(super) fn next_told(&self, state: &State) -> Option<&Told> {
        self.told().get(state.told)
    }

    /// Whether all that was told before the operation was asked for has happened.
    pub(super) fn is_in_time(&self, state: &State, op: &Op) -> bool {
        self.timeline.as_ref().is_none_or(|timeline| state.told >= timeline.told_before(op.called))
    }

    /// The least revision at which the operation can have been carried out.
    pub(super) fn floor(&self, state: &State, op: &Op) -> u64 {
        let before = self.timeline.as_ref().map_or(0, |timeline| timeline.told_before(op.called));
        let told = before.checked_sub(1).and_then(|last| self.told().get(last));
        state.floor.max(told.map_or(0, |told| told.revision))
    }

    /// All states that the operation can lead to, with the answer that was given.
    pub(super) fn step(&self, state: &State, op: &Op) -> Vec<State> {
        let mut found: Vec<State> = Vec::new();
        for before in self.variants(state) {
            // What is possible later by itself is possible later as well; a node that was deleted and is
            // registered anew is another one.
            let is_another = before.node.is_none() && matches!(op.action, Action::Register { .. });
            if self.is_in_time(&before, op) && (found.is_empty() || is_another) {
                found.extend(self.apply(&before, op).filter(|after| !found.contains(after)));
            }
        }
        found
    }

    /// What a node may have come to by itself: the state as it is first.
    pub(super) fn variants(&self, state: &State) -> Vec<State> {
        let mut variants = vec![*state];
        let mut last = *state;
        while let Some(after) = self.next_told(&last).and_then(|told| by_itself(&last, told)) {
            variants.push(after);
            last = after;
        }
        if self.may_expire && self.is_open(&last) {
            self.silences(&last, &mut variants);
        }
        variants
    }

    /// Whether the next change is one that nobody was told of.
    fn is_open(&self, state: &State) -> bool {
        self.timeline.as_ref().is_none_or(|timeline| self.is_explained(state) && !timeline.is_closed)
    }

    /// Marked offline, or back; back and marked again; deleted.
    fn silences(&self, state: &State, variants: &mut Vec<State>) {
        let Some(node) = state.node else { return };
        let floor = self.floor_of_change(state);
        for (changes, is_online) in [(0, !node.is_online), (1, node.is_online)] {
            let mod_revision = ModRevision::After(floor + changes);
            let node = Some(NodeState { is_online, mod_revision, ..node });
            variants.push(State { node, floor: floor + changes + 1, ..*state });
        }
        if self.may_be_deleted {
            let changes = if node.is_online { 2 } else { 1 };
            variants.push(State { node: None, floor: floor + changes, ..*state });
        }
    }

    fn floor_of_change(&self, state: &State) -> u64 {
        state.floor.max(self.timeline.as_ref().map_or(0, |timeline| timeline.last_revision))
    }

    /// The operation upon this very state.
    pub(super) fn apply(&self, state: &State, op: &Op) -> Option<State> {
        let answer = op.answer.as_ref();
        if op.is_refusal {
            return refused(state, &op.action, answer?);
        }
        match op.action {
            Action::Heartbeat => Some(*state),
            Action::Read => match answer? {
                Answer::Node(observed) => self.observe(*state, observed),
                Answer::Absent => state.node.is_none().then_some(*state),
                Answer::Nothing | Answer::Mismatch { .. } => None,
            },
            Action::Register { weight, value, if_revision } => {
                let state = compared(state, if_revision, true)?;
                self.register(&state, weight, value).and_then(|after| self.answered(after, answer))
            }
            Action::SetWeight { weight, if_revision } => {
                let state = compared(state, if_revision, false)?;
                self.set_weight(&state, weight).and_then(|after| self.answered(after, answer))
            }
            Action::Deregister { if_revision } => {
                self.deregister(&compared(state, if_revision, false)?, answer)
            }
        }
    }

    fn answered(&self, state: State, answer: Option<&Answer>) -> Option<State> {
        match answer {
            None | Some(Answer::Nothing) => Some(state),
            Some(Answer::Node(observed)) => self.observe(state, observed),
            Some(Answer::Absent | Answer::Mismatch { .. }) => None,
        }
    }

    fn register(&self, state: &State, weight: u32, value: u64) -> Option<State> {
        let declared = |node: NodeState| NodeState {
            value: Some(value),
            registered_weight: weight,
            is_online: true,
            ..node
        };
        let new = NodeState {
            id: None,
            value: None,
            registered_weight: weight,
            weight_override: None,
            is_online: true,
            mod_revision: ModRevision::After(0),
        };
        let after = declared(state.node.unwrap_or(new));
        if state.node == Some(after) {
            return Some(*state);
        }
        self.change(state, Cause::Register, Some(after))
    }

    fn set_weight(&self, state: &State, weight: Option<u32>) -> Option<State> {
        let node = state.node?;
        if node.weight_override == weight {
            return Some(*state);
        }
        self.change(state, Cause::SetWeight, Some(NodeState { weight_override: weight, ..node }))
    }

    fn deregister(&self, state: &State, answer: Option<&Answer>) -> Option<State> {
        // The answer shows the node as it was, with the revision of its end.
        let (before, revision) = match answer {
            Some(Answer::Node(observed)) => {
                let as_it_was = Observed { revision: None, ..observed.clone() };
                (self.observe(*state, &as_it_was)?, observed.revision)
            }
            None | Some(Answer::Nothing) => (*state, None),
            Some(Answer::Absent | Answer::Mismatch { .. }) => return None,
        };
        before.node?;
        let after = self.change(&before, Cause::Deregister, None)?;
        match revision {
            Some(revision) if revision < after.floor => None,
            Some(revision) => Some(State { floor: revision, ..after }),
            None => Some(after),
        }
    }

    /// A change with a new revision: the one that was told next, or one that nobody was told of.
    fn change(&self, state: &State, cause: Cause, node: Option<NodeState>) -> Option<State> {
        let Some(told) = self.next_told(state) else {
            if !self.is_open(state) {
                return None;
            }
            let floor = self.floor_of_change(state);
            let node = node.map(|node| NodeState { mod_revision: ModRevision::After(floor), ..node });
            return Some(State { node, floor: floor + 1, ..*state });
        };
        if told.cause != cause || told.node.is_some() != node.is_some() || told.revision <= state.floor {
            return None;
        }
        let mut after = State { told: state.told + 1, node: None, floor: told.revision, ..*state };
        if let (Some(node), Some(view)) = (node, &told.node) {
            let shown = NodeState::of(view, node.weight_override);
            let is_as_told = (node.value, node.registered_weight, node.weight(), node.is_online)
                == (view.value, view.registered_weight, view.weight, view.is_online)
                && node.id.map_or(view.id > state.last_id, |id| id == view.id);
            if !is_as_told {
                return None;
            }
            after.node = Some(shown);
            after.last_id = after.last_id.max(view.id);
        }
        Some(after)
    }

    /// What an answer showed; it may tell what was open before.
    fn observe(&self, state: State, observed: &Observed) -> Option<State> {
        let mut node = state.node?;
        let is_as_shown = node.value == observed.value
            && node.registered_weight == observed.registered_weight
            && node.weight() == observed.weight
            && node.is_online == (observed.status == NodeStatus::Online)
            && node.id.map_or(observed.id > state.last_id, |id| id == observed.id);
        let is_of_then = match node.mod_revision {
            ModRevision::Known(revision) => revision == observed.mod_revision,
            ModRevision::After(revision) => revision < observed.mod_revision,
        };
        let newest = observed.revision.unwrap_or(0).max(observed.mod_revision);
        let is_behind = self.next_told(&state).is_some_and(|told| told.revision <= newest);
        if !is_as_shown || !is_of_then || is_behind {
            return None;
        }
        node.id = Some(observed.id);
        node.mod_revision = ModRevision::Known(observed.mod_revision);
        let last_id = state.last_id.max(observed.id);
        Some(State { node: Some(node), floor: state.floor.max(newest), last_id, ..state })
    }

    /// A state for people.
    pub(super) fn describe(&self, state: &State) -> String {
        match &state.node {
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
}

/// The state after a change that nobody asked for, if it is such a one. Silence and a return change
/// nothing but the status: above all not an operator's weight.
fn by_itself(state: &State, told: &Told) -> Option<State> {
    let node = match (told.cause, &told.node) {
        (Cause::Register | Cause::SetWeight | Cause::Deregister, _) => return None,
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
fn possible_overrides(view: &View) -> Vec<Option<u32>> {
    if view.weight == view.registered_weight {
        vec![None, Some(view.weight)]
    } else {
        vec![Some(view.weight)]
    }
}

/// Compare-and-set; 0 means that there must be no such node, which only a registration can ask for.
fn compared(state: &State, if_revision: Option<u64>, is_registration: bool) -> Option<State> {
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

fn refused(state: &State, action: &Action, answer: &Answer) -> Option<State> {
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
