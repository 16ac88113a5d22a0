//! The disk is full. A member that cannot write acknowledges nothing more and ends; when there is room
//! again it comes back with all that it had acknowledged.

use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;

use super::victims::{Whom, list};
use super::{Nemesis, Struck, disks};
use crate::harness::MemberId;
use crate::history::Timers;
use crate::run::{Arena, Setup};

/// See the module.
#[derive(Default)]
pub(super) struct FullDisk {
    full: Vec<MemberId>,
}

impl FullDisk {
    pub(super) fn boxed() -> Box<dyn Nemesis> {
        Box::<Self>::default()
    }
}

impl Nemesis for FullDisk {
    fn prepare<'a>(&'a mut self, setup: &'a mut Setup) -> LocalBoxFuture<'a, Result<(), String>> {
        Box::pin(async { disks::prepare(setup) })
    }

    fn hold(&self, _timers: &Timers) -> RangeInclusive<Duration> {
        Duration::from_secs(3)..=Duration::from_secs(8)
    }

    fn begin<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Result<Struck, String>> {
        Box::pin(async {
            let whom = if arena.rng.bool() { Whom::Leader } else { Whom::Some };
            self.full = whom.choose(arena).await?;
            arena.may_end.extend(&self.full);
            let disks = disks::of(arena);
            let said = self.full.iter().map(|id| match disks.fill(*id) {
                Ok(said) => Some(format!("disk {id}: {said}")),
                Err(_) => None,
            });
            let evidence = said.collect::<Option<Vec<_>>>().map(|said| said.join("; "));
            Ok(Struck { members: self.full.clone(), evidence, detail: list(&self.full) })
        })
    }

    fn end<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Option<String>> {
        Box::pin(async { disks::mend(arena, &std::mem::take(&mut self.full)) })
    }
}
