//! Links between members are cut, in the shapes that have found errors in others.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::LocalBoxFuture;

use super::victims::{self, all_pass, dead, list, sorted};
use super::{Nemesis, Struck};
use crate::harness::{Cut, FaultSet, LinkFault, LinkId, MemberId, all_links, links_between};
use crate::run::Arena;

/// Which links are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A majority and a minority, drawn, cannot reach each other.
    Halves,
    /// The same with the leader in the minority.
    LeaderInMinority,
    /// Nobody hears the leader; it hears everybody.
    MuteLeader,
    /// The leader hears nobody; everybody hears it.
    DeafLeader,
    /// Two halves that cannot reach each other, and one member that both reach.
    Bridge,
    /// Each member reaches its neighbours in a ring alone. Of three members all are neighbours: there
    /// each one hears one of the others, and is heard by the other.
    Ring,
}

/// What a shape comes to.
struct Split {
    links: BTreeSet<LinkId>,
    members: Vec<MemberId>,
    detail: String,
}

impl Shape {
    fn split(self, arena: &mut Arena, leader: Option<MemberId>) -> Result<Split, String> {
        let ids = arena.ids();
        let mut order = arena.draw(&ids, ids.len());
        let need_leader = || leader.ok_or("nobody leads".to_owned());
        let spare = arena.spare();
        Ok(match self {
            Shape::Halves => halves(&order[..spare], &order[spare..]),
            Shape::LeaderInMinority => {
                let leader = need_leader()?;
                order.sort_by_key(|id| *id != leader);
                halves(&order[..spare], &order[spare..])
            }
            Shape::MuteLeader | Shape::DeafLeader => {
                let leader = need_leader()?;
                order.retain(|id| *id != leader);
                let (links, way) = if self == Shape::MuteLeader {
                    (links_between(&[leader], &order), "from")
                } else {
                    (links_between(&order, &[leader]), "to")
                };
                Split { links, members: vec![leader], detail: format!("one way, {way} the leader {leader}") }
            }
            Shape::Bridge => {
                let (bridge, others) = (order[0], &order[1..]);
                let (one, other) = others.split_at(others.len() / 2);
                let Split { links, members, .. } = halves(one, other);
                let (one, other) = (list(&sorted(one.to_vec())), list(&sorted(other.to_vec())));
                Split { links, members, detail: format!("{one} | {bridge} | {other}") }
            }
            Shape::Ring => ring(&order),
        })
    }
}

fn halves(minority: &[MemberId], majority: &[MemberId]) -> Split {
    let mut links = links_between(minority, majority);
    links.extend(links_between(majority, minority));
    let (minority, majority) = (sorted(minority.to_vec()), sorted(majority.to_vec()));
    let detail = format!("{} | {}", list(&minority), list(&majority));
    Split { links, members: minority, detail }
}

fn ring(order: &[MemberId]) -> Split {
    let next = |place: usize| order[(place + 1) % order.len()];
    let mut kept: BTreeSet<LinkId> = (0..order.len()).map(|place| (order[place], next(place))).collect();
    if order.len() > 3 {
        kept.extend((0..order.len()).map(|place| (next(place), order[place])));
    }
    let words: Vec<_> = order.iter().map(ToString::to_string).collect();
    let arrow = if order.len() > 3 { " - " } else { " > " };
    let detail = format!("{}{arrow}{}", words.join(arrow), order[0]);
    let links = all_links(order).difference(&kept).copied().collect();
    Split { links, members: sorted(order.to_vec()), detail }
}

/// See the module.
pub(super) struct Partition {
    shape: Shape,
    cut: Option<(FaultSet, Vec<LinkId>)>,
}

impl Partition {
    pub(super) fn boxed(shape: Shape) -> Box<dyn Nemesis> {
        Box::new(Self { shape, cut: None })
    }
}

impl Nemesis for Partition {
    fn begin<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Result<Struck, String>> {
        Box::pin(async {
            let leader = victims::leader(arena).await;
            let Split { links, members, detail } = self.shape.split(arena, leader)?;
            let ids = arena.ids();
            let open: Vec<_> = all_links(&ids).difference(&links).copied().collect();
            let open_before = dead(&*arena.network, &open).await.is_empty();
            // A proxy can also answer with resets, as a firewall that rejects.
            let cut = if arena.network.can_reset() && arena.rng.bool() { Cut::Reset } else { Cut::Silent };
            let faults: BTreeMap<_, _> = links.iter().map(|link| (*link, LinkFault::Cut(cut))).collect();
            let set = arena.network.strike(faults);
            let links: Vec<_> = links.into_iter().collect();
            // A reset is of a whole connection: the way back goes with it.
            let backward = |link: &&LinkId| !links.contains(&(link.1, link.0));
            let open: Vec<_> =
                open.iter().filter(|link| cut == Cut::Silent || backward(link)).copied().collect();
            let is_cut = dead(&*arena.network, &links).await.len() == links.len();
            // What another fault has cut is not this one's to carry.
            let others_pass = !open_before || all_pass(&*arena.network, &open).await;
            let evidence = (is_cut && others_pass).then(|| {
                format!(
                    "nothing comes over {} links that were cut; over {} others it does",
                    links.len(),
                    open.len()
                )
            });
            self.cut = Some((set, links));
            Ok(Struck { members, evidence, detail: format!("{detail}, {cut:?}") })
        })
    }

    fn end<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Option<String>> {
        Box::pin(async {
            let (set, links) = self.cut.take()?;
            arena.network.mend(set);
            let pass = victims::all_pass(&*arena.network, &links).await;
            pass.then(|| format!("something comes over each of the {} links again", links.len()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_ring_of_five_each_reaches_two_and_in_a_ring_of_three_one() {
        for (members, reached) in [(vec![1, 2, 3, 4, 5], 2), (vec![3, 1, 2], 1)] {
            let Split { links, .. } = ring(&members);
            for id in &members {
                let of = |link: &&LinkId| link.0 == *id;
                assert_eq!(links.iter().filter(of).count(), members.len() - 1 - reached, "{links:?}");
                let of = |link: &&LinkId| link.1 == *id;
                assert_eq!(links.iter().filter(of).count(), members.len() - 1 - reached, "{links:?}");
            }
        }
    }

    #[test]
    fn halves_are_cut_both_ways_and_nothing_within_them() {
        let Split { links, members, detail } = halves(&[5, 2], &[1, 3, 4]);
        assert_eq!((links.len(), members, &*detail), (12, vec![2, 5], "2 and 5 | 1, 3 and 4"));
        assert!(links.iter().all(|(from, to)| links.contains(&(*to, *from))));
        assert!(!links.contains(&(2, 5)) && !links.contains(&(1, 4)) && links.contains(&(5, 4)));
    }
}
