//! The disk is full. A member that cannot write acknowledges nothing more and ends; when there is room
//! again it comes back with all that it had acknowledged.

use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;

use super::victims::{self, Whom, list};
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
        Box::pin(async {
            let full = std::mem::take(&mut self.full);
            arena.look_after_members();
            let disks = disks::of(arena);
            let mut over = Vec::new();
            for id in &full {
                // A power cut in between has emptied it, and has its own end.
                over.push(
                    disks.free(*id).and_then(|()| disks.write_something(*id).map_err(|e| e.to_string())),
                );
            }
            arena.may_end.retain(|id| !full.contains(id));
            let runs = victims::start(arena, &full);
            over.into_iter().all(|over| over.is_ok()).then_some(runs)?
        })
    }
}
