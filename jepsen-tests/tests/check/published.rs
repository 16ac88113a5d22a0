//! The search against a published one (`todc-utils`, the algorithm of Wing and Gong with Lowe's memory),
//! which remembers where it has been and so takes histories that are too long for all orders.

use jepsen_tests::check::Verdict;
use jepsen_tests::history::{History, Operation};
use todc_utils::{Action, History as Actions, Specification, WGLChecker};

use crate::second_opinion::{Model, operations, small_of, verdict};

const HISTORIES: u64 = 1_000;
/// Of each of the three clients.
const OPERATIONS_PER_CLIENT: u32 = 12;

/// One node, as the second opinion describes it.
struct OneNode;

impl Specification for OneNode {
    type State = Model;
    type Operation = Operation;

    fn init() -> Model {
        Model::default()
    }

    fn apply(operation: &Operation, model: &Model) -> (bool, Model) {
        model.step(operation).map_or((false, *model), |after| (true, after))
    }
}

/// Calls and returns in the order of their times. What was called when something else returned overlaps
/// with it.
fn actions(history: &History) -> Actions<Operation> {
    let mut actions = Vec::new();
    for (process, operation) in operations(history).into_iter().enumerate() {
        actions.push((operation.called, 0, (process, Action::Call(operation.clone()))));
        actions.push((operation.returned, 1, (process, Action::Response(operation))));
    }
    actions.sort_by_key(|(at, is_return, _)| (*at, *is_return));
    Actions::from_actions(actions.into_iter().map(|(_, _, action)| action).collect())
}

#[test]
fn a_published_search_says_the_same_of_longer_histories() {
    let (mut valid, mut invalid) = (0, 0);
    for seed in 0..HISTORIES {
        let history = small_of(seed, OPERATIONS_PER_CLIENT);
        let mine = verdict(&history);
        let theirs = WGLChecker::<OneNode>::is_linearizable(actions(&history));
        let agreed = if theirs { mine.is_pass() } else { mine == Verdict::Invalid };
        assert!(agreed, "seed {seed}: {mine}, and an order exists: {theirs}\n{:#?}", operations(&history));
        *(if theirs { &mut valid } else { &mut invalid }) += 1;
    }
    println!("{valid} with an order, {invalid} without");
    assert!(valid > HISTORIES / 4 && invalid > HISTORIES / 4, "{valid} with an order, {invalid} without");
}
