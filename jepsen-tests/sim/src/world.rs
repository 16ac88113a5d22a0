//! The loop of one simulation: turmoil's steps, and between two of them what faults do to machines and
//! links.

use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use turmoil::Sim;

use crate::machine::{Machine, Settings};
use crate::net::host;

/// Where clients, watchers and those who inject faults are.
pub(crate) const OUTSIDE: &str = "outside";

/// Length of a step of the simulation. Messages take longer, so that cause and effect are never in one
/// step, whatever the order in which hosts take their turns.
const STEP: Duration = Duration::from_millis(1);
const LATENCY_MIN: Duration = Duration::from_millis(1);
/// Longest time that a message takes where no fault slows it down; most take a few milliseconds.
pub(crate) const LATENCY_MAX: Duration = Duration::from_millis(12);
/// Segments that a receiver has not taken yet; more wait at the sender.
const TCP_SEGMENTS_MAX: usize = 1_024;

/// What is done between two steps.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    /// The program ends at once; what it wrote stays.
    Kill(u64),
    /// The program ends at once, and what was not synced is gone, or a part of it.
    CutPower(u64),
    /// The program begins again.
    Start(u64),
    /// Messages from one host to another are lost, those under way, too.
    Cut {
        /// Whose messages.
        from: String,
        /// Who does not get them.
        to: String,
    },
    /// They arrive again.
    Mend {
        /// Whose messages.
        from: String,
        /// Who gets them.
        to: String,
    },
    /// Messages between two hosts are held back.
    Hold(String, String),
    /// They arrive now.
    Release(String, String),
    /// Messages between two hosts take up to this long.
    Slow(String, String, Duration),
    /// Of the messages between two hosts this share breaks all connections between them.
    Lossy(String, String, f64),
}

/// Takes orders; clones are for the same simulation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Orders(Arc<Mutex<VecDeque<Order>>>);

impl Orders {
    /// Is done at the end of this step.
    pub(crate) fn give(&self, order: Order) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(order);
    }

    fn take(&self) -> Option<Order> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// All machines of a simulation, and what can be done to them.
#[derive(Clone)]
pub(crate) struct World {
    /// By the order of their ids; those that wait to be added are among them.
    pub(crate) machines: Vec<Machine>,
    /// The ids of those that belong to the cluster.
    joined: Arc<Mutex<BTreeSet<u64>>>,
    /// Done between two steps.
    pub(crate) orders: Orders,
}

impl World {
    /// The ids of those that belong to the cluster.
    pub(crate) fn joined(&self) -> Vec<u64> {
        self.lock_joined().iter().copied().collect()
    }

    /// A machine belongs to the cluster from now on.
    pub(crate) fn join(&self, id: u64) {
        self.lock_joined().insert(id);
    }

    /// It does not any more.
    pub(crate) fn leave(&self, id: u64) {
        self.lock_joined().remove(&id);
    }

    /// A machine by its id.
    pub(crate) fn machine(&self, id: u64) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.id() == id)
    }

    fn lock_joined(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.joined.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a simulation until `outside` has ended.
///
/// # Errors
/// It took longer than `limit`, in simulated time, or something panicked.
pub(crate) fn run<F>(
    seed: u64,
    settings: &Settings,
    limit: Duration,
    outside: impl FnOnce(World) -> F,
) -> Result<(), String>
where
    F: Future<Output = turmoil::Result> + 'static,
{
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut sim = turmoil::Builder::new()
        .rng_seed(rng.u64(..))
        .epoch(UNIX_EPOCH)
        .simulation_duration(limit)
        .tick_duration(STEP)
        .min_message_latency(LATENCY_MIN)
        .max_message_latency(LATENCY_MAX)
        .tcp_capacity(TCP_SEGMENTS_MAX)
        .enable_random_order()
        .build();
    let world_ms = Arc::new(AtomicU64::new(0));
    let machines: Vec<_> = (1..=settings.members + settings.spares)
        .map(|id| Machine::new(id, settings, &mut rng, &world_ms))
        .collect();
    for machine in &machines {
        let machine = machine.clone();
        sim.host(host(machine.id()), move || machine.clone().run());
    }
    let joined = Arc::new(Mutex::new((1..=settings.members).collect()));
    let world = World { machines, joined, orders: Orders::default() };
    sim.client(OUTSIDE, outside(world.clone()));
    let ended = loop {
        world_ms.store(u64::try_from(sim.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        match sim.step() {
            Ok(true) => break Ok(()),
            Ok(false) => {}
            Err(error) => break Err(error.to_string()),
        }
        while let Some(order) = world.orders.take() {
            carry_out(&mut sim, &world.machines, order);
        }
    };
    drop(sim);
    world.machines.iter().for_each(Machine::forget);
    ended
}

fn carry_out(sim: &mut Sim<'_>, machines: &[Machine], order: Order) {
    let machine = |id: u64| machines.iter().find(|machine| machine.id() == id).expect("a member of this run");
    match order {
        Order::Kill(id) => {
            machine(id).disk().end_session();
            sim.crash(host(id));
            machine(id).forget();
        }
        Order::CutPower(id) => {
            machine(id).disk().cut_power();
            sim.crash(host(id));
            machine(id).forget();
        }
        Order::Start(id) => sim.bounce(host(id)),
        Order::Cut { from, to } => sim.partition_oneway(from, to),
        Order::Mend { from, to } => sim.repair_oneway(from, to),
        Order::Hold(a, b) => sim.hold(a, b),
        Order::Release(a, b) => sim.release(a, b),
        Order::Slow(a, b, longest) => sim.set_link_max_message_latency(a, b, longest),
        Order::Lossy(a, b, rate) => sim.set_link_fail_rate(a, b, rate),
    }
}
