//! One member's machine: a disk, a wall clock, and the program that runs on it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kenger::api::{self, Api, ApiConfig};
use kenger_cluster::config::{Compaction, LeaseTimes, StaticMember, Timing};
use kenger_cluster::env::{Entropy, WallClock, Workers};
use kenger_cluster::{Env, Member, MemberConfig, MembershipError, StoreKind};
use kenger_types::MemberId;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::disk::ModelDisk;
use crate::net::{API_PORT, Door, PEER_PORT, Wires, host};

/// What the wall clocks of all members show at the beginning, in Unix milliseconds.
const EPOCH_MS: u64 = 1_790_000_000_000;
const SECRET: &[u8] = b"the members of this simulation know it";

/// What all members of a run are started with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// How many there are in the beginning.
    pub(crate) members: u64,
    /// How many more wait to be added.
    pub(crate) spares: u64,
    /// When nodes go offline and are deleted.
    pub(crate) lease: LeaseTimes,
    /// When to take snapshots.
    pub(crate) compaction: Compaction,
    /// How many revisions the feed keeps.
    pub(crate) feed_ring_revisions: usize,
}

/// A machine. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Machine(Arc<Inner>);

struct Inner {
    id: u64,
    settings: Settings,
    disk: ModelDisk,
    /// Time of the simulation in milliseconds.
    world_ms: Arc<AtomicU64>,
    /// How far this machine's wall clock is ahead.
    wall_offset_ms: AtomicI64,
    seed: u64,
    starts: AtomicU64,
    /// How the program ended by itself, if it did.
    ended: Mutex<Option<String>>,
    commands: Mutex<Option<mpsc::UnboundedSender<Command>>>,
}

impl Machine {
    /// A machine that was never switched on.
    pub(crate) fn new(
        id: u64,
        settings: &Settings,
        rng: &mut fastrand::Rng,
        world_ms: &Arc<AtomicU64>,
    ) -> Self {
        Self(Arc::new(Inner {
            id,
            settings: settings.clone(),
            disk: ModelDisk::new(rng.fork()),
            world_ms: Arc::clone(world_ms),
            wall_offset_ms: AtomicI64::new(0),
            seed: rng.u64(..),
            starts: AtomicU64::new(0),
            ended: Mutex::new(None),
            commands: Mutex::new(None),
        }))
    }

    /// The member's id.
    pub(crate) fn id(&self) -> u64 {
        self.0.id
    }

    /// What the member keeps.
    pub(crate) fn disk(&self) -> &ModelDisk {
        &self.0.disk
    }

    /// Steps the wall clock.
    pub(crate) fn step_wall_clock(&self, ms: i64) {
        self.0.wall_offset_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// The program finds that so much time has passed at once. Answers whether it runs.
    pub(crate) fn stall(&self, time: Duration) -> bool {
        self.command(Command::Stall(time))
    }

    /// The member is to change the membership. Answers what came of it.
    ///
    /// # Errors
    /// See [`MembershipError`]; a machine that is off does not know what came of it.
    pub(crate) async fn change(&self, change: Change) -> Result<(), MembershipError> {
        let off = || MembershipError::Unknown("the machine is off".to_owned());
        let (reply, answer) = oneshot::channel();
        if !self.command(Command::Change(change, reply)) {
            return Err(MembershipError::NotLeader(None));
        }
        answer.await.unwrap_or_else(|_| Err(off()))
    }

    fn command(&self, command: Command) -> bool {
        lock(&self.0.commands).as_ref().is_some_and(|commands| commands.send(command).is_ok())
    }

    /// Where the member is found.
    pub(crate) fn place(&self) -> StaticMember {
        place(self.0.id)
    }

    /// How the program ended by itself, told once.
    pub(crate) fn take_ended(&self) -> Option<String> {
        lock(&self.0.ended).take()
    }

    /// Nothing of the program is left: call it when the machine was switched off.
    pub(crate) fn forget(&self) {
        *lock(&self.0.commands) = None;
    }

    /// The program, from its start to its end.
    pub(crate) async fn run(self) -> turmoil::Result {
        if let Err(how) = self.serve().await {
            *lock(&self.0.ended) = Some(how);
        }
        self.forget();
        Ok(())
    }

    async fn serve(&self) -> Result<(), String> {
        let start = self.0.starts.fetch_add(1, Ordering::Relaxed);
        let dice = Dice(Mutex::new(fastrand::Rng::with_seed(self.0.seed ^ start.rotate_left(40))));
        let env = Env::new(Arc::new(Wires), Arc::new(WallTime(self.clone())), Arc::new(dice))
            .with_disk(self.0.disk.session(), Workers::Inline);
        let (tell, mut commands) = mpsc::unbounded_channel();
        *lock(&self.0.commands) = Some(tell);
        let peers = Door::open(PEER_PORT).await.map_err(|error| error.to_string())?;
        let clients = Door::open(API_PORT).await.map_err(|error| error.to_string())?;
        let member = Member::start(self.config(), env, Box::new(peers)).await;
        let member = member.map_err(|error| format!("it cannot start: {error}"))?;
        let config =
            ApiConfig { tokens: Vec::new(), auto_create_namespace: true, metrics_without_token: true };
        tokio::spawn(api::serve(clients, Api::new(member.clone(), config, CancellationToken::new())));
        loop {
            tokio::select! {
                biased;
                reason = member.failed() => return Err(format!("it cannot go on: {reason}")),
                command = commands.recv() => match command {
                    Some(Command::Stall(time)) => tokio::time::advance(time).await,
                    Some(Command::Change(change, reply)) => {
                        let member = member.clone();
                        tokio::spawn(async move {
                            // Whoever asked may have gone.
                            let _ = reply.send(change.carry_out(&member).await);
                        });
                    }
                    None => return Ok(()),
                },
            }
        }
    }

    fn config(&self) -> MemberConfig {
        let settings = &self.0.settings;
        // A member that is added later knows of the others, and of those that are added with it.
        let is_spare = self.0.id > settings.members;
        let listed = if is_spare { settings.members + settings.spares } else { settings.members };
        let members = (1..=listed).map(place);
        MemberConfig {
            id: MemberId(self.0.id),
            members: members.collect(),
            data_dir: PathBuf::from("/data"),
            store: StoreKind::Redb,
            peer_secret: SECRET.to_vec(),
            timing: Timing::default(),
            compaction: settings.compaction,
            lease: settings.lease,
            feed_ring_revisions: settings.feed_ring_revisions,
        }
    }
}

fn place(id: u64) -> StaticMember {
    StaticMember {
        id: MemberId(id),
        peer: format!("{}:{PEER_PORT}", host(id)),
        api: format!("{}:{API_PORT}", host(id)),
    }
}

/// What a program is told to do.
enum Command {
    Stall(Duration),
    Change(Change, oneshot::Sender<Result<(), MembershipError>>),
}

/// A change of the membership.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// A member comes, and does not vote.
    Add(StaticMember),
    /// It votes.
    Promote(MemberId),
    /// It goes.
    Remove(MemberId),
}

impl Change {
    async fn carry_out(&self, member: &Member) -> Result<(), MembershipError> {
        match self {
            Change::Add(added) => member.add_learner(added).await,
            Change::Promote(id) => member.promote(*id).await,
            Change::Remove(id) => member.remove(*id).await,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct WallTime(Machine);

impl WallClock for WallTime {
    fn unix_ms(&self) -> u64 {
        let machine = &self.0.0;
        let world = EPOCH_MS + machine.world_ms.load(Ordering::Relaxed);
        world.saturating_add_signed(machine.wall_offset_ms.load(Ordering::Relaxed))
    }
}

struct Dice(Mutex<fastrand::Rng>);

impl Entropy for Dice {
    fn next_u64(&self) -> u64 {
        lock(&self.0).u64(..)
    }
}
