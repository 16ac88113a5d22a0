//! The power goes: what had not reached the disk is gone, and so is the process. Only this shows a sync
//! that is missing; a killed process leaves what it wrote to the kernel.

use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;

use super::victims::{self, Whom, list};
use super::{Nemesis, Struck, disks};
use crate::harness::MemberId;
use crate::history::Timers;
use crate::run::{Arena, Setup};

/// A process that was told to stop runs no further instruction of its own after this time.
const STOPS_WITHIN: Duration = Duration::from_millis(2);

/// See the module.
pub(super) struct PowerCut {
    whom: Whom,
    cut: Vec<MemberId>,
}

impl PowerCut {
    pub(super) fn boxed(whom: Whom) -> Box<dyn Nemesis> {
        Box::new(Self { whom, cut: Vec::new() })
    }
}

impl Nemesis for PowerCut {
    fn prepare<'a>(&'a mut self, setup: &'a mut Setup) -> LocalBoxFuture<'a, Result<(), String>> {
        Box::pin(async { disks::prepare(setup) })
    }

    fn hold(&self, _timers: &Timers) -> RangeInclusive<Duration> {
        Duration::from_millis(500)..=Duration::from_secs(4)
    }

    fn begin<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Result<Struck, String>> {
        Box::pin(async {
            self.cut = self.whom.choose(arena).await?;
            let disks = disks::of(arena);
            // No member may live on without its power: the kernel may answer a sync that overlaps the cut
            // with success, and nobody would hear of that on a real machine. A stopped process can be
            // within a system call; what that answers is told to nobody.
            self.cut.iter().for_each(|id| arena.cluster.pause(*id));
            tokio::time::sleep(STOPS_WITHIN).await;
            // All disks before any process: nobody is to see the others go and write that down.
            self.cut.iter().for_each(|id| disks.cut_power(*id));
            arena.dark.extend(&self.cut);
            let gone = victims::kill(arena, &self.cut);
            let dead: Option<Vec<String>> = self
                .cut
                .iter()
                .map(|id| disks.write_something(*id).err().map(|error| format!("disk {id}: {error}")))
                .collect();
            let evidence = gone.zip(dead).map(|(gone, dead)| format!("{gone}; {}", dead.join("; ")));
            Ok(Struck { members: self.cut.clone(), evidence, detail: list(&self.cut) })
        })
    }

    fn end<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Option<String>> {
        Box::pin(async { disks::mend(arena, &std::mem::take(&mut self.cut)) })
    }
}
