//! What a member tells about itself and, having asked them, about the others.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use kenger_types::cluster::{ClusterStatus, MemberRole, MemberStatus};
use kenger_types::{MemberId, Revision};
use openraft::ServerState;
use tokio::time::Instant;

use crate::env::{Disk, Env};
use crate::identity::LocalIdentity;
use crate::leadership::{Observer, peer_address};
use crate::raft::machine::StateHandle;
use crate::raft::types::{MemberNode, Metrics};
use crate::transport::{MemberReport, Peers, ProbeMember, Purpose, Request, Response};

/// How long another member may take to tell what it is.
const STATUS_TIMEOUT: Duration = Duration::from_millis(500);

/// Makes reports.
pub(crate) struct Reporter {
    pub(crate) env: Env,
    pub(crate) identity: Arc<LocalIdentity>,
    pub(crate) observer: Observer,
    pub(crate) state: StateHandle,
    pub(crate) peers: Peers,
    pub(crate) data_dir: PathBuf,
    pub(crate) started: Instant,
    /// The static list, for the time before there is a membership.
    pub(crate) members: Vec<ProbeMember>,
}

impl Reporter {
    /// This member, as it sees itself.
    pub(crate) async fn report(&self) -> MemberReport {
        let directory = self.data_dir.clone();
        let disk_bytes = self.env.storage().run(move |disk| bytes_in(disk, &directory)).await;
        let metrics = self.observer.metrics();
        MemberReport {
            role: role_of(metrics.state),
            term: metrics.current_term,
            last_log_index: metrics.last_log_index.unwrap_or_default(),
            applied_index: metrics.last_applied.map_or(0, |applied| applied.index()),
            revision: self.state.load().revision(),
            disk_bytes: disk_bytes.unwrap_or_default(),
            uptime_seconds: self.env.now().saturating_duration_since(self.started).as_secs(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// The cluster, as this member sees it. Those who do not answer in time are `Unreachable`.
    pub(crate) async fn cluster(&self) -> ClusterStatus {
        let metrics = self.observer.metrics();
        let listed = self.listed(&metrics);
        let reports = join_all(listed.iter().map(|(id, listed)| self.ask(*id, listed))).await;
        // Looked at once more: while the others were asked there may have been an election, and the
        // leader and the term have to be of one moment.
        let metrics = self.observer.metrics();
        let leader_applied = listed
            .keys()
            .zip(&reports)
            .filter(|(id, report)| {
                metrics.current_leader == Some(id.0)
                    && report.as_ref().is_some_and(|report| report.role == MemberRole::Leader)
            })
            .find_map(|(_, report)| report.as_ref().map(|report| report.applied_index));
        let members = listed
            .into_iter()
            .zip(reports)
            .map(|((id, listed), report)| member_status(id, listed, report, leader_applied))
            .collect();
        ClusterStatus {
            cluster_id: self.identity.cluster(),
            member_id: self.identity.member(),
            leader_id: self.observer.leadership_of(&metrics).leader.map(|leader| leader.id),
            term: metrics.current_term,
            revision: self.revision(),
            members,
        }
    }

    fn revision(&self) -> Revision {
        self.state.load().revision()
    }

    fn listed(&self, metrics: &Metrics) -> BTreeMap<MemberId, Listed> {
        let membership = metrics.membership_config.membership();
        let replicated: BTreeMap<_, _> = membership
            .nodes()
            .map(|(id, node)| {
                let voter = membership.voter_ids().any(|voter| voter == *id);
                (
                    MemberId(*id),
                    Listed {
                        peer: node.peer.clone(),
                        api: node.api.clone(),
                        voter,
                        node: Some(node.clone()),
                    },
                )
            })
            .collect();
        if !replicated.is_empty() {
            return replicated;
        }
        let fixed = self.members.iter().map(|member| {
            let (peer, api) = (member.peer.clone(), member.api.clone());
            (member.id, Listed { peer, api, voter: true, node: None })
        });
        fixed.collect()
    }

    async fn ask(&self, id: MemberId, listed: &Listed) -> Option<MemberReport> {
        if id == self.identity.member() {
            return Some(self.report().await);
        }
        let address = peer_address(id.0, listed.node.as_ref()?);
        match self.peers.call(&address, Purpose::Client, &Request::Status, STATUS_TIMEOUT).await {
            Ok(Response::Status(report)) => Some(report),
            Ok(_) | Err(_) => None,
        }
    }
}

struct Listed {
    peer: String,
    api: String,
    voter: bool,
    /// As the replicated membership has it.
    node: Option<MemberNode>,
}

fn member_status(
    id: MemberId,
    listed: Listed,
    report: Option<MemberReport>,
    leader_applied: Option<u64>,
) -> MemberStatus {
    let Listed { peer, api, voter, .. } = listed;
    let lag = leader_applied
        .zip(report.as_ref())
        .map(|(leader, report)| leader.saturating_sub(report.applied_index));
    MemberStatus {
        id,
        role: report.as_ref().map_or(MemberRole::Unreachable, |report| report.role),
        voter,
        api,
        peer,
        term: report.as_ref().map(|report| report.term),
        last_log_index: report.as_ref().map(|report| report.last_log_index),
        applied_index: report.as_ref().map(|report| report.applied_index),
        lag,
        revision: report.as_ref().map(|report| report.revision),
        disk_bytes: report.as_ref().map(|report| report.disk_bytes),
        uptime_seconds: report.as_ref().map(|report| report.uptime_seconds),
        version: report.map(|report| report.version),
    }
}

const fn role_of(state: ServerState) -> MemberRole {
    match state {
        ServerState::Leader => MemberRole::Leader,
        ServerState::Follower => MemberRole::Follower,
        ServerState::Candidate => MemberRole::Candidate,
        ServerState::Learner => MemberRole::Learner,
        ServerState::Shutdown => MemberRole::Unreachable,
    }
}

/// Bytes of all files under `directory`. A file that goes meanwhile does not count.
fn bytes_in(disk: &dyn Disk, directory: &Path) -> io::Result<u64> {
    let mut total = 0;
    for name in disk.names(directory)? {
        let path = directory.join(name);
        total += if disk.is_directory(&path) {
            bytes_in(disk, &path).unwrap_or_default()
        } else {
            disk.bytes(&path).unwrap_or_default()
        };
    }
    Ok(total)
}
