//! The feed tells every revision once, in order, and the same on all members, whichever of them dies.

use std::collections::BTreeMap;

use jepsen_tests::harness::{Cluster, Settings, Sse, eventually};
use jepsen_tests::observe::{WatchReport, Watcher, Writers};
use kenger_types::Metadata;
use kenger_types::feed::SnapshotEvent;

use crate::agreement::{AGREE_LIMIT, agreed_nodes, place};

/// What each watcher was told of a revision is the same, and nobody missed one.
fn assert_same_history(reports: &[WatchReport]) {
    let mut history: BTreeMap<u64, &String> = BTreeMap::new();
    for report in reports {
        for (revision, changes) in &report.changes {
            let known = history.entry(*revision).or_insert(changes);
            assert_eq!(known, &changes, "revision {revision} was told in two ways");
        }
    }
    for report in reports {
        // A snapshot stands for the revisions before it; what came after was told one by one.
        let told = report.changes.len() as u64;
        let skipped: u64 = report.snapshots.iter().map(|(before, at)| at - before).sum();
        assert_eq!(told + skipped, report.replica.revision, "{:?}", report.snapshots);
    }
}

async fn revision(cluster: &Cluster) -> u64 {
    let api = cluster.api(cluster.wait_for_leader().await);
    api.status().await.unwrap().revision.0
}

#[tokio::test]
async fn watchers_of_all_members_are_told_the_same_across_failovers() {
    let mut cluster = Cluster::start(Settings::default().with_frequent_snapshots()).await;
    let apis = cluster.apis();
    let watchers: Vec<_> = (0..apis.len()).map(|first| Watcher::start(apis.clone(), first)).collect();
    let writers = Writers::start(&apis, 6);
    for _ in 0..3 {
        let goal = writers.acknowledged() + 150;
        eventually("writes go on", AGREE_LIMIT, async || writers.acknowledged() >= goal).await;
        let leader = cluster.wait_for_leader().await;
        cluster.kill(leader);
        let goal = writers.acknowledged() + 50;
        eventually("writes go on", AGREE_LIMIT, async || writers.acknowledged() >= goal).await;
        cluster.start_member(leader);
        cluster.wait_until_ready(leader).await;
    }
    let ledger = writers.finish().await;
    let nodes = agreed_nodes(&cluster).await;
    assert_eq!(ledger.contradictions(&nodes), Vec::<String>::new());

    let last = revision(&cluster).await;
    let mut reports = Vec::new();
    for watcher in watchers {
        reports.push(watcher.finish(last, AGREE_LIMIT).await);
    }
    for report in &reports {
        assert_eq!(report.replica.differences(&nodes), Vec::<String>::new());
        assert_eq!(report.replica.revision, last);
    }
    assert_same_history(&reports);
    let streams: u64 = reports.iter().map(|report| report.streams).sum();
    assert!(streams > 3, "nobody had to resume: the test did not test it");
}

#[tokio::test]
async fn a_watcher_resumes_on_any_member_without_a_snapshot_and_without_a_gap() {
    let cluster = Cluster::start(Settings::default()).await;
    let api = cluster.api(cluster.wait_for_leader().await);
    for port in 1..=20 {
        api.register(&place("resumed", port), Metadata::default()).await.acknowledged();
    }
    let last = revision(&cluster).await;
    assert_eq!(last, 20);
    for id in cluster.ids() {
        for after in [0, 1, 10, 19] {
            let mut feed = Sse::open(&cluster.api(id), Some(after)).await.unwrap();
            let mut at = after;
            while at < last {
                let event = feed.expect(AGREE_LIMIT).await;
                match event.name.as_str() {
                    "bookmark" => assert_eq!(event.id, Some(at)),
                    "change" => {
                        assert_eq!(event.id, Some(at + 1), "from {after} at member {id}");
                        at += 1;
                    }
                    other => panic!("an event {other} from {after} at member {id}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn a_filtered_feed_tells_of_its_namespaces_alone_and_agrees_with_the_list() {
    let cluster = Cluster::start(Settings::default()).await;
    let api = cluster.api(cluster.wait_for_leader().await);
    let node =
        |ns: &str, port: u16| kenger_types::api::NodeAddress { ns: ns.parse().unwrap(), ..place("n", port) };
    api.register(&node("mine", 1), Metadata::default()).await.acknowledged();
    api.register(&node("other", 1), Metadata::default()).await.acknowledged();
    for id in cluster.ids() {
        let mut feed = Sse::open_with(&cluster.api(id), None, "ns=mine").await.unwrap();
        let snapshot = loop {
            let event = feed.expect(AGREE_LIMIT).await;
            if event.name == "snapshot" {
                break serde_json::from_str::<SnapshotEvent>(&event.data).unwrap();
            }
        };
        let names: Vec<_> = snapshot.namespaces.iter().map(|namespace| namespace.name.as_str()).collect();
        assert_eq!(names, ["mine"]);
        assert!(snapshot.nodes.iter().all(|node| node.ns.as_str() == "mine"));

        let port = 10 + u16::try_from(id).unwrap();
        api.register(&node("other", port), Metadata::default()).await.acknowledged();
        let mine = api.register(&node("mine", port), Metadata::default()).await.acknowledged();
        let change = loop {
            let event = feed.expect(AGREE_LIMIT).await;
            if event.name == "change" {
                break event;
            }
        };
        assert!(!change.data.contains("\"other\""), "{}", change.data);
        assert_eq!(change.id, Some(mine.mod_revision.0));
    }
}
