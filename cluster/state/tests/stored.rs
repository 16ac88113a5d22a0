//! Snapshots that contradict themselves are refused.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails is a test that fails")]

use kenger_state::{Command, Proposal, State};
use kenger_types::api::NodeAddress;
use kenger_types::{Metadata, Weight};
use serde_json::{Value, json};

fn register(ns: &str, host: &str) -> Proposal {
    Proposal {
        proposed_at_ms: 1,
        command: Command::Register {
            key: NodeAddress {
                ns: ns.parse().unwrap(),
                host: host.parse().unwrap(),
                port: 80.try_into().unwrap(),
            },
            weight: Weight::default(),
            health_path: None,
            metadata: Metadata::default(),
            ttl_seconds: None,
            create_namespace: true,
            if_revision: None,
        },
    }
}

/// The state with two nodes in each of two namespaces, in a form that a test can damage.
fn stored() -> Value {
    let mut state = State::default();
    for (ns, host) in [("a", "h1"), ("a", "h2"), ("b", "h1"), ("b", "h2")] {
        state.apply(&register(ns, host)).result.unwrap();
    }
    serde_json::to_value(&state).unwrap()
}

/// What is said about the state after one value in it was set to another.
fn refusal(pointer: &str, value: Value) -> String {
    let mut stored = stored();
    *stored.pointer_mut(pointer).expect("the place exists") = value;
    serde_json::from_value::<State>(stored).expect_err("a damaged state must be refused").to_string()
}

#[test]
fn an_undamaged_state_is_read() {
    let read: State = serde_json::from_value(stored()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), stored());
}

#[test]
fn a_namespace_that_is_there_twice_is_refused() {
    assert!(refusal("/pools/1/namespace/name", json!("a")).contains("there twice"));
    assert!(refusal("/pools/1/namespace/id", json!(1)).contains("there twice"));
}

#[test]
fn a_node_that_is_there_twice_is_refused() {
    assert!(refusal("/pools/1/nodes/0/id", json!(1)).contains("there twice"));
    assert!(refusal("/pools/1/nodes/0/host", json!("h2")).contains("there twice"));
    assert!(refusal("/pools/1/nodes/0/epoch", json!(1)).contains("epoch 1 of another node"));
}

#[test]
fn numbers_that_were_not_given_out_yet_are_refused() {
    assert!(refusal("/next_namespace_id", json!(2)).contains("from a later state"));
    assert!(refusal("/next_node_id", json!(4)).contains("from a later state"));
    assert!(refusal("/next_epoch", json!(4)).contains("from a later state"));
    assert!(refusal("/revision", json!(3)).contains("from a later state"));
    assert!(refusal("/pools/0/namespace/mod_revision", json!(9)).contains("from a later state"));
}

#[test]
fn values_that_break_a_rule_are_refused() {
    assert!(refusal("/pools/0/nodes/0/port", json!(0)).contains("a port is an integer"));
    assert!(refusal("/pools/0/nodes/0/host", json!("a b")).contains("host name"));
    assert!(refusal("/pools/0/nodes/0/registered_weight", json!(10_001)).contains("a weight is"));
}

#[test]
fn damaged_bytes_are_an_error_and_never_a_panic() {
    let state: State = serde_json::from_value(stored()).unwrap();
    let bytes = bincode::serialize(&state).unwrap();
    for end in 0..bytes.len() {
        bincode::deserialize::<State>(&bytes[..end]).expect_err("a truncated state must be refused");
    }
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x80;
        // Whether it is refused depends on the place; a checksum is the codec's. It must not panic,
        // and what it takes for a state must be one.
        if let Ok(state) = bincode::deserialize::<State>(&damaged) {
            assert_eq!(state.total_counts().0, state.nodes().count() as u64);
        }
    }
}
