//! Rules that hold for any sequence of commands.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails is a test that fails")]

mod history;
mod replica;

use std::collections::BTreeSet;

use history::{Step, proposal};
use kenger_state::{LeaseEffect, State};
use kenger_types::{NodeStatus, Revision};
use proptest::prelude::*;
use replica::Replica;

fn bytes(state: &State) -> Vec<u8> {
    bincode::serialize(state).unwrap()
}

fn histories() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(history::step(), 1..120)
}

/// Counts by looking at every node.
fn recounted<'a>(nodes: impl Iterator<Item = &'a std::sync::Arc<kenger_state::NodeRecord>>) -> (u64, u64) {
    nodes.fold((0, 0), |(nodes, online), node| {
        (nodes + 1, online + u64::from(node.status == NodeStatus::Online))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equal_commands_give_equal_states_and_equal_bytes(steps in histories()) {
        let (mut one, mut other) = (State::default(), State::default());
        let mut copies = Vec::new();
        for (at_ms, step) in (1..).zip(&steps) {
            let proposal = proposal(&one, step, at_ms);
            prop_assert_eq!(one.apply(&proposal), other.apply(&proposal));
            // The other one shares its structure with older copies: it must make no difference.
            copies.push(other.clone());
        }
        prop_assert_eq!(&one, &other);
        prop_assert_eq!(bytes(&one), bytes(&other));
    }

    #[test]
    fn a_copy_never_changes(steps in histories()) {
        let mut state = State::default();
        let mut copies = Vec::new();
        for (at_ms, step) in (1..).zip(&steps) {
            copies.push((state.clone(), bytes(&state)));
            state.apply(&proposal(&state, step, at_ms));
        }
        for (copy, bytes_then) in copies {
            prop_assert_eq!(bytes(&copy), bytes_then);
        }
    }

    #[test]
    fn the_revision_moves_by_one_exactly_with_changes_and_a_rejection_leaves_no_trace(steps in histories()) {
        let mut state = State::default();
        for (at_ms, step) in (1..).zip(&steps) {
            let before = state.clone();
            let applied = state.apply(&proposal(&before, step, at_ms));
            let moved_by = u64::from(!applied.changes.is_empty());
            prop_assert_eq!(applied.revision, Revision(before.revision().0 + moved_by));
            prop_assert_eq!(applied.revision, state.revision());
            if applied.result.is_err() {
                prop_assert_eq!(&state, &before);
                prop_assert!(applied.leases.is_empty());
            }
            if applied.changes.is_empty() {
                prop_assert_eq!(Replica::of(&state), Replica::of(&before));
            } else {
                prop_assert_ne!(Replica::of(&state), Replica::of(&before));
            }
        }
    }

    #[test]
    fn the_changes_after_any_snapshot_lead_to_the_view_of_the_state(steps in histories(), start in any::<prop::sample::Index>()) {
        let mut state = State::default();
        let start = start.index(steps.len());
        let mut replica = None;
        for (at_ms, step) in (1..).zip(&steps) {
            if usize::try_from(at_ms).unwrap() == start + 1 {
                replica = Some(Replica::of(&state));
            }
            let applied = state.apply(&proposal(&state, step, at_ms));
            if let Some(replica) = &mut replica {
                applied.changes.iter().for_each(|change| replica.apply(change));
                prop_assert_eq!(&*replica, &Replica::of(&state));
            }
        }
    }

    #[test]
    fn counts_are_those_of_a_recount_and_every_index_finds_its_node(steps in histories()) {
        let mut state = State::default();
        for (at_ms, step) in (1..).zip(&steps) {
            state.apply(&proposal(&state, step, at_ms));
        }
        prop_assert_eq!(state.total_counts(), recounted(state.nodes()));
        prop_assert_eq!(state.namespace_count(), state.namespaces().count() as u64);
        let mut of_namespaces = 0;
        for namespace in state.namespaces() {
            prop_assert_eq!(state.counts(namespace.id), recounted(state.nodes_of(namespace.id)));
            prop_assert_eq!(state.namespace(&namespace.name), Some(namespace));
            prop_assert_eq!(state.namespace_by_id(namespace.id), Some(namespace));
            for node in state.nodes_of(namespace.id) {
                of_namespaces += 1;
                prop_assert_eq!((&node.ns, node.ns_id), (&namespace.name, namespace.id));
                prop_assert_eq!(state.node_by_id(node.id), Some(node));
                prop_assert_eq!(state.node(&node.ns, &node.host, node.port), Some(node));
            }
        }
        prop_assert_eq!(of_namespaces, state.total_counts().0);
    }

    #[test]
    fn epochs_only_grow_and_each_belongs_to_one_registration_or_return(steps in histories()) {
        let mut state = State::default();
        let mut newest = 0;
        for (at_ms, step) in (1..).zip(&steps) {
            for effect in state.apply(&proposal(&state, step, at_ms)).leases {
                if let LeaseEffect::Renewed { id, epoch, ttl } = effect {
                    prop_assert!(epoch > newest);
                    newest = epoch;
                    // A command that returns a node twice gives it two epochs; the last one counts.
                    let node = state.node_by_id(id).unwrap();
                    prop_assert!(node.epoch >= epoch && node.ttl_seconds == ttl);
                }
            }
            let epochs: BTreeSet<_> = state.nodes().map(|node| node.epoch).collect();
            prop_assert_eq!(epochs.len() as u64, state.total_counts().0);
            prop_assert!(epochs.last().is_none_or(|last| *last <= newest));
        }
    }

    #[test]
    fn what_was_stored_is_read_as_the_same_state(steps in histories()) {
        let mut state = State::default();
        for (at_ms, step) in (1..).zip(&steps) {
            state.apply(&proposal(&state, step, at_ms));
        }
        let read: State = bincode::deserialize(&bytes(&state)).unwrap();
        prop_assert_eq!(&read, &state);
        // It also goes on in the same way.
        let next = proposal(&state, &Step::register_anew(), 1_000_000);
        let (mut read, mut state) = (read, state);
        prop_assert_eq!(read.apply(&next), state.apply(&next));
        prop_assert_eq!(bytes(&read), bytes(&state));
    }
}
