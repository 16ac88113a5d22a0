//! What this member does for the others: lets them in, and answers what they ask.

use std::future::Future;
use std::sync::Arc;

use kenger_state::Command;
use kenger_types::{Incarnation, MemberId};
use openraft::Snapshot;
use openraft::async_runtime::WatchReceiver;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::env::Env;
use crate::failure::Failure;
use crate::feed::FeedFilter;
use crate::identity::LocalIdentity;
use crate::leadership::Contact;
use crate::lease::Keeper;
use crate::proposer::Proposer;
use crate::raft::Raft;
use crate::raft::types::TypeConfig;
use crate::reader::Reader;
use crate::status::Reporter;
use crate::storage::{SnapshotReceiver, Snapshots};
use crate::transport::{
    Admission, BoxAnswer, BoxDecision, Hello, PeerIdentity, ProbeAnswer, ProbeMember, Purpose, Request,
    Response, Service, SnapshotChunk, SnapshotHead,
};

/// What the answers are made with.
pub(crate) struct Parts {
    pub(crate) env: Env,
    pub(crate) identity: Arc<LocalIdentity>,
    /// The static list, by id.
    pub(crate) members: Vec<ProbeMember>,
    pub(crate) raft: Raft,
    pub(crate) contact: Arc<Contact>,
    pub(crate) proposer: Arc<Proposer>,
    pub(crate) reader: Arc<Reader>,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) snapshots: Snapshots,
    pub(crate) reporter: Arc<Reporter>,
    pub(crate) failure: Arc<Failure>,
    /// This member is about to leave once it is cancelled.
    pub(crate) stopping: CancellationToken,
}

/// Serves the other members.
pub(crate) struct PeerService(pub(crate) Arc<Parts>);

impl Admission for PeerService {
    fn identity(&self) -> PeerIdentity {
        self.0.identity.peer_identity()
    }

    fn admit<'a>(&'a self, hello: &'a Hello) -> BoxDecision<'a> {
        Box::pin(async move {
            self.0.check_ends(hello)?;
            if hello.purpose != Purpose::Probe {
                self.0.check_cluster(hello).await?;
            }
            let session = Session { parts: Arc::clone(&self.0), snapshot: Arc::default() };
            Ok(Box::new(session) as Box<dyn Service>)
        })
    }
}

impl Parts {
    /// Whether the right two members have met.
    fn check_ends(&self, hello: &Hello) -> Result<(), String> {
        let me = self.identity.peer_identity();
        if hello.to_member != me.member {
            return Err(format!("this is member {}, not member {}", me.member, hello.to_member));
        }
        if hello.from.member == me.member {
            return Err(format!("this is member {}, too: two processes have the same member id", me.member));
        }
        let known = self.known_incarnation(hello.from.member);
        if known.is_some_and(|known| known != hello.from.incarnation) {
            return Err(format!(
                "the cluster knows member {} by another data directory: a directory that was lost or emptied does not \
                 come back under its old member id",
                hello.from.member
            ));
        }
        if hello.to_incarnation.is_some_and(|expected| expected != me.incarnation) {
            return Err(self.refuse_lost_directory(hello));
        }
        Ok(())
    }

    /// Another member knows this one by another data directory. A fresh member has lost its own then
    /// and must not go on waiting to be let in.
    fn refuse_lost_directory(&self, hello: &Hello) -> String {
        let me = self.identity.member();
        let reason = format!(
            "the cluster knows member {me} by another data directory than this one. If the directory was lost or \
             emptied, remove member {me} from the cluster and add a member with a new id in its place"
        );
        if self.identity.cluster().is_none() && self.is_listed(hello.from.member) {
            self.failure.report(&reason);
        }
        reason
    }

    async fn check_cluster(&self, hello: &Hello) -> Result<(), String> {
        let Some(cluster) = hello.from.cluster else {
            return Err("a member that belongs to no cluster yet may only probe".to_owned());
        };
        if hello.to_incarnation.is_none() {
            return Err("whoever is not probing says which data directory it means".to_owned());
        }
        match self.identity.cluster() {
            Some(own) if own == cluster => Ok(()),
            Some(own) => {
                Err(format!("member {} belongs to cluster {own}, not {cluster}", self.identity.member()))
            }
            None if self.is_listed(hello.from.member) => {
                self.identity.adopt(cluster).await.map_err(|error| {
                    let reason = error.to_string();
                    self.failure.report(&reason);
                    reason
                })?;
                tracing::info!(%cluster, from = %hello.from.member, "joined the cluster");
                Ok(())
            }
            None => Err(format!("member {} is not in this member's list", hello.from.member)),
        }
    }

    fn is_listed(&self, member: MemberId) -> bool {
        self.members.iter().any(|listed| listed.id == member)
    }

    fn known_incarnation(&self, member: MemberId) -> Option<Incarnation> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.membership().get_node(&member.0).map(|node| node.incarnation)
    }

    fn probe(&self, asked: &[ProbeMember]) -> ProbeAnswer {
        if asked != self.members {
            tracing::warn!(theirs = ?asked, own = ?self.members, "a member with another member list has asked");
        }
        let metrics = self.raft.metrics();
        let initialized = metrics.borrow_watched().membership_config.membership().nodes().next().is_some();
        let PeerIdentity { cluster, incarnation, .. } = self.identity.peer_identity();
        ProbeAnswer { incarnation, cluster, initialized, members: self.members.clone() }
    }

    async fn append(&self, append: AppendEntriesRequest<TypeConfig>) -> Response {
        let (vote, at) = (append.vote, self.env.now());
        self.contact.arrived(&vote, at);
        match self.raft.append_entries(append).await {
            Ok(response) => {
                if !matches!(response, AppendEntriesResponse::HigherVote(_)) {
                    self.contact.heard(vote, at);
                }
                Response::Append(response)
            }
            Err(error) => Response::Refused(error.to_string()),
        }
    }

    async fn propose(&self, command: Command) -> Response {
        Response::Proposed(self.proposer.propose_here(command, None).await)
    }
}

/// One connection of another member.
struct Session {
    parts: Arc<Parts>,
    /// The snapshot that is coming in; forgotten with the connection.
    snapshot: Arc<Mutex<Option<Incoming>>>,
}

struct Incoming {
    head: SnapshotHead,
    receiver: SnapshotReceiver,
}

impl Service for Session {
    fn call(&mut self, request: Request) -> BoxAnswer {
        let parts = Arc::clone(&self.parts);
        match request {
            Request::Probe(asked) => answer(async move { Response::Probe(parts.probe(&asked)) }),
            Request::Append(append) => answer(async move { parts.append(append).await }),
            Request::Vote(vote) => {
                answer(async move { or_refused(parts.raft.vote(vote).await, Response::Vote) })
            }
            Request::PreVote(vote) => {
                answer(async move { or_refused(parts.raft.pre_vote(vote).await, Response::Vote) })
            }
            Request::TransferLeader(request) => answer(async move {
                or_refused(parts.raft.handle_transfer_leader(request).await, Response::TransferLeader)
            }),
            Request::SnapshotBegin(head) => {
                let snapshot = Arc::clone(&self.snapshot);
                answer(async move { begin_snapshot(&parts, &snapshot, head).await })
            }
            Request::SnapshotChunk(chunk) => {
                let snapshot = Arc::clone(&self.snapshot);
                answer(async move { take_chunk(&snapshot, chunk).await })
            }
            Request::SnapshotFinish => {
                let snapshot = Arc::clone(&self.snapshot);
                answer(async move { finish_snapshot(&parts, &snapshot).await })
            }
            Request::Propose(command) => answer(async move { parts.propose(command).await }),
            Request::ReadIndex => {
                answer(async move { Response::ReadIndex(parts.reader.index_as_leader().await) })
            }
            Request::Heartbeats(nodes) => {
                answer(async move { Response::Heartbeats(parts.keeper.heartbeat_as_leader(&nodes).await) })
            }
            Request::LastHeard(namespaces) => answer(async move {
                let heard = parts.keeper.last_heard(&FeedFilter::namespaces(namespaces));
                Response::LastHeard(heard.map(|heard| heard.into_iter().collect()))
            }),
            Request::Status if parts.stopping.is_cancelled() => {
                answer(async { Response::Refused("the member is stopping".to_owned()) })
            }
            Request::Status => answer(async move { Response::Status(parts.reporter.report().await) }),
        }
    }
}

fn answer(work: impl Future<Output = Response> + Send + 'static) -> BoxAnswer {
    Box::pin(work)
}

fn or_refused<T, E: std::fmt::Display>(
    result: Result<T, E>,
    response: impl FnOnce(T) -> Response,
) -> Response {
    result.map_or_else(|error| Response::Refused(error.to_string()), response)
}

async fn begin_snapshot(parts: &Parts, snapshot: &Mutex<Option<Incoming>>, head: SnapshotHead) -> Response {
    let mut snapshot = snapshot.lock().await;
    *snapshot = None;
    match parts.snapshots.receive().await {
        Ok(receiver) => {
            *snapshot = Some(Incoming { head, receiver });
            Response::SnapshotContinue
        }
        Err(error) => Response::Refused(format!("the snapshot cannot be taken: {error}")),
    }
}

async fn take_chunk(snapshot: &Mutex<Option<Incoming>>, chunk: SnapshotChunk) -> Response {
    let mut snapshot = snapshot.lock().await;
    let Some(incoming) = snapshot.as_mut() else {
        return Response::Refused("no snapshot was begun".to_owned());
    };
    match incoming.receiver.write_chunk(chunk.offset, chunk.bytes).await {
        Ok(()) => Response::SnapshotContinue,
        Err(error) => {
            *snapshot = None;
            Response::Refused(format!("a piece of the snapshot was not taken: {error}"))
        }
    }
}

async fn finish_snapshot(parts: &Parts, snapshot: &Mutex<Option<Incoming>>) -> Response {
    let Some(Incoming { head, receiver }) = snapshot.lock().await.take() else {
        return Response::Refused("no snapshot was begun".to_owned());
    };
    let received = receiver.received_bytes();
    if received != head.bytes {
        return Response::Refused(format!("{received} of {} bytes of the snapshot came", head.bytes));
    }
    let file = match receiver.finish().await {
        Ok(file) => file,
        Err(error) => return Response::Refused(format!("the snapshot is of no use: {error}")),
    };
    let (vote, at) = (head.vote, parts.env.now());
    let snapshot = Snapshot { meta: head.meta, snapshot: file };
    match parts.raft.install_full_snapshot(head.vote, snapshot).await {
        Ok(response) => {
            if response.vote == vote {
                parts.contact.heard(vote, at);
            }
            Response::SnapshotInstalled(response)
        }
        Err(error) => Response::Refused(error.to_string()),
    }
}
