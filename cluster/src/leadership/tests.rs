//! When a leader is named, with Raft's metrics as a test wants them.

use std::collections::{BTreeMap, BTreeSet};

use kenger_types::Incarnation;
use openraft::Membership;
use openraft::alias::{LogIdOf, StoredMembershipOf, WatchSenderOf};
use openraft::async_runtime::watch::WatchSender;
use openraft::impls::leader_id_adv::LeaderId;
use openraft::metrics::SerdeInstant;
use openraft::type_config::TypeConfigExt;
use openraft::vote::RaftVote;

use super::*;

const LEADER: LeaderId<u64, u64> = LeaderId { term: 7, node_id: 2 };

fn log_id(index: u64) -> Option<LogIdOf<TypeConfig>> {
    Some(LogIdOf::<TypeConfig>::new(LEADER, index))
}

fn membership() -> Arc<StoredMembershipOf<TypeConfig>> {
    let node = |id: u64| MemberNode {
        peer: format!("192.0.2.{id}:5001"),
        api: format!("192.0.2.{id}:5000"),
        incarnation: Incarnation(u128::from(id)),
    };
    let nodes: BTreeMap<u64, MemberNode> = (1..=3).map(|id| (id, node(id))).collect();
    let voters: BTreeSet<u64> = nodes.keys().copied().collect();
    let membership = Membership::new(vec![voters], nodes).unwrap();
    Arc::new(StoredMembershipOf::<TypeConfig>::new(log_id(0), membership))
}

/// Stands for Raft.
struct Told(WatchSenderOf<TypeConfig, Metrics>);

impl Told {
    fn tells(&self, change: impl FnOnce(&mut Metrics)) {
        self.0.send_if_modified(|metrics| {
            change(metrics);
            true
        });
    }
}

/// Member 1 after a restart, with entries up to `last` in its log, that follows member 2 and hears
/// from it all the time.
fn restarted(last: Option<u64>) -> (Observer, Told) {
    let mut metrics = Metrics::new_initial(1);
    metrics.last_log_index = last;
    metrics.current_leader = Some(2);
    metrics.membership_config = membership();
    let (sender, receiver) = TypeConfig::watch_channel(metrics);
    let env = Env::system();
    let contact = Arc::new(Contact::default());
    contact.heard(VoteOf::<TypeConfig>::from_leader_id(LEADER, true), env.now());
    let observer = Observer {
        me: MemberId(1),
        env,
        timing: Timing::default(),
        metrics: receiver,
        contact,
        steps_down: Arc::default(),
        has_recovered: Arc::default(),
    };
    tokio::spawn(observer.clone().recover(CancellationToken::new()));
    (observer, Told(sender))
}

/// The leader that is named once everything that waits has been looked at.
async fn named(observer: &Observer) -> Option<u64> {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    observer.leadership().leader.map(|leader| leader.id.0)
}

#[tokio::test(start_paused = true)]
async fn a_restarted_member_names_no_leader_before_it_has_applied_all_that_it_may_have_applied_before() {
    let (observer, raft) = restarted(Some(10));
    assert_eq!(named(&observer).await, None, "how much was committed is not known");
    // The leader's own word for it comes late; what a snapshot brought is applied before.
    raft.tells(|metrics| metrics.last_applied = log_id(10));
    assert_eq!(named(&observer).await, None, "applied, but perhaps not all that was committed");
    raft.tells(|metrics| {
        (metrics.cluster_committed, metrics.last_applied) = (log_id(10), log_id(9));
    });
    assert_eq!(named(&observer).await, None, "one entry is missing");
    assert!(!observer.is_caught_up());
    raft.tells(|metrics| metrics.last_applied = log_id(10));
    assert_eq!(named(&observer).await, Some(2));
    assert!(observer.is_caught_up());
}

#[tokio::test(start_paused = true)]
async fn a_tail_that_no_quorum_had_is_not_waited_for() {
    let (observer, raft) = restarted(Some(10));
    raft.tells(|metrics| {
        (metrics.cluster_committed, metrics.last_applied) = (log_id(8), log_id(8));
    });
    assert_eq!(named(&observer).await, None, "9 and 10 may yet turn out to be committed");
    raft.tells(|metrics| metrics.last_log_index = Some(8));
    assert_eq!(named(&observer).await, Some(2));
    // What comes after is no matter of the restart.
    raft.tells(|metrics| {
        (metrics.last_log_index, metrics.cluster_committed) = (Some(12), log_id(12));
    });
    assert_eq!(named(&observer).await, Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_member_with_an_empty_log_has_nothing_to_recover() {
    let (observer, _raft) = restarted(None);
    assert_eq!(named(&observer).await, Some(2));
}

#[tokio::test(start_paused = true)]
async fn the_lag_counts_from_the_last_leader_that_was_heard_from_also_when_none_is_known() {
    let (observer, raft) = restarted(None);
    raft.tells(|metrics| metrics.current_leader = None);
    tokio::time::advance(Duration::from_secs(3)).await;
    let alone = observer.leadership();
    assert_eq!((alone.leader, alone.lag), (None, Duration::from_secs(3)));
    // A new leader is known by its vote before it has sent anything.
    raft.tells(|metrics| metrics.current_leader = Some(3));
    let unheard = observer.leadership();
    assert_eq!((unheard.leader, unheard.lag), (None, Duration::from_secs(3)));
}

#[tokio::test(start_paused = true)]
async fn the_lag_of_a_member_that_led_counts_from_the_last_answer_of_a_quorum() {
    let (observer, raft) = restarted(None);
    let changes = Arc::new(LeadershipChanges::new(observer.leadership()));
    tokio::spawn(observer.clone().watch(changes, CancellationToken::new()));
    raft.tells(|metrics| {
        (metrics.current_leader, metrics.state) = (Some(1), ServerState::Leader);
        metrics.last_quorum_acked = Some(SerdeInstant::new(TypeConfig::now()));
    });
    assert_eq!(named(&observer).await, Some(1));
    raft.tells(|metrics| {
        (metrics.current_leader, metrics.state) = (None, ServerState::Follower);
        metrics.last_quorum_acked = None;
    });
    tokio::time::advance(Duration::from_secs(2)).await;
    let alone = observer.leadership();
    assert_eq!((alone.leader, alone.lag), (None, Duration::from_secs(2)));
}
