//! One node as a sequential machine: what each operation does to it, and which answers it can give.

use kenger_types::NodeStatus;

use super::state::{ModRevision, NodeState, State, changed_by_itself, compared, possible_overrides, refused};
use super::timeline::Timeline;
use crate::check::changes::{Cause, Told, View};
use crate::history::{Action, Answer, Micros, Observed};

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

    /// Whether the operation cannot be the next to take effect, because of what was told.
    pub(super) fn has_to_wait(&self, state: &State, op: &Op) -> bool {
        let Some(timeline) = &self.timeline else { return false };
        let asked_for = |told: &&Told| !matches!(told.cause, Cause::Lease | Cause::Other);
        let is_gap = |told: &Told| matches!(told.cause, Cause::Gap { .. });
        match timeline.told.get(state.told..).into_iter().flatten().find(asked_for) {
            None => op.answer.is_none() && timeline.is_closed,
            Some(next) if is_gap(next) => false,
            Some(next) => match (&op.answer, &op.action) {
                (Some(Answer::Node(shown)), action) if !matches!(action, Action::Deregister { .. }) => {
                    shown.mod_revision > next.revision
                }
                (Some(_), _) => false,
                (None, Action::Register { .. }) => next.cause != Cause::Register,
                (None, Action::SetWeight { .. }) => next.cause != Cause::SetWeight,
                (None, Action::Deregister { .. }) => next.cause != Cause::Deregister,
                (None, Action::Read | Action::Heartbeat) => true,
            },
        }
    }

    /// All states that the operation can lead to, with the answer that was given.
    pub(super) fn step(&self, state: &State, op: &Op) -> Vec<State> {
        let mut found: Vec<State> = Vec::new();
        let told = self.by_what_was_told(state);
        // Within a gap it may have happened or may yet wait for what comes after.
        let has_gap = told.iter().rev().skip(1).any(|before| self.is_open(before));
        for before in &told {
            // Else what is possible now can wait for the rest to happen by itself.
            if self.is_in_time(before, op) && (found.is_empty() || has_gap) {
                found.extend(self.apply(before, op).filter(|after| !found.contains(after)));
            }
        }
        // What is possible now is possible without silence, which may come later as well. But a refusal
        // that tells a revision nobody has seen does not tell the status at it.
        let is_open_ended =
            found.is_empty() || matches!(op.answer, Some(Answer::Mismatch { current: Some(_) }));
        let open = told.iter().filter(|it| self.may_expire && self.is_open(it) && self.is_in_time(it, op));
        for before in open.flat_map(|it| self.silences(it)) {
            // A node that was deleted and is registered anew is another one.
            let is_another = before.node.is_none() && matches!(op.action, Action::Register { .. });
            if is_open_ended || is_another {
                found.extend(self.apply(&before, op).filter(|after| !found.contains(after)));
            }
        }
        found
    }

    /// The state as it is, and after each change that was told next and that nobody asked for.
    pub(super) fn by_what_was_told(&self, state: &State) -> Vec<State> {
        let mut states = vec![*state];
        let mut last = *state;
        while let Some(after) = self.next_told(&last).and_then(|told| self.by_itself(&last, told)) {
            states.push(after);
            last = after;
        }
        states
    }

    /// Whether the next change is one that nobody was told of.
    fn is_open(&self, state: &State) -> bool {
        self.timeline.as_ref().is_none_or(|timeline| match self.next_told(state) {
            Some(told) => matches!(told.cause, Cause::Gap { .. }),
            None => !timeline.is_closed,
        })
    }

    /// What silence may have made of a node that nobody was told of: marked offline, or back; back and
    /// marked again; deleted.
    fn silences(&self, state: &State) -> Vec<State> {
        let Some(node) = state.node else { return Vec::new() };
        let floor = self.floor_of_change(state);
        let turned = |changes: u64, is_online| {
            let mod_revision = ModRevision::After(floor + changes);
            let node = Some(NodeState { is_online, mod_revision, ..node });
            State { node, floor: floor + changes + 1, ..*state }
        };
        let mut states = vec![turned(0, !node.is_online), turned(1, node.is_online)];
        if self.may_be_deleted {
            let changes = if node.is_online { 2 } else { 1 };
            states.push(State { node: None, floor: floor + changes, ..*state });
        }
        states
    }

    /// The next change that nobody was told of has a greater revision.
    fn floor_of_change(&self, state: &State) -> u64 {
        let told = match self.next_told(state).map(|told| told.cause) {
            Some(Cause::Gap { after }) => after,
            _ => self.timeline.as_ref().map_or(0, |timeline| timeline.last_revision),
        };
        state.floor.max(told)
    }

    /// The state after a change that was told and that nobody asked for, if it is such a one.
    fn by_itself(&self, state: &State, told: &Told) -> Option<State> {
        if !matches!(told.cause, Cause::Gap { .. }) {
            return changed_by_itself(state, told);
        }
        let silences = if self.may_expire { self.silences(state) } else { Vec::new() };
        std::iter::once(*state).chain(silences).find_map(|state| {
            let node = match (state.node, &told.node) {
                (None, None) => None,
                (Some(node), Some(view)) => Some(node.shown(view, state.last_id)?),
                _ => return None,
            };
            let last_id = state.last_id.max(told.node.map_or(0, |view| view.id));
            (state.floor <= told.revision).then_some(State {
                told: state.told + 1,
                node,
                floor: told.revision,
                last_id,
            })
        })
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
        if self.is_open(state) {
            let floor = self.floor_of_change(state);
            let node = node.map(|node| NodeState { mod_revision: ModRevision::After(floor), ..node });
            return Some(State { node, floor: floor + 1, ..*state });
        }
        let told = self.next_told(state)?;
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
        let view = View {
            id: observed.id,
            value: observed.value,
            weight: observed.weight,
            registered_weight: observed.registered_weight,
            is_online: observed.status == NodeStatus::Online,
            mod_revision: observed.mod_revision,
            ttl: None,
        };
        let node = state.node?.shown(&view, state.last_id)?;
        let newest = observed.revision.unwrap_or(0).max(observed.mod_revision);
        // What a gap ends with may have been made within it.
        let is_behind = |told: &Told| match told.cause {
            Cause::Gap { .. } => told.revision < newest,
            _ => told.revision <= newest,
        };
        if self.next_told(&state).is_some_and(is_behind) {
            return None;
        }
        let last_id = state.last_id.max(observed.id);
        Some(State { node: Some(node), floor: state.floor.max(newest), last_id, ..state })
    }
}
