//! The search against one that is too simple to be wrong: all orders, one after the other, with a model
//! of its own. On small histories both say the same.

use fastrand::Rng;
use jepsen_tests::check::{self, Verdict};
use jepsen_tests::history::{Action, Answer, History, Observed, Operation, Outcome, Record};
use kenger_types::NodeStatus;

use crate::world::{Size, history};

const SIZE: Size = Size {
    clients: 3,
    keys: 1,
    operations_per_client: 4,
    watchers: 0,
    pause: 15_000,
    ttl: 60_000_000,
    unanswered: 15,
};
const HISTORIES: u64 = 1_500;

/// The node, where its revision and number may be open: then they are greater than what is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    id: (bool, u64),
    value: u64,
    declared: u32,
    set: Option<u32>,
    revision: (bool, u64),
}

/// The node, the newest revision and the greatest number so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Model {
    node: Option<Node>,
    revision: u64,
    id: u64,
}

fn fits(open: (bool, u64), shown: u64) -> bool {
    if open.0 { open.1 == shown } else { open.1 < shown }
}

impl Model {
    fn see(mut self, shown: &Observed) -> Option<Self> {
        let node = self.node.as_mut()?;
        let weight = node.set.unwrap_or(node.declared);
        let is_same = Some(node.value) == shown.value
            && (node.declared, weight) == (shown.registered_weight, shown.weight)
            && shown.status == NodeStatus::Online
            && fits(node.id, shown.id)
            && fits(node.revision, shown.mod_revision);
        (node.id, node.revision) = ((true, shown.id), (true, shown.mod_revision));
        self.revision = self.revision.max(shown.mod_revision).max(shown.revision.unwrap_or(0));
        self.id = self.id.max(shown.id);
        is_same.then_some(self)
    }

    fn at(mut self, revision: u64) -> Option<Self> {
        let node = self.node.as_mut()?;
        let is_at = fits(node.revision, revision);
        node.revision = (true, revision);
        self.revision = self.revision.max(revision);
        is_at.then_some(self)
    }

    fn changed(mut self, node: Option<Node>) -> Self {
        self.node = node.map(|node| Node { revision: (false, self.revision), ..node });
        self.revision += 1;
        self
    }

    /// Does it; `None` if it is refused.
    fn done(self, action: &Action) -> Option<Self> {
        match action {
            Action::Read | Action::Heartbeat => Some(self),
            Action::Register { weight, value, if_revision } => {
                let before = match (if_revision, self.node) {
                    (None, _) | (Some(0), None) => self,
                    (Some(revision), Some(_)) => self.at(*revision)?,
                    (Some(_), None) => return None,
                };
                let new =
                    Node { id: (false, self.id), value: 0, declared: 0, set: None, revision: (false, 0) };
                let node = before.node.unwrap_or(new);
                Some(before.changed(Some(Node { value: *value, declared: *weight, ..node })))
            }
            Action::SetWeight { weight, if_revision } => {
                let before = if_revision.map_or(Some(self), |revision| self.at(revision))?;
                let node = before.node?;
                let is_same = node.set == *weight;
                Some(if is_same { before } else { before.changed(Some(Node { set: *weight, ..node })) })
            }
            Action::Deregister { if_revision } => {
                let before = if_revision.map_or(Some(self), |revision| self.at(revision))?;
                before.node?;
                Some(before.changed(None))
            }
        }
    }

    /// The operation with its answer; `None` if that cannot be.
    pub(crate) fn step(self, operation: &Operation) -> Option<Self> {
        let (expected, is_registration) = match operation.action {
            Action::Register { if_revision, .. } => (if_revision, true),
            Action::SetWeight { if_revision, .. } | Action::Deregister { if_revision } => {
                (if_revision, false)
            }
            Action::Read | Action::Heartbeat => (None, false),
        };
        match &operation.outcome {
            Outcome::Done(Answer::Absent) | Outcome::Rejected(Answer::Absent) => {
                self.node.is_none().then_some(self)
            }
            Outcome::Done(Answer::Node(shown)) => self.done(&operation.action)?.see(shown),
            Outcome::Done(_) => self.done(&operation.action),
            Outcome::Rejected(Answer::Mismatch { current: Some(0) }) => {
                (self.node.is_none() && is_registration && expected.is_some_and(|it| it != 0)).then_some(self)
            }
            Outcome::Rejected(Answer::Mismatch { current: Some(current) }) => {
                (expected? != *current).then(|| self.at(*current))?
            }
            // It may not have had an effect, in its place or at all.
            Outcome::Unknown { .. } => Some(self.done(&operation.action).unwrap_or(self)),
            other => panic!("not made here: {other:?}"),
        }
    }
}

/// The operations that have to be put into an order.
pub(crate) fn operations(history: &History) -> Vec<Operation> {
    let mut operations: Vec<Operation> = history
        .operations()
        .filter(|operation| operation.action != Action::Heartbeat)
        .filter(|operation| !matches!(operation.outcome, Outcome::NotDone { .. }))
        .filter(|operation| {
            operation.action != Action::Read || !matches!(operation.outcome, Outcome::Unknown { .. })
        })
        .cloned()
        .collect();
    for operation in &mut operations {
        if matches!(operation.outcome, Outcome::Unknown { .. }) {
            operation.returned = u64::MAX >> 1;
        }
    }
    operations
}

fn has_order(left: &[Operation], model: Model) -> bool {
    if left.iter().all(|operation| matches!(operation.outcome, Outcome::Unknown { .. })) {
        return true;
    }
    let first_return = left.iter().map(|operation| operation.returned).min().unwrap_or(0);
    (0..left.len()).filter(|place| left[*place].called <= first_return).any(|place| {
        let mut rest = left.to_vec();
        let operation = rest.remove(place);
        model.step(&operation).is_some_and(|model| has_order(&rest, model))
    })
}

/// Changes one answer, so that about half of the histories have no order any more.
pub(crate) fn corrupt(history: &mut History, rng: &mut Rng) {
    let mut operations: Vec<&mut Operation> = history
        .records
        .iter_mut()
        .filter_map(|record| match record {
            Record::Operation(operation) => Some(operation),
            _ => None,
        })
        .collect();
    let answers: Vec<Outcome> = operations.iter().map(|operation| operation.outcome.clone()).collect();
    let place = rng.usize(0..operations.len());
    let operation = &mut operations[place];
    match &mut operation.outcome {
        Outcome::Done(Answer::Node(node)) => match rng.u32(0..5) {
            0 => node.mod_revision += 1,
            1 => node.weight += 50,
            2 => node.mod_revision = node.mod_revision.saturating_sub(1),
            3 => {
                (operation.called, operation.returned) =
                    (operation.called + 20_000, operation.returned + 20_000);
            }
            _ if operation.action == Action::Read => {
                let shown = |it: &Outcome| matches!(it, Outcome::Done(Answer::Node(_) | Answer::Absent));
                if let Some(other) = rng.choice(answers.into_iter().filter(shown).collect::<Vec<_>>()) {
                    operation.outcome = other;
                }
            }
            _ => operation.outcome = Outcome::Rejected(Answer::Absent),
        },
        Outcome::Done(Answer::Absent) => (operation.called, operation.returned) = (0, 1),
        Outcome::Done(Answer::Nothing) if operation.action != Action::Heartbeat => {
            operation.outcome = Outcome::Rejected(Answer::Absent);
        }
        Outcome::Rejected(Answer::Mismatch { current: Some(current) }) => *current += 1,
        Outcome::Rejected(Answer::Absent) if !matches!(operation.action, Action::Heartbeat) => {
            operation.outcome = Outcome::Done(Answer::Nothing);
        }
        _ => {}
    }
}

/// A history of three clients, legal or with up to two changed answers.
pub(crate) fn small_of(seed: u64, operations_per_client: u32) -> History {
    let mut rng = Rng::with_seed(seed);
    let mut history = history(seed, Size { operations_per_client, ..SIZE });
    history.records.retain(|record| matches!(record, Record::Operation(_)));
    for _ in 0..rng.u32(0..3) {
        corrupt(&mut history, &mut rng);
    }
    // Two requests of one client may overlap now; that is another checker's.
    history
}

/// What the checker says.
pub(crate) fn verdict(history: &History) -> Verdict {
    let all = check::all();
    let checker = all.iter().find(|checker| checker.name() == "linearizable").unwrap();
    checker.check(history).verdict
}

#[test]
fn both_searches_agree_on_small_histories() {
    let (mut valid, mut invalid) = (0, 0);
    for seed in 0..HISTORIES {
        let history = small_of(seed, SIZE.operations_per_client);
        let mine = verdict(&history);
        let theirs = has_order(&operations(&history), Model::default());
        let agreed = if theirs { mine.is_pass() } else { mine == Verdict::Invalid };
        assert!(agreed, "seed {seed}: {mine}, and an order exists: {theirs}\n{:#?}", operations(&history));
        *(if theirs { &mut valid } else { &mut invalid }) += 1;
    }
    println!("{valid} with an order, {invalid} without");
    assert!(valid > HISTORIES / 4 && invalid > HISTORIES / 4, "{valid} with an order, {invalid} without");
}
