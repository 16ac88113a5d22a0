//! Nodes stay online as long as their heartbeats are acknowledged, whatever happens to the members,
//! and go offline when they fall silent.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kenger_cluster::config::LeaseTimes;
use kenger_cluster::{FeedFilter, FeedItem, HeartbeatOutcome, Member, StoreKind};
use kenger_types::NodeStatus;
use kenger_types::feed::Change;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::harness::{Cluster, PATIENCE, address, eventually, surely_register};

/// Several elections fit into it, also on a busy machine.
const TTL: Duration = Duration::from_secs(5);
const TIMES: LeaseTimes =
    LeaseTimes { ttl: TTL, delete_after: Duration::from_secs(60), tick: Duration::from_millis(200) };

const LIVELY: std::ops::Range<i64> = 1..21;
const SILENT: std::ops::Range<i64> = 101..104;

/// Between two heartbeats of a node, and before another try.
const PERIOD: Duration = Duration::from_millis(300);
const RETRY: Duration = Duration::from_millis(50);
/// How long a client waits for an answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(1);

/// The members that clients know of.
type Members = Arc<Mutex<Vec<Member>>>;

/// A node that heartbeats until it is aborted.
struct Lively {
    port: i64,
    /// When the last acknowledged heartbeat was sent, and whether each was acknowledged within the
    /// time to live of the one before.
    chain: Arc<Mutex<(Instant, bool)>>,
    task: JoinHandle<()>,
}

impl Lively {
    fn start(members: &Members, port: i64) -> Self {
        let chain = Arc::new(Mutex::new((Instant::now(), true)));
        let task = tokio::spawn(live(Arc::clone(members), port, Arc::clone(&chain)));
        Self { port, chain, task }
    }

    /// Whether all heartbeats so far were acknowledged in time.
    fn is_unbroken(&self) -> bool {
        let (sent_at, is_unbroken) = *self.chain.lock().unwrap();
        is_unbroken && sent_at.elapsed() < TTL
    }
}

/// Stays with one member as long as it answers.
async fn live(members: Members, port: i64, chain: Arc<Mutex<(Instant, bool)>>) {
    let mut turn = usize::try_from(port).unwrap();
    loop {
        let member = {
            let members = members.lock().unwrap();
            (!members.is_empty()).then(|| members[turn % members.len()].clone())
        };
        let sent_at = Instant::now();
        let is_heard = match member {
            Some(member) => match timeout(CLIENT_TIMEOUT, member.heartbeat(vec![address(port)])).await {
                Ok(Ok(outcomes)) => {
                    assert_ne!(outcomes[0], HeartbeatOutcome::NotFound, "node {port} is gone");
                    true
                }
                Ok(Err(_)) | Err(_) => false,
            },
            None => false,
        };
        if is_heard {
            {
                let mut chain = chain.lock().unwrap();
                chain.1 &= chain.0.elapsed() < TTL;
                chain.0 = sent_at;
            }
            sleep(PERIOD).await;
        } else {
            turn += 1;
            sleep(RETRY).await;
        }
    }
}

/// The ports of the nodes that a member's feed has ever told to be offline, with the time.
#[derive(Clone, Default)]
struct Offline(Arc<Mutex<Vec<(i64, Instant)>>>);

impl Offline {
    /// Follows the feed of a member until it ends.
    fn follow(&self, member: &Member) -> JoinHandle<()> {
        let mut subscription = member.subscribe(None, FeedFilter::all());
        let told = Arc::clone(&self.0);
        tokio::spawn(async move {
            while let Ok(item) = subscription.next().await {
                let nodes: Vec<_> = match item {
                    FeedItem::Snapshot(snapshot) => {
                        snapshot.state().nodes().map(|node| node.view()).collect()
                    }
                    FeedItem::Event(event) => event.changes.iter().filter_map(put_node).collect(),
                    FeedItem::UpToDate(_) => Vec::new(),
                };
                let offline = nodes.iter().filter(|node| node.status == NodeStatus::Offline);
                told.lock().unwrap().extend(offline.map(|node| (i64::from(node.port), Instant::now())));
            }
        })
    }

    fn ports(&self) -> BTreeSet<i64> {
        self.0.lock().unwrap().iter().map(|(port, _)| *port).collect()
    }

    fn first_of(&self, port: i64) -> Option<Instant> {
        self.0.lock().unwrap().iter().find(|(of, _)| *of == port).map(|(_, at)| *at)
    }
}

fn put_node(change: &Change) -> Option<kenger_types::Node> {
    match change {
        Change::NodePut { node, .. } => Some(node.clone()),
        _ => None,
    }
}

async fn started() -> (Cluster, Members, Vec<Lively>) {
    let cluster = Cluster::started_with(3, StoreKind::Sled, |config| config.lease = TIMES).await;
    for port in LIVELY {
        surely_register(cluster.member(1), port).await;
    }
    let members = Members::default();
    members.lock().unwrap().extend(cluster.members().cloned());
    let lively = LIVELY.map(|port| Lively::start(&members, port)).collect();
    (cluster, members, lively)
}

/// None of the nodes whose heartbeats were acknowledged in time was ever told to be offline.
fn check(lively: &[Lively], offline: &Offline) {
    let unbroken: BTreeSet<_> =
        lively.iter().filter(|node| node.is_unbroken()).map(|node| node.port).collect();
    for node in lively {
        assert!(!node.task.is_finished(), "node {} failed", node.port);
        node.task.abort();
    }
    let lost: Vec<_> = unbroken.intersection(&offline.ports()).copied().collect();
    assert!(lost.is_empty(), "acknowledged in time, and offline: {lost:?}");
    assert!(!unbroken.is_empty(), "no node was acknowledged in time, so that nothing was shown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_takes_no_node_with_it() {
    let (cluster, _members, lively) = started().await;
    for port in SILENT {
        surely_register(cluster.member(1), port).await;
    }
    let silent_since = Instant::now();
    let before = cluster.agreed().await;
    let others: Vec<u64> = (1..=3).filter(|id| *id != before).collect();
    let offline = Offline::default();
    let _following = offline.follow(cluster.member(others[0]));
    sleep(TTL / 5).await;

    cluster.cut_off(before);
    cluster.agreed_among(&others).await;
    eventually("silent nodes are offline", || {
        SILENT.eq(offline.ports().into_iter().filter(|port| *port > 100))
    })
    .await;
    for port in SILENT {
        let silent_for = offline.first_of(port).unwrap() - silent_since;
        assert!(silent_for >= TTL - TTL / 5, "node {port} is offline after {silent_for:?}");
    }
    cluster.mend();
    cluster.agreed().await;
    sleep(TTL + TTL / 5).await;
    check(&lively, &offline);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_hands_over_takes_no_node_with_it() {
    let (mut cluster, members, lively) = started().await;
    let offline = Offline::default();
    for _ in 0..3 {
        let leader = cluster.agreed().await;
        let follower = (1..=3).find(|id| *id != leader).unwrap();
        let following = offline.follow(cluster.member(follower));
        members.lock().unwrap().retain(|member| member.id().0 != leader);
        cluster.stop(leader).await;
        cluster.agreed().await;
        let started = cluster.start(leader).await.unwrap();
        members.lock().unwrap().push(started);
        sleep(TTL / 3).await;
        following.abort();
    }
    let _following = offline.follow(cluster.member(1));
    sleep(TTL + TTL / 5).await;
    check(&lively, &offline);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_were_all_down_for_longer_than_a_ttl_give_every_node_a_full_one() {
    let (mut cluster, members, lively) = started().await;
    for port in SILENT {
        surely_register(cluster.member(1), port).await;
    }
    members.lock().unwrap().clear();
    cluster.stop_all().await;
    sleep(TTL + TTL / 5).await;

    let restarted_at = Instant::now();
    let offline = Offline::default();
    cluster.start_all().await;
    let following = cluster.members().map(|member| offline.follow(member)).collect::<Vec<_>>();
    cluster.agreed().await;
    let agreed_after = restarted_at.elapsed();
    members.lock().unwrap().extend(cluster.members().cloned());
    eventually("silent nodes are offline", || {
        offline.ports().into_iter().filter(|port| *port > 100).eq(SILENT)
    })
    .await;
    for port in SILENT {
        let after = offline.first_of(port).unwrap() - restarted_at;
        assert!((TTL..PATIENCE).contains(&after), "node {port} is offline after {after:?}");
    }
    sleep(TTL).await;
    // Nobody was acknowledged while all were down, but the new leader has heard of nobody's silence.
    if agreed_after < TTL / 2 {
        let lost: Vec<_> = offline.ports().into_iter().filter(|port| LIVELY.contains(port)).collect();
        assert!(lost.is_empty(), "offline, although they heartbeat: {lost:?}");
    }
    for node in lively {
        assert!(!node.task.is_finished(), "node {} failed", node.port);
        node.task.abort();
    }
    drop(following);
}
