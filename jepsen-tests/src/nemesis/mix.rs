//! Two faults at a time, drawn from all that this machine can make.

use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;

use super::victims::sorted;
use super::{Entry, Nemesis, Struck};
use crate::history::Timers;
use crate::run::{Arena, Setup};

/// How many at a time.
const AT_A_TIME: usize = 2;

/// See the module.
pub(super) struct Mix {
    all: Vec<(Entry, Box<dyn Nemesis>)>,
    /// Which of them are in force.
    now: Vec<usize>,
}

impl Mix {
    pub(super) fn boxed() -> Box<dyn Nemesis> {
        let all = super::single().into_iter().map(|entry| {
            let nemesis = (entry.make)();
            (entry, nemesis)
        });
        Box::new(Self { all: all.collect(), now: Vec::new() })
    }
}

impl Nemesis for Mix {
    fn prepare<'a>(&'a mut self, setup: &'a mut Setup) -> LocalBoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            let (mut able, mut reasons) = (Vec::new(), Vec::new());
            for (entry, mut nemesis) in std::mem::take(&mut self.all) {
                match nemesis.prepare(setup).await {
                    Ok(()) => able.push((entry, nemesis)),
                    Err(reason) => {
                        crate::harness::skip(entry.name, &reason);
                        reasons.push(reason);
                    }
                }
            }
            self.all = able;
            if self.all.len() < AT_A_TIME { Err(reasons.join("; ")) } else { Ok(()) }
        })
    }

    /// Of those in force the one that takes longest.
    fn hold(&self, timers: &Timers) -> RangeInclusive<Duration> {
        let holds = self.now.iter().map(|place| self.all[*place].1.hold(timers));
        holds.max_by_key(|hold| *hold.end()).unwrap_or(Duration::from_secs(2)..=Duration::from_secs(6))
    }

    fn begin<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Result<Struck, String>> {
        Box::pin(async {
            let mut order: Vec<_> = (0..self.all.len()).collect();
            arena.rng.shuffle(&mut order);
            let (mut members, mut details, mut evidence) = (Vec::new(), Vec::new(), Some(Vec::new()));
            for place in order {
                let (entry, nemesis) = &mut self.all[place];
                // One that cannot be made now leaves its place to the next.
                let Ok(struck) = nemesis.begin(arena).await else { continue };
                self.now.push(place);
                members.extend(struck.members);
                details.push(format!("{} ({})", entry.name, struck.detail));
                evidence = evidence.zip(struck.evidence).map(|(mut all, this)| {
                    all.push(format!("{}: {this}", entry.name));
                    all
                });
                if self.now.len() == AT_A_TIME {
                    break;
                }
            }
            if self.now.is_empty() {
                return Err("none of them can be made now".to_owned());
            }
            let mut members = sorted(members);
            members.dedup();
            let evidence = evidence.map(|all| all.join("; "));
            Ok(Struck { members, evidence, detail: details.join(" and ") })
        })
    }

    fn end<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Option<String>> {
        Box::pin(async {
            let mut over = Some(Vec::new());
            // Backwards, so that a member that was ended within another fault is there at its end.
            for place in std::mem::take(&mut self.now).into_iter().rev() {
                let said = self.all[place].1.end(arena).await;
                over = over.zip(said).map(|(mut all, this)| {
                    all.push(this);
                    all
                });
            }
            over.map(|all| all.join("; "))
        })
    }
}
