//! What the router makes of events and findings, and what it leaves alone.

use kenger_types::feed::Change;

use super::*;
use crate::testing::{change, deleted, namespace, node, put, snapshot};

fn demo() -> NamespaceName {
    "demo".parse().unwrap()
}

fn router(nodes: Vec<Node>) -> Router {
    let router = Router::new([demo()], 1);
    router.apply([FeedUpdate::Snapshot(snapshot(10, &["demo"], nodes))]).unwrap();
    router
}

fn ports(router: &Router) -> Vec<u16> {
    router.table(&demo()).unwrap().load().endpoints().iter().map(|endpoint| endpoint.port.get()).collect()
}

fn target(port: u16) -> Target {
    let node = node("demo", port, 1);
    Target { host: node.host, port: node.port, path: HealthPath::default() }
}

fn targets(router: &Router) -> Vec<Target> {
    let TargetChanges::All(all) = router.take_target_changes() else { panic!("asked for the second time") };
    all.into_iter().map(|(target, _)| target).collect()
}

fn tables(router: &Router) -> Vec<Arc<Table>> {
    router.tables.values().map(|table| table.load_full()).collect()
}

/// Which tables, in the order of their namespaces, are not those that were there before.
fn replaced(router: &Router, before: &[Arc<Table>]) -> Vec<bool> {
    tables(router).iter().zip(before).map(|(now, before)| !Arc::ptr_eq(now, before)).collect()
}

#[test]
fn a_weight_of_zero_takes_a_node_out_with_the_next_table() {
    let router = router(vec![node("demo", 1, 100), node("demo", 2, 100)]);
    assert_eq!(ports(&router), [1, 2]);
    router.apply([FeedUpdate::Change(change(11, vec![put(node("demo", 1, 0))]))]).unwrap();
    assert_eq!(ports(&router), [2]);
    assert_eq!(router.position().unwrap().1, Revision(11));
}

#[test]
fn events_before_a_refused_one_are_in_force() {
    let router = router(vec![node("demo", 1, 100)]);
    let first = FeedUpdate::Change(change(11, vec![put(node("demo", 2, 1))]));
    let again = FeedUpdate::Change(change(11, vec![put(node("demo", 3, 1))]));
    assert!(router.apply([first, again]).is_err());
    assert_eq!(ports(&router), [1, 2]);
}

#[test]
fn health_moves_a_node_out_and_back_in() {
    let router = router(vec![node("demo", 1, 100), node("demo", 2, 100)]);
    router.report_health([(target(1), false)]);
    assert_eq!(ports(&router), [2]);
    assert_eq!(router.nodes(&demo()).unwrap().iter().filter(|report| report.is_healthy).count(), 1);
    router.report_health([(target(1), true)]);
    assert_eq!(ports(&router), [1, 2]);
}

#[test]
fn a_finding_about_a_removed_node_does_not_wait_for_its_return() {
    let router = router(vec![node("demo", 1, 100), node("demo", 2, 100)]);
    router.report_health([(target(1), false)]);
    router.apply([FeedUpdate::Change(change(11, vec![deleted(&node("demo", 1, 100))]))]).unwrap();
    router.report_health([(target(1), false)]);
    assert_eq!(targets(&router), [target(2)]);
    router.apply([FeedUpdate::Change(change(12, vec![put(node("demo", 1, 100))]))]).unwrap();
    assert_eq!(ports(&router), [1, 2], "new nodes are healthy until proven otherwise");
}

#[test]
fn live_endpoints_are_those_of_the_tables() {
    let router = router(vec![node("demo", 1, 100), node("demo", 2, 100)]);
    let mut left = router.endpoints_left();
    let endpoints: Vec<_> = router.table(&demo()).unwrap().load().endpoints().to_vec();
    assert!(endpoints.iter().all(|endpoint| endpoint.is_live()));
    router.apply([FeedUpdate::Change(change(11, vec![put(node("demo", 3, 100))]))]).unwrap();
    assert!(endpoints.iter().all(|endpoint| endpoint.is_live()));
    assert!(!left.has_changed().unwrap());
    router.apply([FeedUpdate::Change(change(12, vec![deleted(&node("demo", 1, 100))]))]).unwrap();
    assert_eq!(endpoints.iter().map(|endpoint| endpoint.is_live()).collect::<Vec<_>>(), [false, true]);
    assert!(left.has_changed().unwrap());
    left.mark_unchanged();
    router.report_health([(target(2), false)]);
    assert!(!endpoints[1].is_live() && left.has_changed().unwrap());
    router.report_health([(target(2), true)]);
    assert!(endpoints[1].is_live());
}

#[test]
fn a_check_is_shared_by_the_namespaces_that_name_the_same_address_and_path() {
    let router = Router::new([demo(), "other".parse().unwrap()], 1);
    let nodes = vec![node("demo", 1, 100), node("other", 1, 100), node("unserved", 2, 100)];
    router.apply([FeedUpdate::Snapshot(snapshot(1, &["demo", "other", "unserved"], nodes))]).unwrap();
    assert_eq!(targets(&router), [target(1)]);
    router.report_health([(target(1), false)]);
    for name in ["demo", "other"] {
        let table = router.table(&name.parse().unwrap()).unwrap().load();
        assert_eq!(table.serving, Serving::Panic);
    }
}

#[test]
fn only_the_tables_of_namespaces_that_changed_are_made_anew() {
    let router = Router::new([demo(), "other".parse().unwrap()], 1);
    let nodes =
        vec![node("demo", 1, 100), node("demo", 2, 100), node("other", 2, 100), node("other", 3, 100)];
    router.apply([FeedUpdate::Snapshot(snapshot(10, &["demo", "other"], nodes))]).unwrap();
    let before = tables(&router);
    router.apply([FeedUpdate::Change(change(11, vec![put(node("other", 3, 50))]))]).unwrap();
    assert_eq!(replaced(&router, &before), [false, true]);
    let before = tables(&router);
    router.report_health([(target(1), false)]);
    assert_eq!(replaced(&router, &before), [true, false]);
    let before = tables(&router);
    router.report_health([(target(2), false)]);
    assert_eq!(replaced(&router, &before), [true, true]);
}

#[test]
fn what_concerns_no_traffic_makes_no_table() {
    let router = router(vec![node("demo", 1, 100)]);
    let before = tables(&router);
    let mut other = node("demo", 1, 100);
    other.last_heartbeat = Some(kenger_types::Timestamp::from_unix_ms(5_000));
    let changes = vec![put(node("demo", 2, 0)), put(other)];
    router.apply([FeedUpdate::Change(change(11, changes))]).unwrap();
    router.report_health([(target(2), false)]);
    router.apply([FeedUpdate::Change(change(12, vec![deleted(&node("demo", 2, 0))]))]).unwrap();
    assert_eq!(replaced(&router, &before), [false]);
    assert_eq!(router.nodes(&demo()).unwrap()[0].node.last_heartbeat.unwrap().unix_ms(), 5_000);
}

#[test]
fn a_table_without_nodes_follows_its_reason() {
    let router = router(Vec::new());
    let serving = || router.table(&demo()).unwrap().load().serving;
    assert_eq!(serving(), Serving::Nobody(NoNode::NoNodes));
    router.apply([FeedUpdate::Change(change(11, vec![put(node("demo", 1, 0))]))]).unwrap();
    assert_eq!(serving(), Serving::Nobody(NoNode::AllWeightsZero));
    router.apply([FeedUpdate::Change(change(12, vec![deleted(&node("demo", 1, 0))]))]).unwrap();
    assert_eq!(serving(), Serving::Nobody(NoNode::NoNodes));
    let gone = namespace("demo");
    let gone = Change::NamespaceDeleted { id: gone.id, name: gone.name };
    router.apply([FeedUpdate::Change(change(13, vec![gone]))]).unwrap();
    assert_eq!(serving(), Serving::Nobody(NoNode::NoSuchNamespace));
}

#[test]
fn a_path_that_the_namespace_sets_is_another_check() {
    let router = router(vec![node("demo", 1, 100), node("demo", 2, 100)]);
    router.report_health([(target(1), false)]);
    router.take_target_changes();
    let mut with_path = namespace("demo");
    with_path.health_path = "/other".parse().unwrap();
    router
        .apply([FeedUpdate::Change(change(11, vec![Change::NamespacePut { namespace: with_path }]))])
        .unwrap();
    assert_eq!(ports(&router), [1, 2], "nobody has asked there yet");
    let TargetChanges::Some(changes) = router.take_target_changes() else { panic!("everything again") };
    let (gone, new): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| change.was_removed);
    assert!(gone.len() == 2 && gone.iter().all(|change| !change.is_present));
    assert!(new.len() == 2 && new.iter().all(|change| change.target.path.as_str() == "/other"));
}

#[test]
fn a_later_snapshot_keeps_what_is_known_of_nodes_that_stay() {
    let router = router(vec![node("demo", 1, 100), node("demo", 2, 100)]);
    router.report_health([(target(1), false)]);
    router.take_target_changes();
    let nodes = vec![node("demo", 1, 100), node("demo", 3, 100)];
    let endpoint = |port: usize| Arc::clone(&tables(&router)[0].endpoints()[port]);
    let two = endpoint(0);
    router.apply([FeedUpdate::Snapshot(snapshot(20, &["demo"], nodes))]).unwrap();
    assert_eq!(ports(&router), [3]);
    assert!(!two.is_live());
    let TargetChanges::Some(mut changes) = router.take_target_changes() else { panic!("everything again") };
    changes.sort_by_key(|change| change.target.port);
    let gone = TargetChange { target: target(2), was_removed: true, is_present: false };
    let new = TargetChange { target: target(3), was_removed: false, is_present: true };
    assert_eq!(changes, [gone, new]);
}
