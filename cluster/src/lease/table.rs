//! All leases of one session. Pure: no clock, no lock, no waiting.
//!
//! About 100 bytes for each node. A look at all of them takes a millisecond for 100,000, and is only
//! taken when the earliest of the deadlines known at the last look has come: as long as all nodes
//! heartbeat, that is about once in a time to live.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kenger_mutant::{self as mutant, Mutant};
use kenger_state::{Command, LeaseEffect, Seen, State};
use kenger_types::{NodeId, NodeStatus, TtlSeconds};
use tokio::time::Instant;

use super::clock::LeaseTime;
use crate::config::LeaseTimes;

/// The leases of all nodes of the state; follows it effect by effect.
#[derive(Debug)]
pub(super) struct Table {
    leases: BTreeMap<NodeId, Lease>,
    /// Nodes of an `Expire` that was proposed, until its effect, or another one, is observed.
    proposed: BTreeSet<NodeId>,
    /// No deadline is earlier; there may be none at this time.
    earliest: LeaseTime,
    times: LeaseTimes,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    epoch: u64,
    ttl: Option<TtlSeconds>,
    is_online: bool,
    /// An `Expire` of it has been proposed, and nothing was observed since.
    is_proposed: bool,
    /// From when its time to live counts.
    renewed: LeaseTime,
    /// When this leader last heard from it; for people.
    heard: Option<Instant>,
}

/// An expiry of one node that was proposed and not settled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proposed {
    seen: Seen,
    /// To be marked offline if it was online, else to be deleted.
    was_online: bool,
}

/// How a node stands with the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is online, with this time to live.
    Alive {
        /// In force: its own or the default.
        ttl: Duration,
    },
    /// It is offline, or about to be: only a `Return` brings it back.
    MustReturn,
    /// There is no such node.
    Unknown,
}

/// How the leases of a leader are, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeaseStats {
    /// Online nodes.
    pub online: usize,
    /// Offline nodes.
    pub offline: usize,
    /// Nodes of either whose expiry has been proposed and is not settled.
    pub expiring: usize,
    /// How much time has been given back to the leases since this member began to lead, because it
    /// was stopped or had no quorum.
    pub given_back: Duration,
}

impl Table {
    /// A full time to live for every node of the state: as if all had been heard from `at`, also
    /// those that are offline.
    pub(super) fn full(state: &State, at: LeaseTime, times: LeaseTimes) -> Self {
        let lease = |node: &kenger_state::NodeRecord| Lease {
            epoch: node.epoch,
            ttl: node.ttl_seconds,
            is_online: node.status == NodeStatus::Online,
            is_proposed: false,
            renewed: at,
            heard: None,
        };
        let leases: BTreeMap<_, _> = state.nodes().map(|node| (node.id, lease(node))).collect();
        let earliest = leases.values().map(|lease| lease.deadline(&times)).min().unwrap_or(LeaseTime::NEVER);
        Self { leases, proposed: BTreeSet::new(), earliest, times }
    }

    /// A heartbeat. Renews the lease of a node that is online, unless its expiry has been proposed.
    pub(super) fn renew(&mut self, id: NodeId, at: LeaseTime, now: Instant) -> Standing {
        let standing = self.standing(id);
        if let (Standing::Alive { .. }, Some(lease)) = (standing, self.leases.get_mut(&id)) {
            lease.renewed = lease.renewed.max(at);
            lease.heard = Some(now);
        }
        standing
    }

    /// How a node stands.
    pub(super) fn standing(&self, id: NodeId) -> Standing {
        match self.leases.get(&id) {
            None => Standing::Unknown,
            Some(lease)
                if lease.is_online && (!lease.is_proposed || mutant::is(Mutant::RenewWhileExpiring)) =>
            {
                Standing::Alive { ttl: lease.ttl(&self.times) }
            }
            Some(_) => Standing::MustReturn,
        }
    }

    /// What an applied command did.
    pub(super) fn observe(&mut self, effect: LeaseEffect, at: LeaseTime, now: Instant) {
        match effect {
            LeaseEffect::Renewed { id, epoch, ttl } => self.put(
                id,
                Lease { epoch, ttl, is_online: true, is_proposed: false, renewed: at, heard: Some(now) },
            ),
            LeaseEffect::Offline { id, epoch } => {
                if let Some(lease) = self.leases.get(&id).copied() {
                    self.put(id, Lease { epoch, is_online: false, is_proposed: false, ..lease });
                }
            }
            LeaseEffect::TtlChanged { id, ttl } => {
                if let Some(lease) = self.leases.get_mut(&id) {
                    lease.ttl = ttl;
                    self.earliest = self.earliest.min(lease.deadline(&self.times));
                }
            }
            LeaseEffect::Removed { id } => {
                self.leases.remove(&id);
                self.proposed.remove(&id);
            }
        }
    }

    fn put(&mut self, id: NodeId, lease: Lease) {
        self.earliest = self.earliest.min(lease.deadline(&self.times));
        self.proposed.remove(&id);
        self.leases.insert(id, lease);
    }

    /// Whether [`Table::expire`] has anything to propose.
    pub(super) fn is_due(&self, at: LeaseTime) -> bool {
        at >= self.earliest || !self.proposed.is_empty()
    }

    /// Whether an expiry that was proposed has not been observed yet.
    pub(super) fn is_unsettled(&self) -> bool {
        !self.proposed.is_empty()
    }

    /// The expiries that were proposed and are not settled.
    pub(super) fn proposed(&self) -> Vec<Proposed> {
        let leases = self.proposed.iter().filter_map(|id| Some((*id, self.leases.get(id)?)));
        leases
            .map(|(id, lease)| Proposed {
                seen: Seen { id, epoch: lease.epoch },
                was_online: lease.is_online,
            })
            .collect()
    }

    /// Marks nodes whose expiry was proposed from another table and may still come, if nothing has
    /// happened to them since.
    pub(super) fn mark_again(&mut self, proposed: &[Proposed]) {
        for Proposed { seen, was_online } in proposed {
            if let Some(lease) = self.leases.get_mut(&seen.id)
                && lease.epoch == seen.epoch
                && lease.is_online == *was_online
            {
                lease.is_proposed = true;
                self.proposed.insert(seen.id);
            }
        }
    }

    /// The next expiry to propose, of at most `max` nodes: first those that were proposed before and
    /// are not settled, then those whose deadline has come. All of them are marked: from now on their
    /// heartbeats have to wait for a return. To be called when no other proposal is under way.
    pub(super) fn expire(&mut self, at: LeaseTime, max: usize) -> Option<Command> {
        self.mark_due(at, max);
        let (mut offline, mut delete) = (Vec::new(), Vec::new());
        for Proposed { seen, was_online } in self.proposed().into_iter().take(max) {
            if was_online { offline.push(seen) } else { delete.push(seen) }
        }
        (!offline.is_empty() || !delete.is_empty()).then_some(Command::Expire { offline, delete })
    }

    /// Marks nodes whose deadline has come, until `max` nodes are marked.
    fn mark_due(&mut self, at: LeaseTime, max: usize) {
        if at < self.earliest {
            return;
        }
        let mut earliest = LeaseTime::NEVER;
        for (id, lease) in self.leases.iter_mut().filter(|(_, lease)| !lease.is_proposed) {
            let deadline = lease.deadline(&self.times);
            if at < deadline {
                earliest = earliest.min(deadline);
            } else if self.proposed.len() < max {
                lease.is_proposed = true;
                self.proposed.insert(*id);
            } else {
                // The rest is for the next look.
                earliest = deadline;
                break;
            }
        }
        self.earliest = earliest;
    }

    /// When this leader last heard from a node.
    pub(super) fn heard(&self, id: NodeId) -> Option<Instant> {
        self.leases.get(&id)?.heard
    }

    /// Counts by looking at all leases; `given_back` is not the table's to know.
    pub(super) fn stats(&self) -> LeaseStats {
        let online = self.leases.values().filter(|lease| lease.is_online).count();
        LeaseStats {
            online,
            offline: self.leases.len() - online,
            expiring: self.proposed.len(),
            given_back: Duration::ZERO,
        }
    }
}

impl Lease {
    /// The time to live in force.
    fn ttl(&self, times: &LeaseTimes) -> Duration {
        self.ttl.map_or(times.ttl, |ttl| Duration::from_secs(ttl.get().into()))
    }

    /// When the node is to be marked offline, or deleted if it is offline.
    fn deadline(&self, times: &LeaseTimes) -> LeaseTime {
        let ttl = self.ttl(times);
        if self.is_online {
            self.renewed.after(ttl)
        } else {
            self.renewed.after(times.delete_after).after(ttl.saturating_sub(times.ttl))
        }
    }
}
