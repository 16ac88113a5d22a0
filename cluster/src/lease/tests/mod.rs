//! Every rule about leases: what goes wrong without it is what its test shows.

mod expiring;
mod property;
mod relaying;
mod returning;
mod sessions;
mod speed;
mod stalls;
mod world;

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kenger_state::{Command, Output, Proposal, State};
use kenger_types::api::NodeAddress;
use kenger_types::{Metadata, NodeId, NodeStatus, Port, TtlSeconds, Weight};
use tokio::sync::{Semaphore, watch};

use super::{Book, BoxFuture, Cluster, Keeper, LeadTerm};
use crate::config::LeaseTimes;
use crate::env::{BoxStream, Entropy, Env, Network, WallClock};
use crate::error::{ProposeError, ReadError};
use crate::member::HeartbeatOutcome;

const TTL: Duration = Duration::from_secs(30);
const DELETE_AFTER: Duration = Duration::from_secs(120);
const TICK: Duration = Duration::from_millis(500);
const MS: Duration = Duration::from_millis(1);

const TIMES: LeaseTimes = LeaseTimes { ttl: TTL, delete_after: DELETE_AFTER, tick: TICK };

const ALIVE: HeartbeatOutcome = HeartbeatOutcome::Alive { status: NodeStatus::Online, ttl_seconds: 30 };

/// A wall clock that is set by hand.
#[derive(Default)]
struct Wall(AtomicU64);

impl WallClock for Wall {
    fn unix_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

struct Nothing;

impl Network for Nothing {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<BoxStream>> {
        Box::pin(async move { Err(io::Error::other(format!("no network to {address} here"))) })
    }
}

impl Entropy for Nothing {
    fn next_u64(&self) -> u64 {
        0
    }
}

fn env(wall: &Arc<Wall>) -> Env {
    Env::new(Arc::new(Nothing), Arc::clone(wall) as Arc<dyn WallClock>, Arc::new(Nothing))
}

/// What becomes of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is applied and answered.
    Apply,
    /// It waits for [`Fake::release`], and is applied and answered then.
    Hold,
    /// Its outcome is unknown; it is applied when [`Fake::land`] is called.
    Late,
    /// Nothing is done, and the outcome is unknown.
    Lose,
    /// Nothing is done, and that is known.
    Refuse,
    /// Nothing is done, because 7 others are under way.
    Crowd,
}

/// The rest of the member: a log of one, which really applies.
struct Fake {
    book: Arc<Book>,
    state: Mutex<State>,
    lead: watch::Sender<Option<LeadTerm>>,
    /// What `lead()` says before it says what is true.
    lead_says: Mutex<VecDeque<Option<LeadTerm>>>,
    is_fresh: AtomicBool,
    /// Called when the quorum is asked for.
    at_check: Mutex<Option<Box<dyn FnMut() + Send>>>,
    fates: Mutex<VecDeque<Fate>>,
    proposed: Mutex<Vec<(LeadTerm, Command)>>,
    held: Semaphore,
    late: Mutex<Vec<Command>>,
    relayed: Mutex<Vec<Vec<NodeAddress>>>,
    relays_answered: Semaphore,
}

impl Fake {
    fn new(book: Arc<Book>, lead: Option<LeadTerm>) -> Arc<Self> {
        Arc::new(Self {
            book,
            state: Mutex::default(),
            lead: watch::Sender::new(lead),
            lead_says: Mutex::default(),
            is_fresh: AtomicBool::new(true),
            at_check: Mutex::default(),
            fates: Mutex::default(),
            proposed: Mutex::default(),
            held: Semaphore::new(0),
            late: Mutex::default(),
            relayed: Mutex::default(),
            relays_answered: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    /// Applies a command as any member does, also one that somebody else proposed.
    fn apply(&self, command: Command) -> Output {
        let mut state = self.state.lock().unwrap();
        let applied = state.apply(&Proposal { proposed_at_ms: 0, command });
        self.book.observe(&Arc::new(state.clone()), &applied.leases);
        applied.result.unwrap()
    }

    /// The next proposals' fates; after them, all are applied.
    fn fates(&self, fates: impl IntoIterator<Item = Fate>) {
        *self.fates.lock().unwrap() = fates.into_iter().collect();
    }

    fn release(&self, count: usize) {
        self.held.add_permits(count);
    }

    fn land(&self) {
        for command in std::mem::take(&mut *self.late.lock().unwrap()) {
            self.apply(command);
        }
    }

    /// All proposals since the last call.
    fn take_proposed(&self) -> Vec<Command> {
        self.proposed.lock().unwrap().drain(..).map(|(_, command)| command).collect()
    }
}

impl Cluster for Fake {
    fn lead(&self) -> Option<LeadTerm> {
        let scripted = self.lead_says.lock().unwrap().pop_front();
        scripted.unwrap_or_else(|| *self.lead.borrow())
    }

    fn watch_lead(&self) -> watch::Receiver<Option<LeadTerm>> {
        self.lead.subscribe()
    }

    fn quorum_is_fresh(&self, term: LeadTerm) -> bool {
        if let Some(at_check) = &mut *self.at_check.lock().unwrap() {
            at_check();
        }
        self.is_fresh.load(Ordering::SeqCst) && *self.lead.borrow() == Some(term)
    }

    fn propose_in_term(
        &self,
        term: LeadTerm,
        command: Command,
    ) -> BoxFuture<'_, Result<Output, ProposeError>> {
        Box::pin(async move {
            if *self.lead.borrow() != Some(term) {
                return Err(ProposeError::NoLeader("another term".to_owned()));
            }
            self.proposed.lock().unwrap().push((term, command.clone()));
            let fate = self.fates.lock().unwrap().pop_front().unwrap_or(Fate::Apply);
            match fate {
                Fate::Apply => {}
                Fate::Hold => self.held.acquire().await.unwrap().forget(),
                Fate::Late => self.late.lock().unwrap().push(command.clone()),
                Fate::Lose => {}
                Fate::Crowd => return Err(ProposeError::TooMany(7)),
                Fate::Refuse => return Err(ProposeError::NoLeader("on purpose".to_owned())),
            }
            match fate {
                Fate::Late | Fate::Lose => Err(ProposeError::Unknown("on purpose".to_owned())),
                _ => Ok(self.apply(command)),
            }
        })
    }

    fn relay(&self, nodes: Vec<NodeAddress>) -> BoxFuture<'_, Result<Vec<HeartbeatOutcome>, ReadError>> {
        Box::pin(async move {
            let answer = nodes.iter().map(relayed_outcome).collect();
            self.relayed.lock().unwrap().push(nodes);
            self.relays_answered.acquire().await.unwrap().forget();
            match self.is_fresh.load(Ordering::SeqCst) {
                true => Ok(answer),
                false => Err(ReadError::NoLeader("on purpose".to_owned())),
            }
        })
    }
}

/// Tells answers apart: the port comes back as the time to live.
fn relayed_outcome(node: &NodeAddress) -> HeartbeatOutcome {
    HeartbeatOutcome::Alive { status: NodeStatus::Online, ttl_seconds: node.port.get().into() }
}

/// A keeper on a member that leads in term 1, with a quorum, at a clock that stands still unless
/// everybody waits.
struct Rig {
    wall: Arc<Wall>,
    book: Arc<Book>,
    fake: Arc<Fake>,
    keeper: Arc<Keeper>,
}

impl Rig {
    fn new() -> Self {
        Self::led_in(Some(1))
    }

    fn led_in(term: Option<u64>) -> Self {
        let wall = Arc::default();
        let book = Arc::new(Book::new(env(&wall), TIMES, Arc::default()));
        let fake = Fake::new(Arc::clone(&book), term.map(LeadTerm));
        let keeper = Keeper::start(Arc::clone(&book), Arc::clone(&fake) as Arc<dyn Cluster>);
        Self { wall, book, fake, keeper: Arc::new(keeper) }
    }

    fn register(&self, port: u16) -> NodeAddress {
        self.register_with_ttl(port, None)
    }

    fn register_with_ttl(&self, port: u16, ttl_seconds: Option<i64>) -> NodeAddress {
        let node = address(port);
        self.fake.apply(register(&node, ttl_seconds));
        node
    }

    fn register_many(&self, count: u16) -> Vec<NodeAddress> {
        (1..=count).map(|port| self.register(port)).collect()
    }

    fn status(&self, node: &NodeAddress) -> Option<NodeStatus> {
        let state = self.fake.state.lock().unwrap();
        state.node(&node.ns, &node.host, node.port).map(|node| node.status)
    }

    fn id(&self, node: &NodeAddress) -> NodeId {
        self.fake.state.lock().unwrap().node(&node.ns, &node.host, node.port).unwrap().id
    }

    fn epoch(&self, node: &NodeAddress) -> u64 {
        self.fake.state.lock().unwrap().node(&node.ns, &node.host, node.port).unwrap().epoch
    }

    async fn heartbeat(&self, node: &NodeAddress) -> Result<HeartbeatOutcome, ReadError> {
        self.keeper.heartbeat(vec![node.clone()]).await.map(|outcomes| outcomes[0])
    }

    /// A heartbeat that is under way; it has got as far as it can.
    async fn begin_heartbeat(
        &self,
        nodes: &[NodeAddress],
    ) -> tokio::task::JoinHandle<Result<Vec<HeartbeatOutcome>, ReadError>> {
        let (keeper, nodes) = (Arc::clone(&self.keeper), nodes.to_vec());
        let under_way = tokio::spawn(async move { keeper.heartbeat(nodes).await });
        settle().await;
        under_way
    }

    async fn expect_offline_within(&self, node: &NodeAddress, from: Duration, to: Duration) {
        sleep(from - MS).await;
        assert_eq!(self.status(node), Some(NodeStatus::Online), "too early");
        sleep(to - from + 2 * MS).await;
        assert_eq!(self.status(node), Some(NodeStatus::Offline), "too late");
    }
}

fn address(port: u16) -> NodeAddress {
    NodeAddress {
        ns: "pool".parse().unwrap(),
        host: "192.0.2.1".parse().unwrap(),
        port: Port::try_from(i64::from(port)).unwrap(),
    }
}

fn register(node: &NodeAddress, ttl_seconds: Option<i64>) -> Command {
    Command::Register {
        key: node.clone(),
        weight: Weight::default(),
        health_path: None,
        metadata: Metadata::default(),
        ttl_seconds: ttl_seconds.map(|ttl| TtlSeconds::try_from(ttl).unwrap()),
        create_namespace: true,
        if_revision: None,
    }
}

fn deregister(node: &NodeAddress) -> Command {
    Command::Deregister { key: node.clone(), if_revision: None }
}

/// Time goes by, and everybody gets to work meanwhile.
async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
    settle().await;
}

/// Lets the tasks do what they can without time going by.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Time goes by, and nobody gets to work meanwhile: as if the process were stopped.
async fn stopped(duration: Duration) {
    tokio::time::advance(duration).await;
    settle().await;
}

fn is_no_leader<T>(result: &Result<T, ReadError>) -> bool {
    matches!(result, Err(ReadError::NoLeader(_)))
}

/// How many nodes the `Expire` commands name: to be marked offline, to be deleted.
fn expire_sizes(commands: &[Command]) -> Vec<(usize, usize)> {
    let sizes = commands.iter().filter_map(|command| match command {
        Command::Expire { offline, delete } => Some((offline.len(), delete.len())),
        _ => None,
    });
    sizes.collect()
}

/// Which nodes the `Return` commands name.
fn returns(commands: &[Command]) -> Vec<Vec<NodeId>> {
    let nodes = commands.iter().filter_map(|command| match command {
        Command::Return { nodes } => Some(nodes.clone()),
        _ => None,
    });
    nodes.collect()
}
