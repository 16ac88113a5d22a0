//! Links that carry slowly and lose: a cable that is being pulled, a neighbour who makes backups.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::{LocalBoxFuture, join_all};

use super::victims::{all_pass, leader, list};
use super::{Nemesis, Struck};
use crate::harness::{FaultSet, Impairment, LinkFault, LinkId, MemberId, all_links, links_between};
use crate::run::Arena;

/// Of a thousand packets so many are lost.
const LOSS_PER_MILLE: std::ops::RangeInclusive<u16> = 50..=200;
/// A proxy breaks the connection instead, and each break costs more than a lost packet.
const BREAKS_PER_MILLE: std::ops::RangeInclusive<u16> = 2..=20;
/// What is left of a link, in bytes a second.
const BYTES_PER_SECOND: std::ops::RangeInclusive<u64> = 40_000..=150_000;
const DELAY_MS: std::ops::RangeInclusive<u64> = 10..=80;
const JITTER_MS: std::ops::RangeInclusive<u64> = 0..=60;
/// How many packets show what a link loses: that none of them is lost has a chance of less than 1 in
/// 10,000.
const PACKETS: u32 = 300;

/// See the module.
#[derive(Default)]
pub(super) struct SlowLinks {
    struck: Option<(FaultSet, Vec<LinkId>)>,
}

impl SlowLinks {
    pub(super) fn boxed() -> Box<dyn Nemesis> {
        Box::<Self>::default()
    }
}

impl Nemesis for SlowLinks {
    fn begin<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Result<Struck, String>> {
        Box::pin(async {
            let (links, members, whose) = choose(arena).await;
            let bad = draw(arena);
            let faults: BTreeMap<_, _> = links.iter().map(|link| (*link, LinkFault::Bad(bad))).collect();
            let set = arena.network.strike(faults);
            let evidence = measured(arena, &links, bad).await;
            let detail = format!(
                "{whose}; {} to {} ms, {} bytes/s, {} of 1000 lost",
                bad.delay.as_millis(),
                (bad.delay + bad.jitter).as_millis(),
                bad.bytes_per_second.unwrap_or_default(),
                bad.loss_per_mille
            );
            self.struck = Some((set, links));
            Ok(Struck { members, evidence, detail })
        })
    }

    fn end<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Option<String>> {
        Box::pin(async {
            let (set, links) = self.struck.take()?;
            arena.network.mend(set);
            all_pass(&*arena.network, &links).await.then(|| "the links carry".to_owned())
        })
    }
}

/// All links, or those to and from one member, or from it alone.
async fn choose(arena: &mut Arena) -> (Vec<LinkId>, Vec<MemberId>, String) {
    let ids = arena.ids();
    let leader = leader(arena).await;
    let drawn = arena.draw(&ids, 1)[0];
    let one = leader.filter(|_| arena.rng.bool()).unwrap_or(drawn);
    let others: Vec<_> = ids.iter().copied().filter(|id| *id != one).collect();
    let mut from = links_between(&[one], &others);
    match arena.rng.u32(..3) {
        0 => (all_links(&ids).into_iter().collect(), ids.clone(), "all links".to_owned()),
        1 => (from.into_iter().collect(), vec![one], format!("from {one} to {}", list(&others))),
        _ => {
            from.extend(links_between(&others, &[one]));
            (from.into_iter().collect(), vec![one], format!("to and from {one}"))
        }
    }
}

fn draw(arena: &mut Arena) -> Impairment {
    let can_delay = arena.network.can_delay();
    let rng = &mut arena.rng;
    let bad = Impairment {
        delay: Duration::from_millis(rng.u64(DELAY_MS)),
        jitter: Duration::from_millis(rng.u64(JITTER_MS)),
        bytes_per_second: Some(rng.u64(BYTES_PER_SECOND)),
        loss_per_mille: rng.u16(if can_delay { BREAKS_PER_MILLE } else { LOSS_PER_MILLE }),
    };
    if can_delay { bad } else { bad.without_delay() }
}

/// What the links do to packets now; `None` if one of them does nothing to them.
async fn measured(arena: &Arena, links: &[LinkId], bad: Impairment) -> Option<String> {
    let network = &*arena.network;
    if bad.delay.is_zero() {
        let of = async |(from, to): LinkId| network.probe(from, to, PACKETS).await;
        let probed = join_all(links.iter().map(|link| of(*link))).await;
        let arrived: Vec<_> = probed.iter().map(|probed| probed.arrived).collect();
        let all_lose = arrived.iter().all(|arrived| *arrived < PACKETS);
        return all_lose.then(|| format!("of {PACKETS} packets there arrived, link by link, {arrived:?}"));
    }
    let probed = join_all(links.iter().map(|(from, to)| network.probe(*from, *to, 1))).await;
    let is_late = |probed: &crate::harness::Probed| !probed.passes() || probed.slowest >= bad.delay;
    let times: Vec<_> = probed.iter().map(|probed| probed.slowest.as_millis()).collect();
    probed.iter().all(is_late).then(|| format!("a packet took, link by link, {times:?} ms"))
}
