//! The search for an order: Wing and Gong's, in the form that Lowe calls just in time. Operations are
//! taken in the order of time; a set of configurations is kept, each a state together with which of the
//! operations under way have taken effect. An operation takes effect when its answer demands it, or
//! when that of another does.
//!
//! Each configuration is looked at once. Of two that differ only in which unanswered operations have
//! taken effect, the one that has used fewer is enough: those that are left may take effect later, or
//! never.

use std::collections::{HashMap, HashSet};

use super::model::{Model, Op};
use super::state::State;
use crate::history::{Action, Answer, Micros};

/// Most transitions that are tried for one node.
const STEPS_MAX: u64 = 10_000_000;
/// Most configurations at one time, which bounds the memory.
const CONFIGS_MAX: usize = 100_000;
/// Most operations under way at once, those included that were never answered.
const OPEN_MAX: usize = 256;

/// What the search came to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// There is an order.
    Found,
    /// There is none that explains this operation.
    Stuck {
        op: usize,
        /// The states that the node can have been in before.
        before: Vec<State>,
    },
    /// There is an order, but none that explains this change of the feed.
    Unexplained { before: State },
    /// It was given up.
    GivenUp { why: &'static str },
}

/// Which of the open operations have taken effect, by slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Slots([u64; OPEN_MAX / 64]);

impl Slots {
    fn has(self, slot: usize) -> bool {
        self.0[slot / 64] >> (slot % 64) & 1 == 1
    }

    fn with(mut self, slot: usize) -> Self {
        self.0[slot / 64] |= 1 << (slot % 64);
        self
    }

    fn without(mut self, slot: usize) -> Self {
        self.0[slot / 64] &= !(1 << (slot % 64));
        self
    }

    fn and(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    fn and_not(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & !other.0[word]))
    }

    fn is_within(self, other: Self) -> bool {
        self.and(other) == self
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Config {
    state: State,
    done: Slots,
}

/// How the search went, in numbers.
#[derive(Debug, Default)]
pub(super) struct Effort {
    /// Transitions that were tried.
    pub(super) steps: u64,
    /// Most configurations at one time.
    pub(super) configs: usize,
}

struct Search<'a> {
    model: &'a Model,
    ops: &'a [Op],
    /// The operations under way, by slot.
    slots: Vec<Option<usize>>,
    /// Those among them that may never take effect.
    optional: Slots,
    effort: Effort,
}

/// Looks for an order of these operations, each of which takes effect between its call and its answer.
pub(super) fn search(model: &Model, ops: &[Op]) -> (Outcome, Effort) {
    let mut search =
        Search { model, ops, slots: Vec::new(), optional: Slots::default(), effort: Effort::default() };
    let outcome = search.run().unwrap_or_else(|why| Outcome::GivenUp { why });
    (outcome, search.effort)
}

/// Calls before answers at the same time: then they may have been in either order.
fn moments(ops: &[Op]) -> Vec<(Micros, bool, usize)> {
    let calls = ops.iter().enumerate().map(|(op, it)| (it.called, false, op));
    let returns = ops.iter().enumerate().filter_map(|(op, it)| Some((it.returned?, true, op)));
    let mut moments: Vec<_> = calls.chain(returns).collect();
    moments.sort_unstable();
    moments
}

impl Search<'_> {
    fn run(&mut self) -> Result<Outcome, &'static str> {
        let mut configs: HashSet<Config> =
            self.model.begin().into_iter().map(|state| Config { state, done: Slots::default() }).collect();
        for (_, is_return, op) in moments(self.ops) {
            if !is_return {
                self.open(op)?;
                configs = configs.into_iter().map(|config| self.absorb(config)).collect();
                continue;
            }
            let slot =
                self.slots.iter().position(|open| *open == Some(op)).ok_or("an answer without a call")?;
            let next = self.demand(&configs, slot)?;
            if next.is_empty() {
                let before = configs.into_iter().map(|config| config.state).collect();
                return Ok(Outcome::Stuck { op, before });
            }
            self.slots[slot] = None;
            configs = self.fewest_used(next);
            self.effort.configs = self.effort.configs.max(configs.len());
        }
        self.explain_the_rest(configs)
    }

    fn open(&mut self, op: usize) -> Result<(), &'static str> {
        let free = self.slots.iter().position(Option::is_none);
        let slot = free.unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        if slot >= OPEN_MAX {
            return Err("too many operations are under way at once");
        }
        self.slots[slot] = Some(op);
        self.optional = self.optional.without(slot);
        if self.ops[op].returned.is_none() {
            self.optional = self.optional.with(slot);
        }
        Ok(())
    }

    /// All configurations in which the operation of this slot has taken effect; the slot is free in
    /// them.
    fn demand(&mut self, configs: &HashSet<Config>, slot: usize) -> Result<HashSet<Config>, &'static str> {
        let mut reached = HashSet::new();
        let mut seen: HashSet<Config> = HashSet::new();
        let mut left: Vec<Config> = Vec::new();
        for config in configs {
            if config.done.has(slot) {
                reached.insert(Config { done: config.done.without(slot), ..*config });
            } else {
                left.push(*config);
            }
        }
        while let Some(config) = left.pop() {
            for next in self.next(&config)? {
                if next.done.has(slot) {
                    reached.insert(Config { done: next.done.without(slot), ..next });
                } else if seen.insert(next) {
                    left.push(next);
                }
            }
            if reached.len() + seen.len() > CONFIGS_MAX {
                return Err("too many configurations");
            }
        }
        Ok(reached)
    }

    /// One more operation takes effect.
    fn next(&mut self, config: &Config) -> Result<Vec<Config>, &'static str> {
        let mut next = Vec::new();
        for slot in 0..self.slots.len() {
            let Some(op) = self.slots[slot].filter(|_| !config.done.has(slot)) else { continue };
            if self.is_pointless(config, slot, op) {
                continue;
            }
            self.effort.steps += 1;
            if self.effort.steps > STEPS_MAX {
                return Err("too many steps");
            }
            let is_optional = self.optional.has(slot);
            for state in self.model.step(&config.state, &self.ops[op]) {
                // Without an answer and without an effect it might as well not have happened.
                if !(is_optional && state.has_same_node(&config.state)) {
                    next.push(self.absorb(Config { state, done: config.done.with(slot) }));
                }
            }
        }
        Ok(next)
    }

    /// Whether something else has to come before this operation, or does as well.
    fn is_pointless(&self, config: &Config, slot: usize, op: usize) -> bool {
        let mine = &self.ops[op];
        if self.model.has_to_wait(&config.state, mine) {
            return true;
        }
        self.slots.iter().enumerate().any(|(other_slot, other)| {
            let Some(other) = other.filter(|_| other_slot != slot && !config.done.has(other_slot)) else {
                return false;
            };
            let other = &self.ops[other];
            if self.optional.has(slot) {
                // Of two that do the same, the one that may do it for longer can wait.
                return self.optional.has(other_slot) && other_slot < slot && other.action == mine.action;
            }
            // What an answer shows was last changed at a revision, and revisions only grow.
            matches!((shown(other), shown(mine)), (Some(other), Some(mine)) if other < mine)
        })
    }

    /// Operations whose answer fits the state as it is take effect here: waiting gains them nothing.
    fn absorb(&self, mut config: Config) -> Config {
        for (slot, op) in self.slots.iter().enumerate() {
            let Some(op) = op.filter(|_| !config.done.has(slot)).map(|op| &self.ops[op]) else { continue };
            if op.answer.is_none() || !self.model.is_in_time(&config.state, op) {
                continue;
            }
            if let Some(after) = self.model.apply(&config.state, op)
                && after.has_same_node(&config.state)
            {
                config = Config { state: after, done: config.done.with(slot) };
            }
        }
        config
    }

    /// Drops each configuration that has used more unanswered operations than another that is equal
    /// otherwise.
    fn fewest_used(&self, configs: HashSet<Config>) -> HashSet<Config> {
        if configs.len() == 1 {
            return configs;
        }
        let mut of_same: HashMap<(State, Slots), Vec<Slots>> = HashMap::new();
        for Config { state, done } in configs {
            let used = done.and(self.optional);
            let others = of_same.entry((state, done.and_not(self.optional))).or_default();
            if !others.iter().any(|other| other.is_within(used)) {
                others.retain(|other| !used.is_within(*other));
                others.push(used);
            }
        }
        let configs = of_same.into_iter().flat_map(|((state, done), used)| {
            used.into_iter().map(move |used| {
                let done = Slots(std::array::from_fn(|word| done.0[word] | used.0[word]));
                Config { state, done }
            })
        });
        configs.collect()
    }

    /// All answers are explained; what the feed told after them has to be, too.
    fn explain_the_rest(&mut self, configs: HashSet<Config>) -> Result<Outcome, &'static str> {
        let mut left: Vec<Config> = configs.iter().copied().collect();
        let mut seen = configs;
        let mut furthest: Option<State> = None;
        while let Some(config) = left.pop() {
            let last =
                self.model.by_what_was_told(&config.state).into_iter().find(|it| self.model.is_explained(it));
            if last.is_some() {
                return Ok(Outcome::Found);
            }
            if furthest.as_ref().is_none_or(|it| it.revision() <= config.state.revision()) {
                furthest = Some(config.state);
            }
            for next in self.next(&config)? {
                if seen.insert(next) {
                    left.push(next);
                }
            }
            if seen.len() > CONFIGS_MAX {
                return Err("too many configurations");
            }
        }
        Ok(furthest.map_or(Outcome::Found, |before| Outcome::Unexplained { before }))
    }
}

/// The `mod_revision` of the node after the operation, as its answer shows it. A deregistration shows
/// the node before.
fn shown(op: &Op) -> Option<u64> {
    match (&op.action, &op.answer) {
        (Action::Deregister { .. }, _) => None,
        (_, Some(Answer::Node(observed))) => Some(observed.mod_revision),
        _ => None,
    }
}
