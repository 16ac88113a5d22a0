//! How Raft talks to the other members.

use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use openraft::RaftNetworkFactory;
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use tokio::time::{Instant, timeout_at};

use super::types::{MemberNode, TypeConfig};
use crate::env::Env;
use crate::leadership::peer_address;
use crate::storage::SnapshotFile;
use crate::transport::{
    CallError, PeerAddress, Peers, PendingAnswer, Purpose, Request, Response, SnapshotChunk, SnapshotHead,
};

/// Most appends to one member that wait for their answers.
const APPENDS_IN_FLIGHT_MAX: usize = 32;

/// How long a member may take to answer an append with entries: it syncs them first.
const APPEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Size of the pieces in which a snapshot is sent.
const SNAPSHOT_CHUNK_BYTES: usize = 1 << 20;

/// Makes the ways to the other members.
pub(crate) struct Network {
    env: Env,
    peers: Peers,
}

impl Network {
    /// Over the connections of `peers`.
    pub(crate) fn new(env: Env, peers: Peers) -> Self {
        Self { env, peers }
    }

    fn peer(&self, target: u64, node: &MemberNode, appends_over: Purpose) -> RaftPeer {
        RaftPeer {
            env: self.env.clone(),
            peers: self.peers.clone(),
            address: peer_address(target, node),
            appends_over,
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = RaftPeer;

    async fn new_client(&mut self, target: u64, node: &MemberNode) -> RaftPeer {
        self.peer(target, node, Purpose::Log)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &MemberNode) -> RaftPeer {
        self.peer(target, node, Purpose::Control)
    }
}

/// The way to one other member.
pub(crate) struct RaftPeer {
    env: Env,
    peers: Peers,
    address: PeerAddress,
    /// Heartbeats are appends without entries, and have their own connection.
    appends_over: Purpose,
}

impl RaftPeer {
    async fn call(&self, purpose: Purpose, request: Request, limit: Duration) -> Result<Response, CallError> {
        self.peers.call(&self.address, purpose, &request, limit).await
    }

    async fn ask_for_vote(
        &self,
        request: Request,
        limit: Duration,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let asked = request.name();
        match self.call(Purpose::Control, request, limit).await? {
            Response::Vote(response) => Ok(response),
            other => Err(mismatch(asked, &other).into()),
        }
    }

    /// Sends an append, in parts if it is larger than a frame. The answers come in this order.
    async fn submit(&self, request: Append, in_flight: &mut VecDeque<Submitted>) -> Result<(), CallError> {
        let mut rest = vec![request];
        while let Some(append) = rest.pop() {
            let range = (append.prev_log_id, last_log_id(&append));
            let request = Request::Append(append);
            match self.peers.send(&self.address, self.appends_over, &request).await {
                Ok(answer) => in_flight.push_back(Submitted {
                    range,
                    answer,
                    deadline: self.env.now() + APPEND_TIMEOUT,
                }),
                Err(CallError::TooLarge(reason)) => {
                    let Request::Append(append) = request else { return Err(CallError::TooLarge(reason)) };
                    let (first, second) = halves(append).ok_or(CallError::TooLarge(reason))?;
                    rest.extend([second, first]);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends the file in pieces and has it installed.
    async fn send_snapshot(
        &self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, SnapshotFile>,
        limit: Duration,
    ) -> Result<SnapshotResponse<TypeConfig>, CallError> {
        let SnapshotOf::<TypeConfig, SnapshotFile> { meta, snapshot: file } = snapshot;
        self.continue_snapshot(
            Request::SnapshotBegin(SnapshotHead { vote, meta, bytes: file.bytes() }),
            limit,
        )
        .await?;
        let mut offset = 0;
        while offset < file.bytes() {
            let bytes = read_chunk(&self.env, file.clone(), offset).await?;
            let length = bytes.len() as u64;
            self.continue_snapshot(Request::SnapshotChunk(SnapshotChunk { offset, bytes }), limit).await?;
            offset += length;
        }
        match self.call(Purpose::Snapshot, Request::SnapshotFinish, limit).await? {
            Response::SnapshotInstalled(response) => Ok(response),
            other => Err(mismatch("snapshot finish", &other)),
        }
    }

    async fn continue_snapshot(&self, request: Request, limit: Duration) -> Result<(), CallError> {
        let asked = request.name();
        match self.call(Purpose::Snapshot, request, limit).await? {
            Response::SnapshotContinue => Ok(()),
            other => Err(mismatch(asked, &other)),
        }
    }
}

impl RaftNetworkV2<TypeConfig> for RaftPeer {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        append: Append,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RpcError> {
        let request = Request::Append(append);
        match self.call(self.appends_over, request, option.soft_ttl()).await? {
            Response::Append(response) => Ok(response),
            other => Err(mismatch("append", &other).into()),
        }
    }

    /// Sends on while answers are under way. One connection keeps the order in both directions, and
    /// the other member hands the appends to Raft in the order in which they came; the answers are
    /// awaited in that order, too. Not each is told, see [`Appends::is_answer_to_more`].
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RpcError>>, RpcError>>
    where
        S: Stream<Item = Append> + Send + Unpin + 'static,
    {
        let appends = Appends { peer: self, input: Some(input), in_flight: VecDeque::new() };
        let results = stream::unfold(Some(appends), |appends| async move { appends?.next().await });
        let results: BoxStream<'s, _> = Box::pin(results);
        Box::pin(std::future::ready(Ok(results)))
    }

    async fn vote(
        &mut self,
        vote: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        self.ask_for_vote(Request::Vote(vote), option.soft_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        vote: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        self.ask_for_vote(Request::PreVote(vote), option.soft_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, SnapshotFile>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        tokio::select! {
            closed = cancel => Err(closed.into()),
            sent = self.send_snapshot(vote, snapshot, option.soft_ttl()) => sent.map_err(|error| RpcError::from(error).into()),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        match self.call(Purpose::Control, Request::TransferLeader(request), option.soft_ttl()).await? {
            Response::TransferLeader(response) => Ok(response),
            other => Err(mismatch("transfer leader", &other).into()),
        }
    }
}

async fn read_chunk(env: &Env, file: SnapshotFile, offset: u64) -> Result<Bytes, CallError> {
    match env.storage().run(move |_| file.read_chunk(offset, SNAPSHOT_CHUNK_BYTES)).await {
        Ok(bytes) if bytes.is_empty() => {
            Err(CallError::NotSent("the snapshot is shorter than it was".to_owned()))
        }
        Ok(bytes) => Ok(Bytes::from(bytes)),
        Err(error) => Err(CallError::NotSent(format!("the snapshot cannot be read: {error}"))),
    }
}

type Append = AppendEntriesRequest<TypeConfig>;
type LogId = openraft::alias::LogIdOf<TypeConfig>;
type RpcError = RPCError<TypeConfig>;

/// An append that was sent: what it covers, and its answer.
struct Submitted {
    range: (Option<LogId>, Option<LogId>),
    answer: PendingAnswer,
    deadline: Instant,
}

/// Appends on their way to one member.
struct Appends<'s, S> {
    peer: &'s RaftPeer,
    /// `None` when there is nothing more to send.
    input: Option<S>,
    in_flight: VecDeque<Submitted>,
}

impl<S: Stream<Item = Append> + Unpin> Appends<'_, S> {
    /// The next answer, and whether to go on.
    async fn next(mut self) -> Option<(Result<StreamAppendResult<TypeConfig>, RpcError>, Option<Self>)> {
        loop {
            let next = self.input.as_mut().filter(|_| self.in_flight.len() < APPENDS_IN_FLIGHT_MAX);
            let step = match (next, self.in_flight.front_mut()) {
                (None, None) => return None,
                (Some(input), None) => Step::Send(input.next().await),
                (None, Some(first)) => Step::Answered(first.wait().await),
                (Some(input), Some(first)) => tokio::select! {
                    biased;
                    answer = first.wait() => Step::Answered(answer),
                    append = input.next() => Step::Send(append),
                },
            };
            match step {
                Step::Send(None) => self.input = None,
                Step::Send(Some(append)) => {
                    if let Err(error) = self.peer.submit(append, &mut self.in_flight).await {
                        return Some((Err(error.into()), None));
                    }
                }
                Step::Answered(answer) => {
                    let (prev, last) = self.in_flight.pop_front()?.range;
                    let result =
                        answer.and_then(|response| matching(response, prev, last)).map_err(RpcError::from);
                    if let Ok(Ok(matching)) = &result
                        && self.is_answer_to_more(matching)
                    {
                        continue;
                    }
                    let goes_on = matches!(&result, Ok(Ok(_)));
                    return Some((result, goes_on.then_some(self)));
                }
            }
        }
    }
}

impl<S> Appends<'_, S> {
    /// Whether Raft would take `matching` for the answer to something that has none yet: to everything that ends
    /// where that does. An append without entries, which tells that more is committed, ends where the one
    /// before it does. Raft would believe that a quorum has answered what was sent just now, and a leader that
    /// was cut off would serve reads and acknowledge heartbeats by answers of long ago. The answer to the last
    /// of them tells the same.
    fn is_answer_to_more(&self, matching: &Option<LogId>) -> bool {
        self.in_flight.front().is_some_and(|next| next.range.1 <= *matching)
    }
}

enum Step {
    Send(Option<Append>),
    Answered(Result<Response, CallError>),
}

impl Submitted {
    /// Cancel-safe.
    async fn wait(&mut self) -> Result<Response, CallError> {
        let answered = timeout_at(self.deadline, self.answer.wait()).await;
        answered.map_err(|_| CallError::TimedOut(APPEND_TIMEOUT))?
    }
}

/// Up to where the other member's log is the leader's, by its answer.
fn matching(
    response: Response,
    prev: Option<LogId>,
    last: Option<LogId>,
) -> Result<StreamAppendResult<TypeConfig>, CallError> {
    match response {
        Response::Append(AppendEntriesResponse::Conflict) if prev.is_none() => {
            Err(CallError::Refused("a conflict before the first entry, which cannot be".to_owned()))
        }
        Response::Append(response) => Ok(response.into_stream_result(prev, last)),
        other => Err(mismatch("append", &other)),
    }
}

fn last_log_id(append: &Append) -> Option<LogId> {
    append.entries.last().map(|entry| entry.log_id).or(append.prev_log_id)
}

/// Two appends that together are `append`; `None` if it has a single entry.
fn halves(mut append: Append) -> Option<(Append, Append)> {
    let entries = append.entries.split_off(append.entries.len().div_ceil(2));
    if entries.is_empty() {
        return None;
    }
    let second = Append {
        vote: append.vote,
        prev_log_id: last_log_id(&append),
        entries,
        leader_commit: append.leader_commit,
    };
    Some((append, second))
}

fn mismatch(asked: &'static str, response: &Response) -> CallError {
    CallError::Mismatch { asked, answered: response.name() }
}

impl From<CallError> for RpcError {
    /// Whom nothing reached is left alone for a while; what was lost on the way is sent again at once.
    fn from(error: CallError) -> Self {
        if error.nothing_happened() {
            RPCError::Unreachable(Unreachable::new(&error))
        } else {
            RPCError::Network(NetworkError::new(&error))
        }
    }
}

#[cfg(test)]
mod tests;
