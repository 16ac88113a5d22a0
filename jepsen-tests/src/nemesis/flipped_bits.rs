//! A few bits of the store of a member turn over while it does not run. It then goes on with correct data,
//! or refuses to and says so; it never serves wrong data, and never goes on with less than it promised.
//!
//! No more members than a minority are ever damaged in one run. One that has put its store aside is out
//! for the rest of the run: it would have to come back as a new member.

use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;

use super::victims::{self, sound};
use super::{Nemesis, Struck};
use crate::harness::{MemberId, flip_bits};
use crate::history::Timers;
use crate::run::Arena;

const BITS: std::ops::RangeInclusive<u32> = 1..=4;

/// See the module.
#[derive(Default)]
pub(super) struct FlippedBits {
    now: Option<MemberId>,
}

impl FlippedBits {
    pub(super) fn boxed() -> Box<dyn Nemesis> {
        Box::<Self>::default()
    }
}

impl Nemesis for FlippedBits {
    fn hold(&self, _timers: &Timers) -> RangeInclusive<Duration> {
        Duration::from_secs(4)..=Duration::from_secs(8)
    }

    fn begin<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Result<Struck, String>> {
        Box::pin(async {
            let has_room = arena.damaged.len() < arena.spare();
            let mut candidates = sound(arena);
            candidates.retain(|id| has_room || arena.damaged.contains(id));
            let [id] = arena.draw(&candidates, 1)[..] else {
                return Err("as many members are damaged as may be".to_owned());
            };
            let gone = victims::kill(arena, &[id]);
            if !arena.damaged.contains(&id) {
                arena.damaged.push(id);
            }
            let count = arena.rng.u32(BITS);
            let flips = flip_bits(&arena.cluster.data_dir(id), &mut arena.rng, count);
            let flips = flips.unwrap_or_else(|reason| panic!("the store of member {id}: {reason}"));
            arena.start(id);
            self.now = Some(id);
            let differ = gone.is_some() && flips.iter().all(|flip| flip.before != flip.after);
            let shown: Vec<_> = flips
                .iter()
                .map(|flip| {
                    let name = flip.file.file_name().unwrap_or_default().to_string_lossy();
                    format!("{name} at {}: {:#04x} is {:#04x}", flip.offset, flip.before, flip.after)
                })
                .collect();
            let detail = format!("{count} in the store of {id}");
            Ok(Struck { members: vec![id], evidence: differ.then(|| shown.join("; ")), detail })
        })
    }

    fn end<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Option<String>> {
        Box::pin(async {
            let id = self.now.take()?;
            arena.look_after_members();
            let is_lost = arena.lost.contains(&id);
            Some(format!(
                "member {id} {}",
                if is_lost { "has refused to go on and is out" } else { "goes on" }
            ))
        })
    }
}
