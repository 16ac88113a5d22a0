//! When faults begin and end: each nemesis waits, begins one, holds it, ends it, and waits again, by
//! times from the seed. Several take turns at the arena, so their faults overlap.

use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::arena::Arena;
use crate::history::{Fault, Phase, Record, Timers};
use crate::nemesis::{Nemesis, Struck};

/// Before the first fault: the cluster is at work without one.
const BEFORE: RangeInclusive<Duration> = Duration::from_millis(1_500)..=Duration::from_secs(3);
/// Between the end of a fault and the beginning of the next one of the same nemesis.
const BETWEEN: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(5);
/// A nemesis that can do nothing at the moment tries again after this time.
const AGAIN: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_secs(1);
/// How often it is looked whether members ended by themselves.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// One nemesis and what it is at.
struct Turn {
    name: String,
    nemesis: Box<dyn Nemesis>,
    next: Instant,
    /// The fault in force.
    struck: Option<(u32, Struck)>,
}

/// All nemeses of a run.
pub(super) struct Schedule {
    turns: Vec<Turn>,
    timers: Timers,
    next_number: u32,
    /// Why nemeses could not begin, for people; the last few of them.
    pub(super) refusals: Vec<String>,
}

/// Most refusals that are kept.
const REFUSALS_MAX: usize = 20;

impl Schedule {
    pub(super) fn new(
        nemeses: Vec<(String, Box<dyn Nemesis>)>,
        timers: Timers,
        rng: &mut fastrand::Rng,
    ) -> Self {
        let now = Instant::now();
        let turn = |(name, nemesis)| Turn { name, nemesis, next: now + draw(rng, &BEFORE), struck: None };
        Self { turns: nemeses.into_iter().map(turn).collect(), timers, next_number: 0, refusals: Vec::new() }
    }

    /// Lets the nemeses act until `until`; then ends all their faults.
    pub(super) async fn run(&mut self, arena: &mut Arena, until: Instant) {
        loop {
            let due = self.turns.iter().map(|turn| turn.next).min().unwrap_or(until).min(until);
            while Instant::now() < due {
                sleep_until(due.min(Instant::now() + LOOK_EVERY)).await;
                arena.look_after_members();
            }
            if Instant::now() >= until {
                break;
            }
            for place in 0..self.turns.len() {
                if self.turns[place].next <= Instant::now() {
                    self.act(place, arena).await;
                }
            }
        }
        for place in 0..self.turns.len() {
            if self.turns[place].struck.is_some() {
                self.end(place, arena).await;
            }
        }
    }

    async fn act(&mut self, place: usize, arena: &mut Arena) {
        if self.turns[place].struck.is_some() {
            self.end(place, arena).await;
            self.turns[place].next = Instant::now() + draw(&mut arena.rng, &BETWEEN);
            return;
        }
        let turn = &mut self.turns[place];
        match turn.nemesis.begin(arena).await {
            Ok(struck) => {
                let number = self.next_number;
                self.next_number += 1;
                note(arena, &turn.name, number, Phase::Begin, &struck);
                turn.next = Instant::now() + draw(&mut arena.rng, &turn.nemesis.hold(&self.timers));
                turn.struck = Some((number, struck));
            }
            Err(reason) => {
                turn.next = Instant::now() + draw(&mut arena.rng, &AGAIN);
                if self.refusals.len() < REFUSALS_MAX {
                    self.refusals.push(format!("{}: {reason}", turn.name));
                }
            }
        }
    }

    async fn end(&mut self, place: usize, arena: &mut Arena) {
        let turn = &mut self.turns[place];
        let Some((number, struck)) = turn.struck.take() else { return };
        let evidence = turn.nemesis.end(arena).await;
        note(arena, &turn.name, number, Phase::End, &Struck { evidence, ..struck });
    }
}

fn note(arena: &Arena, name: &str, number: u32, phase: Phase, struck: &Struck) {
    let Struck { members, evidence, detail } = struck.clone();
    let at = arena.recorder.now();
    arena.recorder.note(Record::Fault(Fault {
        at,
        name: name.to_owned(),
        number,
        members,
        phase,
        evidence,
        detail,
    }));
}

fn draw(rng: &mut fastrand::Rng, range: &RangeInclusive<Duration>) -> Duration {
    let ms = |time: &Duration| u64::try_from(time.as_millis()).expect("times are short");
    Duration::from_millis(rng.u64(ms(range.start())..=ms(range.end())))
}
