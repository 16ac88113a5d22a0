//! The first start of a cluster.
//!
//! The member with the lowest id probes the others until all have answered that they are fresh and
//! hold the same member list, and have told their data directories. Then it chooses the cluster id,
//! stores it, and initializes Raft, once. It is safe to stop at any point of this: the cluster id is
//! stored before Raft is initialized, and a second run finds it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use kenger_types::{ClusterId, MemberId};
use tokio_util::sync::CancellationToken;

use crate::env::Env;
use crate::error::StartError;
use crate::failure::Failure;
use crate::identity::LocalIdentity;
use crate::raft::Raft;
use crate::raft::types::MemberNode;
use crate::transport::{PeerAddress, Peers, ProbeAnswer, ProbeMember, Purpose, Request, Response};

/// Pause between two rounds of probes.
const PROBE_PAUSE: Duration = Duration::from_millis(200);

/// How long a member may take to answer a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Rounds of probes between two lines in the log that tell who is missing.
const ROUNDS_PER_REPORT: u32 = 25;

/// What the first start works with.
pub(crate) struct Bootstrap {
    pub(crate) env: Env,
    pub(crate) identity: Arc<LocalIdentity>,
    /// The static list, by id.
    pub(crate) members: Vec<ProbeMember>,
    pub(crate) raft: Raft,
    pub(crate) peers: Peers,
    pub(crate) stop: CancellationToken,
}

impl Bootstrap {
    /// Runs; a member whose start went wrong cannot go on.
    pub(crate) async fn report_to(self, failure: Arc<Failure>) {
        if let Err(error) = self.run().await {
            failure.report(&error.to_string());
        }
    }

    /// Starts the cluster if that is this member's part and has not been done. Waits for the others
    /// for as long as it takes.
    ///
    /// # Errors
    /// The cluster has been started already without this data directory, or the members do not hold
    /// the same list: somebody has to look at it.
    async fn run(self) -> Result<(), StartError> {
        if self.members.first().map(|member| member.id) != Some(self.identity.member()) {
            return Ok(());
        }
        let mut round = 0;
        while !self.raft.is_initialized().await.map_err(|error| StartError::Raft(error.to_string()))? {
            match self.probe_all().await? {
                Ok(answers) => return self.initialize(&answers).await,
                Err(missing) if round % ROUNDS_PER_REPORT == 0 => {
                    tracing::info!(
                        "the cluster starts when all members are there; missing: {}",
                        missing.join(", ")
                    );
                }
                Err(_) => {}
            }
            round += 1;
            tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(PROBE_PAUSE) => {}
            }
        }
        Ok(())
    }

    /// The answers of all others, or who is missing and why.
    async fn probe_all(&self) -> Result<Result<BTreeMap<MemberId, ProbeAnswer>, Vec<String>>, StartError> {
        let others = || self.members.iter().filter(|member| member.id != self.identity.member());
        let results = join_all(others().map(|member| self.probe(member))).await;
        let (mut answers, mut missing) = (BTreeMap::new(), Vec::new());
        for (member, result) in others().zip(results) {
            match result {
                Ok(answer) => {
                    self.check(member.id, &answer)?;
                    answers.insert(member.id, answer);
                }
                Err(reason) => missing.push(reason),
            }
        }
        Ok(if missing.is_empty() { Ok(answers) } else { Err(missing) })
    }

    async fn probe(&self, member: &ProbeMember) -> Result<ProbeAnswer, String> {
        let address = PeerAddress { member: member.id, address: member.peer.clone(), incarnation: None };
        let request = Request::Probe(self.members.clone());
        match self.peers.call(&address, Purpose::Probe, &request, PROBE_TIMEOUT).await {
            Ok(Response::Probe(answer)) => Ok(answer),
            Ok(other) => Err(format!("member {} answers with {}", member.id, other.name())),
            Err(error) => Err(error.to_string()),
        }
    }

    fn check(&self, member: MemberId, answer: &ProbeAnswer) -> Result<(), StartError> {
        let me = self.identity.member();
        if let Some(cluster) = answer.cluster.filter(|cluster| self.identity.cluster() != Some(*cluster)) {
            return Err(StartError::Identity(format!(
                "member {member} belongs to cluster {cluster} already, but the data directory of member {me} does not: \
                 it was lost, emptied, or is the wrong one. Give member {me} its directory back, or remove it from the \
                 cluster and add a member with a new id in its place"
            )));
        }
        if answer.initialized {
            return Err(StartError::Identity(format!(
                "the cluster runs already, as member {member} says, but the log of member {me} is empty: it was lost. \
                 Remove member {me} from the cluster and add a member with a new id in its place"
            )));
        }
        if answer.members != self.members {
            return Err(StartError::Identity(format!(
                "member {member} was started with another member list; give all members the same one. Member {me} has \
                 {}; member {member} has {}",
                shown(&self.members),
                shown(&answer.members)
            )));
        }
        Ok(())
    }

    async fn initialize(&self, answers: &BTreeMap<MemberId, ProbeAnswer>) -> Result<(), StartError> {
        let cluster = self.identity.cluster().unwrap_or_else(|| ClusterId(self.env.random_u128()));
        self.identity.adopt(cluster).await?;
        let nodes: BTreeMap<u64, MemberNode> = self
            .members
            .iter()
            .map(|member| {
                let answer = answers.get(&member.id);
                let incarnation = answer.map_or(self.identity.incarnation(), |answer| answer.incarnation);
                (member.id.0, MemberNode { peer: member.peer.clone(), api: member.api.clone(), incarnation })
            })
            .collect();
        self.raft.initialize(nodes).await.map_err(|error| StartError::Raft(error.to_string()))?;
        tracing::info!(%cluster, members = self.members.len(), "the cluster is started");
        Ok(())
    }
}

fn shown(members: &[ProbeMember]) -> String {
    let shown: Vec<_> =
        members.iter().map(|member| format!("{}={}/{}", member.id, member.peer, member.api)).collect();
    format!("[{}]", shown.join(" "))
}
