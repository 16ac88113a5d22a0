//! Changes of who belongs to the cluster. The leader makes them, one at a time.
//!
//! A member that is added is asked for its data directory first: the membership carries it, so that
//! nobody else comes back under this id.

use std::collections::BTreeSet;
use std::future::Future;

use kenger_types::MemberId;
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use tokio::time::timeout;

use crate::config::{MemberConfig, StaticMember};
use crate::error::MembershipError;
use crate::identity::LocalIdentity;
use crate::raft::Raft;
use crate::raft::types::{MemberNode, Metrics, TypeConfig};
use crate::transport::{PeerAddress, Peers, ProbeAnswer, ProbeMember, Purpose, Request, Response};

/// A learner that is further behind would hold up commits as a voter.
const PROMOTE_LAG_MAX_ENTRIES: u64 = 1_000;

/// What the changes are made with.
pub(crate) struct Membership<'a> {
    pub(crate) config: &'a MemberConfig,
    pub(crate) identity: &'a LocalIdentity,
    pub(crate) raft: &'a Raft,
    pub(crate) peers: &'a Peers,
}

type Change<T> = Result<T, RaftError<TypeConfig, ClientWriteError<TypeConfig>>>;

impl Membership<'_> {
    /// See [`crate::Member::add_learner`].
    pub(crate) async fn add_learner(&self, member: &StaticMember) -> Result<(), MembershipError> {
        let metrics = self.led()?;
        let answer = self.probe(member).await?;
        if answer.cluster.is_some() && answer.cluster != self.identity.cluster() {
            return Err(refused(format!("member {} belongs to another cluster", member.id)));
        }
        let node = MemberNode {
            peer: member.peer.clone(),
            api: member.api.clone(),
            incarnation: answer.incarnation,
        };
        match metrics.membership_config.membership().get_node(&member.id.0) {
            Some(known) if *known == node => return Ok(()),
            Some(_) => {
                return Err(refused(format!(
                    "there is a member {} already, with another address or data directory; remove it first, or choose \
                     another id",
                    member.id
                )));
            }
            None => {}
        }
        self.carry_out(self.raft.add_learner(member.id.0, node, false)).await
    }

    /// See [`crate::Member::promote`].
    pub(crate) async fn promote(&self, id: MemberId) -> Result<(), MembershipError> {
        let metrics = self.led()?;
        let membership = metrics.membership_config.membership();
        if membership.get_node(&id.0).is_none() {
            return Err(refused(format!("there is no member {id}; add it first")));
        }
        let is_joint = membership.get_joint_config().len() > 1;
        if !is_joint && membership.voter_ids().any(|voter| voter == id.0) {
            return Ok(());
        }
        let matched = metrics.replication.as_ref().and_then(|all| all.get(&id.0)?.as_ref());
        let matched = matched.map_or(0, |log_id| log_id.index());
        let behind = metrics.last_log_index.unwrap_or_default().saturating_sub(matched);
        if behind > PROMOTE_LAG_MAX_ENTRIES {
            return Err(refused(format!(
                "member {id} is {behind} entries behind; wait until it has caught up"
            )));
        }
        let change = ChangeMembers::AddVoterIds(BTreeSet::from([id.0]));
        self.carry_out(self.raft.change_membership(change, true)).await
    }

    /// See [`crate::Member::remove`].
    pub(crate) async fn remove(&self, id: MemberId) -> Result<(), MembershipError> {
        let metrics = self.led()?;
        let membership = metrics.membership_config.membership();
        if id == self.identity.member() {
            return Err(refused(
                "the leader cannot remove itself; let it hand over the lead first".to_owned(),
            ));
        }
        if membership.get_node(&id.0).is_none() {
            return Ok(());
        }
        let ids = BTreeSet::from([id.0]);
        let is_voter = membership.voter_ids().any(|voter| voter == id.0);
        let change =
            if is_voter { ChangeMembers::RemoveVoters(ids) } else { ChangeMembers::RemoveNodes(ids) };
        self.carry_out(self.raft.change_membership(change, false)).await
    }

    /// How things are, if this member leads.
    fn led(&self) -> Result<Metrics, MembershipError> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        if metrics.current_leader == Some(metrics.id) {
            Ok(metrics)
        } else {
            let leader = metrics.current_leader.map(MemberId);
            Err(MembershipError::NotLeader(leader))
        }
    }

    async fn probe(&self, member: &StaticMember) -> Result<ProbeAnswer, MembershipError> {
        let address = PeerAddress { member: member.id, address: member.peer.clone(), incarnation: None };
        let listed = self.config.members.iter();
        let listed = listed.map(|it| ProbeMember { id: it.id, peer: it.peer.clone(), api: it.api.clone() });
        let request = Request::Probe(listed.collect());
        let limit = self.config.timing.commit_timeout;
        match self.peers.call(&address, Purpose::Probe, &request, limit).await {
            Ok(Response::Probe(answer)) => Ok(answer),
            Ok(other) => Err(refused(format!("member {} answers with {}", member.id, other.name()))),
            Err(error) => Err(refused(format!("member {} is not there: {error}", member.id))),
        }
    }

    async fn carry_out<T>(&self, change: impl Future<Output = Change<T>>) -> Result<(), MembershipError> {
        let limit = self.config.timing.commit_timeout;
        match timeout(limit, change).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => {
                Err(MembershipError::NotLeader(forward.leader_id.map(MemberId)))
            }
            Ok(Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error)))) => {
                Err(refused(error.to_string()))
            }
            Ok(Err(error)) => Err(MembershipError::Unknown(error.to_string())),
            Err(_) => Err(MembershipError::Unknown(format!("not done within {limit:?}"))),
        }
    }
}

fn refused(reason: String) -> MembershipError {
    MembershipError::Refused(reason)
}
