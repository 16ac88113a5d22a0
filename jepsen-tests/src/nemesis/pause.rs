//! Members stand still (SIGSTOP) and go on: a machine that is out of breath, a long garbage collection of
//! a hypervisor. When they wake they know nothing of it.

use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;

use super::victims::{self, Whom};
use super::{Nemesis, Struck};
use crate::harness::MemberId;
use crate::history::Timers;
use crate::run::Arena;

/// For how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// Around the time that an election takes.
    Short,
    /// Longer than a node may be silent.
    OverTtl,
}

/// See the module.
pub(super) struct Pause {
    whom: Whom,
    length: Length,
    paused: Vec<MemberId>,
}

impl Pause {
    pub(super) fn boxed(whom: Whom, length: Length) -> Box<dyn Nemesis> {
        Box::new(Self { whom, length, paused: Vec::new() })
    }
}

impl Nemesis for Pause {
    fn hold(&self, timers: &Timers) -> RangeInclusive<Duration> {
        match self.length {
            Length::Short => {
                let election = Duration::from_micros(timers.election_timeout_max);
                election / 4..=election * 3
            }
            Length::OverTtl => {
                let ttl = Duration::from_micros(timers.node_ttl);
                ttl + ttl / 8..=ttl + ttl / 2
            }
        }
    }

    fn begin<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Result<Struck, String>> {
        Box::pin(async {
            self.paused = self.whom.choose(arena).await?;
            self.paused.iter().for_each(|id| arena.cluster.pause(*id));
            let evidence = victims::states(arena, &self.paused, |state| state == 'T').await;
            let detail = format!("{:?}: {}", self.whom, victims::list(&self.paused));
            Ok(Struck { members: self.paused.clone(), evidence, detail })
        })
    }

    fn end<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Option<String>> {
        Box::pin(async {
            // One that was killed meanwhile (its power was cut) is not there to go on.
            let mut paused = std::mem::take(&mut self.paused);
            paused.retain(|id| arena.cluster.pid(*id).is_some());
            paused.iter().for_each(|id| arena.cluster.resume(*id));
            victims::states(arena, &paused, |state| state != 'T').await
        })
    }
}
