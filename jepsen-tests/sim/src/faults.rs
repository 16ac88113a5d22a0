//! Faults, drawn from the seed: what is done to links, machines and clocks while clients work, and
//! changes of the membership, which are no faults but come at the same time.

mod membership;

use std::time::Duration;

use jepsen_tests::history::{Fault, Happened, Phase, Record};
use jepsen_tests::run::Recorder;
use tokio::time::{Instant, sleep};

use crate::net::host;
use crate::world::{LATENCY_MAX, OUTSIDE, Order, World};

/// An order has been carried out after this time.
const CARRIED_OUT: Duration = Duration::from_millis(2);
/// Between two faults of one kind, in milliseconds.
const CALM_MS: std::ops::Range<u64> = 300..2_500;
/// How long a fault of links lasts, in milliseconds.
const LINKS_MS: std::ops::Range<u64> = 300..5_000;
/// How long a machine is off, in milliseconds.
const OFF_MS: std::ops::Range<u64> = 50..3_000;
/// How long a member stands still, in milliseconds: sometimes longer than a node may be silent.
const STALL_MS: std::ops::Range<u64> = 200..6_000;
/// How far a wall clock steps, in milliseconds, in either direction.
const WALL_STEP_MS: std::ops::Range<i64> = 1_000..600_000;
/// Longest time that a message takes on a slow link, in milliseconds.
const SLOW_MS: std::ops::Range<u64> = 40..400;

/// Does faults to a world.
pub(crate) struct Faults {
    /// Whom to.
    pub(crate) world: World,
    /// Where they are noted.
    pub(crate) recorder: Recorder,
    /// What they are drawn from.
    pub(crate) rng: fastrand::Rng,
    /// Their numbers begin here and go on in steps of `step`, so that lanes do not share one.
    pub(crate) number: u32,
    /// See `number`.
    pub(crate) step: u32,
}

/// Directed links, by host names.
type Links = Vec<(String, String)>;

impl Faults {
    /// Faults of links until `end`; then all links are whole.
    pub(crate) async fn of_links(mut self, end: Instant) {
        while self.calm(end).await {
            let lasts = Duration::from_millis(self.rng.u64(LINKS_MS)).min(end - Instant::now());
            match self.rng.u32(..10) {
                0..2 => self.partition("partition", split, lasts).await,
                2..4 => self.partition("isolate", isolated, lasts).await,
                4..6 => self.partition("one-way", one_way, lasts).await,
                6 => self.partition("bridge", bridge, lasts).await,
                7 => self.partition("ring", ring, lasts).await,
                8 => self.slow(lasts).await,
                _ => self.lossy(lasts).await,
            }
        }
    }

    /// Faults of machines until `end`; then all are on.
    pub(crate) async fn of_machines(mut self, end: Instant) {
        while self.calm(end).await {
            let off = Duration::from_millis(self.rng.u64(OFF_MS));
            let one = self.one();
            match self.rng.u32(..10) {
                0..3 => self.switch_off("kill", &[one], off).await,
                3..6 => self.switch_off("power-cut", &[one], off).await,
                6..8 => {
                    let all = self.all();
                    self.switch_off("power-cut-all", &all, off).await;
                }
                _ => self.pause(one).await,
            }
        }
    }

    /// Faults of clocks until `end`.
    pub(crate) async fn of_clocks(mut self, end: Instant) {
        while self.calm(end).await {
            let one = self.one();
            if self.rng.bool() {
                self.step_wall_clock(one).await;
            } else {
                self.late(one).await;
            }
        }
    }

    /// Waits until the next fault; whether there is to be one.
    async fn calm(&mut self, end: Instant) -> bool {
        let next = Instant::now() + Duration::from_millis(self.rng.u64(CALM_MS));
        tokio::time::sleep_until(next.min(end)).await;
        next < end
    }

    fn all(&self) -> Vec<u64> {
        self.world.joined()
    }

    fn one(&mut self) -> u64 {
        let all = self.all();
        all[self.rng.usize(..all.len())]
    }

    async fn give(&self, orders: impl IntoIterator<Item = Order>) {
        orders.into_iter().for_each(|order| self.world.orders.give(order));
        sleep(CARRIED_OUT).await;
    }

    fn next_number(&mut self) -> u32 {
        let number = self.number;
        self.number += self.step;
        number
    }

    fn note(
        &self,
        name: &str,
        number: u32,
        members: &[u64],
        phase: Phase,
        evidence: Option<String>,
        detail: &str,
    ) {
        self.recorder.note(Record::Fault(Fault {
            at: self.recorder.now(),
            name: name.to_owned(),
            number,
            members: members.to_vec(),
            phase,
            evidence,
            detail: detail.to_owned(),
        }));
    }

    async fn partition(
        &mut self,
        name: &str,
        draw: fn(&[u64], &mut fastrand::Rng) -> (Links, Vec<u64>),
        lasts: Duration,
    ) {
        let number = self.next_number();
        let (mut links, members) = draw(&self.all(), &mut self.rng);
        if self.rng.u32(..4) == 0 {
            // The clients do not reach some of them, either.
            links.extend(members.iter().flat_map(|id| both_ways(OUTSIDE, &host(*id))));
        }
        let cut = |(from, to): &(String, String)| Order::Cut { from: from.clone(), to: to.clone() };
        self.give(links.iter().map(cut)).await;
        let detail = links.iter().map(|(from, to)| format!("{from}>{to}")).collect::<Vec<_>>().join(" ");
        let evidence = Some(format!("{} directed links are cut", links.len()));
        self.note(name, number, &members, Phase::Begin, evidence, &detail);
        sleep(lasts).await;
        let mend = |(from, to): (String, String)| Order::Mend { from, to };
        self.give(links.into_iter().map(mend)).await;
        self.note(name, number, &members, Phase::End, Some("the links are whole".to_owned()), "");
    }

    async fn slow(&mut self, lasts: Duration) {
        let number = self.next_number();
        let longest = Duration::from_millis(self.rng.u64(SLOW_MS));
        let links = self.some_links();
        self.give(links.iter().map(|(a, b)| Order::Slow(a.clone(), b.clone(), longest))).await;
        let what = format!("messages on {} links take up to {longest:?}", links.len());
        self.note("slow", number, &self.all(), Phase::Begin, Some(what), "");
        sleep(lasts).await;
        self.give(links.into_iter().map(|(a, b)| Order::Slow(a, b, LATENCY_MAX))).await;
        self.note("slow", number, &self.all(), Phase::End, Some("as before".to_owned()), "");
    }

    async fn lossy(&mut self, lasts: Duration) {
        let number = self.next_number();
        let rate = 0.002 + 0.03 * self.rng.f64();
        let links = self.some_links();
        self.give(links.iter().map(|(a, b)| Order::Lossy(a.clone(), b.clone(), rate))).await;
        let what =
            format!("one of {:.0} messages on {} links breaks what is under way", 1.0 / rate, links.len());
        self.note("lossy", number, &self.all(), Phase::Begin, Some(what), "");
        sleep(lasts).await;
        self.give(links.into_iter().map(|(a, b)| Order::Lossy(a, b, 0.0))).await;
        self.note("lossy", number, &self.all(), Phase::End, Some("as before".to_owned()), "");
    }

    /// Pairs of members, each with the chance of one half, but at least one.
    fn some_links(&mut self) -> Links {
        let all = self.all();
        let pairs =
            all.iter().flat_map(|a| all.iter().filter(move |b| a < *b).map(move |b| (host(*a), host(*b))));
        let mut links: Links = pairs.collect();
        self.rng.shuffle(&mut links);
        let count = self.rng.usize(1..=links.len());
        links.truncate(count);
        links
    }

    async fn switch_off(&mut self, name: &str, members: &[u64], lasts: Duration) {
        let number = self.next_number();
        let order = if name == "kill" { Order::Kill } else { Order::CutPower };
        self.give(members.iter().map(|id| order(*id))).await;
        for id in members {
            self.recorder.note_life(&format!("member {id}"), Happened::Killed);
        }
        self.note(name, number, members, Phase::Begin, Some("the programs have ended".to_owned()), "");
        sleep(lasts).await;
        // Who was removed meanwhile stays off.
        let joined = self.world.joined();
        let back = || members.iter().filter(|id| joined.contains(id));
        self.give(back().map(|id| Order::Start(*id))).await;
        for id in back() {
            self.recorder.note_life(&format!("member {id}"), Happened::Started);
        }
        self.note(name, number, members, Phase::End, Some("they were started again".to_owned()), "");
    }

    /// The member's messages are held back for a time, in both directions; at its end the member finds
    /// that this time has passed at once, and then gets what was held back. turmoil cannot keep a host
    /// from running meanwhile; it runs without hearing anything.
    async fn pause(&mut self, id: u64) {
        let number = self.next_number();
        let lasts = Duration::from_millis(self.rng.u64(STALL_MS));
        let others: Vec<_> = self.neighbours(id);
        self.give(others.iter().map(|other| Order::Hold(host(id), other.clone()))).await;
        self.note(
            "pause",
            number,
            &[id],
            Phase::Begin,
            Some("its messages are held".to_owned()),
            &format!("{lasts:?}"),
        );
        sleep(lasts).await;
        self.stall(id, lasts);
        self.give(others.into_iter().map(|other| Order::Release(host(id), other))).await;
        self.note("pause", number, &[id], Phase::End, Some("they arrive".to_owned()), "");
    }

    /// The member finds that a time has passed at once, while its links work.
    async fn late(&mut self, id: u64) {
        let number = self.next_number();
        let time = Duration::from_millis(self.rng.u64(STALL_MS));
        let runs = self.stall(id, time);
        sleep(CARRIED_OUT).await;
        let what = if runs { "its clock has jumped" } else { "it was switched off" };
        self.note("late", number, &[id], Phase::Begin, Some(what.to_owned()), &format!("{time:?}"));
        self.note("late", number, &[id], Phase::End, Some("over".to_owned()), "");
    }

    fn stall(&self, id: u64, time: Duration) -> bool {
        self.world.machine(id).is_some_and(|machine| machine.stall(time))
    }

    async fn step_wall_clock(&mut self, id: u64) {
        let number = self.next_number();
        let ms = self.rng.i64(WALL_STEP_MS) * if self.rng.bool() { 1 } else { -1 };
        if let Some(machine) = self.world.machine(id) {
            machine.step_wall_clock(ms);
        }
        let what = format!("its wall clock stepped by {ms} ms");
        self.note("wall-clock", number, &[id], Phase::Begin, Some(what), "");
        self.note("wall-clock", number, &[id], Phase::End, Some("over".to_owned()), "");
        sleep(CARRIED_OUT).await;
    }

    fn neighbours(&self, id: u64) -> Vec<String> {
        let others = self.all().into_iter().filter(|other| *other != id).map(host);
        others.chain([OUTSIDE.to_owned()]).collect()
    }
}

fn both_ways(a: &str, b: &str) -> [(String, String); 2] {
    [(a.to_owned(), b.to_owned()), (b.to_owned(), a.to_owned())]
}

fn between(group: &[u64], rest: &[u64]) -> Links {
    group.iter().flat_map(|a| rest.iter().flat_map(|b| both_ways(&host(*a), &host(*b)))).collect()
}

fn split(all: &[u64], rng: &mut fastrand::Rng) -> (Links, Vec<u64>) {
    let mut all = all.to_vec();
    rng.shuffle(&mut all);
    let (group, rest) = all.split_at(rng.usize(1..=all.len() / 2));
    (between(group, rest), group.to_vec())
}

fn isolated(all: &[u64], rng: &mut fastrand::Rng) -> (Links, Vec<u64>) {
    let one = all[rng.usize(..all.len())];
    let rest: Vec<_> = all.iter().copied().filter(|id| *id != one).collect();
    (between(&[one], &rest), vec![one])
}

/// What one says does not arrive, or what is said to it.
fn one_way(all: &[u64], rng: &mut fastrand::Rng) -> (Links, Vec<u64>) {
    let (links, members) = if rng.bool() { isolated(all, rng) } else { split(all, rng) };
    let deaf = rng.bool();
    let groups: Vec<_> = members.iter().map(|id| host(*id)).collect();
    let links = links.into_iter().filter(|(from, _)| groups.contains(from) == deaf).collect();
    (links, members)
}

/// Two groups that reach each other through one member alone.
fn bridge(all: &[u64], rng: &mut fastrand::Rng) -> (Links, Vec<u64>) {
    let mut all = all.to_vec();
    rng.shuffle(&mut all);
    let (group, rest) = all[1..].split_at((all.len() - 1) / 2);
    (between(group, rest), group.to_vec())
}

/// Each reaches two neighbours. Of three members one link is cut, because they are a ring already.
fn ring(all: &[u64], rng: &mut fastrand::Rng) -> (Links, Vec<u64>) {
    if all.len() < 4 {
        return bridge(all, rng);
    }
    let mut all = all.to_vec();
    rng.shuffle(&mut all);
    let count = all.len();
    let far = |a: usize, b: usize| (a + 1) % count != b && (b + 1) % count != a;
    let pairs = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))).filter(|(a, b)| far(*a, *b));
    (pairs.flat_map(|(a, b)| both_ways(&host(all[a]), &host(all[b]))).collect(), all.clone())
}
