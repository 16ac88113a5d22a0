//! The file system meets an error and turns read-only, as ext4 does on a disk that fails. The member
//! acknowledges nothing more and ends; when the disk is writable again it comes back.

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
pub(super) struct ReadOnlyDisk {
    hit: Vec<MemberId>,
}

impl ReadOnlyDisk {
    pub(super) fn boxed() -> Box<dyn Nemesis> {
        Box::<Self>::default()
    }
}

impl Nemesis for ReadOnlyDisk {
    fn prepare<'a>(&'a mut self, setup: &'a mut Setup) -> LocalBoxFuture<'a, Result<(), String>> {
        Box::pin(async { disks::prepare(setup) })
    }

    fn hold(&self, _timers: &Timers) -> RangeInclusive<Duration> {
        Duration::from_secs(3)..=Duration::from_secs(8)
    }

    fn begin<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Result<Struck, String>> {
        Box::pin(async {
            let whom = if arena.rng.bool() { Whom::Leader } else { Whom::Some };
            self.hit = whom.choose(arena).await?;
            arena.may_end.extend(&self.hit);
            let disks = disks::of(arena);
            let turned = self.hit.iter().map(|id| {
                disks.turn_read_only(*id).ok()?;
                disks.write_something(*id).err().map(|error| format!("disk {id}: {error}"))
            });
            let evidence = turned.collect::<Option<Vec<_>>>().map(|said| said.join("; "));
            Ok(Struck { members: self.hit.clone(), evidence, detail: list(&self.hit) })
        })
    }

    fn end<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Option<String>> {
        Box::pin(async { disks::mend(arena, &std::mem::take(&mut self.hit)) })
    }
}
