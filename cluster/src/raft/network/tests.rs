//! Appends to a member over a real connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use kenger_state::{Command, Proposal};
use kenger_types::api::NodeAddress;
use kenger_types::{ClusterId, Incarnation, MemberId, Metadata, Weight};
use openraft::EntryPayload;
use openraft::alias::EntryOf;
use openraft::impls::leader_id_adv::LeaderId;
use openraft::vote::RaftVote;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::transport::tests::{SECRET, caller};
use crate::transport::{Admission, BoxAnswer, BoxDecision, Hello, PeerIdentity, Server, Service};

const LEADER: LeaderId<u64, u64> = LeaderId { term: 3, node_id: 1 };
const FOLLOWER: PeerIdentity =
    PeerIdentity { cluster: Some(ClusterId(1)), member: MemberId(2), incarnation: Incarnation(22) };

/// Takes every append, and remembers them.
#[derive(Clone, Default)]
struct Follower {
    seen: Arc<Mutex<Vec<Append>>>,
    /// If so, nothing is answered before so many have come.
    answers_from: Option<watch::Sender<usize>>,
}

impl Admission for Follower {
    fn identity(&self) -> PeerIdentity {
        FOLLOWER
    }

    fn admit<'a>(&'a self, _hello: &'a Hello) -> BoxDecision<'a> {
        Box::pin(async move { Ok(Box::new(self.clone()) as Box<dyn Service>) })
    }
}

impl Service for Follower {
    fn call(&mut self, request: Request) -> BoxAnswer {
        let Request::Append(append) = request else { panic!("{}", request.name()) };
        self.seen.lock().unwrap().push(append);
        let answers_from = self.answers_from.clone();
        if let Some(left) = &answers_from {
            left.send_modify(|left| *left = left.saturating_sub(1));
        }
        Box::pin(async move {
            if let Some(left) = answers_from {
                left.subscribe().wait_for(|left| *left == 0).await.unwrap();
            }
            Response::Append(AppendEntriesResponse::Success)
        })
    }
}

fn log_id(index: u64) -> LogId {
    LogId::new(LEADER, index)
}

/// An entry of about 18 KiB: the largest registration.
fn entry(index: u64) -> EntryOf<TypeConfig> {
    let pairs: BTreeMap<_, _> = (0..32).map(|number| (format!("{number:064}"), "v".repeat(512))).collect();
    let command = Command::Register {
        key: NodeAddress {
            ns: "shop".parse().unwrap(),
            host: "192.0.2.9".parse().unwrap(),
            port: 8080.try_into().unwrap(),
        },
        weight: Weight::default(),
        health_path: None,
        metadata: Metadata::try_from(pairs).unwrap(),
        ttl_seconds: None,
        create_namespace: true,
        if_revision: None,
    };
    let proposal = Proposal { proposed_at_ms: 0, command };
    EntryOf::<TypeConfig> { log_id: log_id(index), payload: EntryPayload::Normal(proposal) }
}

/// What a leader is told when it sends these to `follower`.
async fn answers(follower: &Follower, appends: Vec<Append>) -> Vec<Option<LogId>> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    let server = Server::new(Env::system(), SECRET, Arc::new(follower.clone()), stop.clone());
    tokio::spawn(server.run(Box::new(listener)));
    let side = caller(1, SECRET);
    let mut peer = RaftPeer {
        env: Env::system(),
        peers: side.peers.clone(),
        address: PeerAddress { member: FOLLOWER.member, address, incarnation: Some(FOLLOWER.incarnation) },
        appends_over: Purpose::Log,
    };
    let option = RPCOption::new(Duration::from_secs(20));
    let answers = peer.stream_append(stream::iter(appends), option).await.unwrap();
    let answers = answers.map(|answer| answer.unwrap().unwrap()).collect().await;
    stop.cancel();
    answers
}

fn append(after: u64, entries: Vec<EntryOf<TypeConfig>>, commit: u64) -> Append {
    Append {
        vote: VoteOf::<TypeConfig>::from_leader_id(LEADER, true),
        prev_log_id: Some(log_id(after)),
        entries,
        leader_commit: Some(log_id(commit)),
    }
}

/// Raft takes what answers the first for an answer to the second as well, which was sent later: to a leader
/// that was cut off, and is told late what it was answered before, that would be proof that it still leads.
#[tokio::test]
async fn an_answer_is_not_told_while_something_that_ends_at_the_same_entry_is_unanswered() {
    let follower = Follower { answers_from: Some(watch::Sender::new(3)), ..Follower::default() };
    let appends =
        vec![append(10, vec![entry(11)], 9), append(11, Vec::new(), 11), append(11, vec![entry(12)], 11)];
    assert_eq!(answers(&follower, appends).await, [Some(log_id(11)), Some(log_id(12))]);
    assert_eq!(follower.seen.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn an_append_larger_than_a_frame_arrives_in_parts_that_follow_each_other() {
    // About 18 MB, more than twice what a frame holds.
    let entries: Vec<_> = (11..=1_010).map(entry).collect();
    let follower = Follower::default();
    let answers = answers(&follower, vec![append(10, entries.clone(), 9)]).await;

    let parts = std::mem::take(&mut *follower.seen.lock().unwrap());
    assert!(parts.len() > 2, "halves are halved again");
    let mut before = Some(log_id(10));
    for (part, answer) in parts.iter().zip(&answers) {
        assert_eq!(part.prev_log_id, before, "each follows the one before");
        assert_eq!((part.vote.leader_id(), part.leader_commit), (&LEADER, Some(log_id(9))));
        before = last_log_id(part);
        assert_eq!(*answer, before, "each answer tells how far the follower has come");
    }
    assert_eq!(answers.len(), parts.len());
    assert_eq!(parts.into_iter().flat_map(|part| part.entries).collect::<Vec<_>>(), entries);
}
