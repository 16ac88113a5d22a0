//! Three members and a log that they agree on, with everything that can go wrong between them:
//! members stop and wake up, elections, leaders that do not know yet that they are none, entries that
//! are lost or survive an election, answers that do not come.
//!
//! It holds what Raft holds, and no more: one leader in a term, a quorum counts as fresh only while
//! nobody else can have been elected, and a new leader leads after it has applied everything of
//! earlier terms.

use std::collections::{BTreeMap, VecDeque};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::super::expiry::Expiry;
use super::super::keeper::Leader;
use super::*;

pub(super) const MEMBERS: usize = 3;

pub(super) const WORLD_TIMES: LeaseTimes =
    LeaseTimes { ttl: Duration::from_secs(10), delete_after: Duration::from_secs(30), tick: TICK };

/// How long a leader that handed over still takes its quorum for fresh.
const STILL_FRESH: Duration = Duration::from_millis(500);

/// How long a proposal waits for its outcome.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// What is true, whatever the members believe.
pub(super) struct World {
    truth: Mutex<Truth>,
    /// Whether each member is stopped.
    stopped: Vec<watch::Sender<bool>>,
    /// What each member believes of its own lead.
    believes: Vec<watch::Sender<Option<LeadTerm>>>,
    books: Vec<Arc<Book>>,
}

struct Truth {
    random: SmallRng,
    /// Nothing goes wrong any more.
    is_calm: bool,
    term: u64,
    leader: Option<usize>,
    /// Who led in which term before it handed over, and until when its quorum seems fresh: a lead
    /// that is handed over does not wait for the quorum's answers to grow old.
    handed_over: Option<(usize, LeadTerm, Instant)>,
    committed: Vec<Command>,
    state: State,
    /// In the leader's log, not yet committed.
    pending: VecDeque<(Command, oneshot::Sender<Output>)>,
    /// How far each member has applied, and to what.
    applied: Vec<(usize, State)>,
    /// Until when a node may not be offline, by its last acknowledged heartbeat.
    promised_until: BTreeMap<u16, Instant>,
    expired: usize,
    returned: usize,
}

/// One of the members as the keeper of one of them sees the world.
pub(super) struct View {
    world: Arc<World>,
    me: usize,
}

/// A member without the tasks of a keeper: it works when the world lets it.
pub(super) struct Actor {
    pub(super) leader: Arc<Leader>,
    pub(super) expiry: Expiry,
}

impl World {
    pub(super) fn new(seed: u64) -> (Arc<Self>, Vec<Actor>) {
        let wall = Arc::default();
        let book = || Arc::new(Book::new(env(&wall), WORLD_TIMES, Arc::default()));
        let truth = Truth {
            random: SmallRng::seed_from_u64(seed),
            is_calm: false,
            term: 0,
            leader: None,
            handed_over: None,
            committed: Vec::new(),
            state: State::default(),
            pending: VecDeque::new(),
            applied: vec![(0, State::default()); MEMBERS],
            promised_until: BTreeMap::new(),
            expired: 0,
            returned: 0,
        };
        let world = Arc::new(Self {
            truth: Mutex::new(truth),
            stopped: (0..MEMBERS).map(|_| watch::Sender::new(false)).collect(),
            believes: (0..MEMBERS).map(|_| watch::Sender::new(None)).collect(),
            books: (0..MEMBERS).map(|_| book()).collect(),
        });
        let actor = |me| {
            let view: Arc<dyn Cluster> = Arc::new(View { world: Arc::clone(&world), me });
            let (leader, expiry, returns) = Leader::new(Arc::clone(&world.books[me]), view);
            tokio::spawn(returns.run());
            Actor { leader: Arc::new(leader), expiry }
        };
        let actors = (0..MEMBERS).map(actor).collect();
        (world, actors)
    }

    /// A random number below `end`.
    pub(super) fn random(&self, end: u64) -> u64 {
        self.truth.lock().unwrap().random.random_range(0..end)
    }

    /// A random time up to `most`; a millisecond once all is calm.
    pub(super) fn delay(&self, most: Duration) -> Duration {
        let mut truth = self.truth.lock().unwrap();
        if truth.is_calm { MS } else { most.mul_f64(truth.random.random_range(0.0..1.0)) }
    }

    pub(super) fn is_calm(&self) -> bool {
        self.truth.lock().unwrap().is_calm
    }

    pub(super) fn status(&self, port: u16) -> Option<NodeStatus> {
        status_in(&self.truth.lock().unwrap().state, port)
    }

    /// How many nodes were expired and brought back.
    pub(super) fn counts(&self) -> (usize, usize) {
        let truth = self.truth.lock().unwrap();
        (truth.expired, truth.returned)
    }

    /// Completes when the member is not stopped, a little later if it was.
    pub(super) async fn running(&self, member: usize) {
        let mut stopped = self.stopped[member].subscribe();
        while *stopped.borrow_and_update() {
            stopped.changed().await.unwrap();
            // Whoever waited for the member to wake up gets its turn in any order.
            sleep(self.delay(5 * MS)).await;
        }
    }

    pub(super) fn stop(&self, member: usize) {
        self.stopped[member].send_replace(true);
    }

    pub(super) fn wake(&self, member: usize) {
        self.stopped[member].send_replace(false);
    }

    /// Who leads, and the term.
    fn truth(&self) -> (Option<usize>, LeadTerm) {
        let truth = self.truth.lock().unwrap();
        (truth.leader, LeadTerm(truth.term))
    }

    fn is_running(&self, member: usize) -> bool {
        !*self.stopped[member].borrow()
    }

    fn has_quorum(&self) -> bool {
        (0..MEMBERS).filter(|member| self.is_running(*member)).count() > MEMBERS / 2
    }

    /// Elects somebody, also the leader itself again. The old leader hears of it later.
    pub(super) fn elect(self: &Arc<Self>) {
        let running: Vec<_> = (0..MEMBERS).filter(|member| self.is_running(*member)).collect();
        if !self.has_quorum() {
            return;
        }
        let mut truth = self.truth.lock().unwrap();
        let place = truth.random.random_range(0..running.len());
        let before = truth.leader.replace(running[place]);
        truth.term += 1;
        // Of what was not committed, the new leader has the first part or nothing.
        let waiting = truth.pending.len();
        let survives = truth.random.random_range(0..=waiting);
        let lost = truth.pending.split_off(survives);
        while self.commit_one(&mut truth) {}
        self.catch_up(&mut truth, running[place]);
        let term = truth.term;
        drop(truth);
        drop(lost);
        self.tell(running[place], Some(LeadTerm(term)));
        if let Some(before) = before.filter(|before| *before != running[place]) {
            self.tell(before, None);
        }
    }

    /// The leader hands over: it stops taking heartbeats first.
    pub(super) fn transfer(self: &Arc<Self>) {
        let (leader, term) = self.truth();
        if let Some(leader) = leader.filter(|leader| self.is_running(*leader)) {
            let pause = self.books[leader].pause();
            self.truth.lock().unwrap().handed_over = Some((leader, term, Instant::now() + STILL_FRESH));
            self.elect();
            let world = Arc::clone(self);
            tokio::spawn(async move {
                sleep(world.delay(Duration::from_secs(1))).await;
                drop(pause);
            });
        }
    }

    /// The leader is not sure for a moment whether it leads.
    pub(super) fn blink(self: &Arc<Self>) {
        let (leader, term) = self.truth();
        if let Some(leader) = leader {
            self.believes[leader].send_replace(None);
            self.tell(leader, Some(term));
        }
    }

    /// Lets a member believe something, after a while. What it knows of terms never goes back.
    fn tell(self: &Arc<Self>, member: usize, lead: Option<LeadTerm>) {
        let world = Arc::clone(self);
        let told_in = world.truth.lock().unwrap().term;
        tokio::spawn(async move {
            sleep(world.delay(Duration::from_secs(2))).await;
            world.running(member).await;
            let truth = world.truth.lock().unwrap();
            if truth.term == told_in || lead.is_none() && truth.leader != Some(member) {
                world.believes[member].send_replace(lead);
            }
        });
    }

    /// Commits some of what waits, if there is a leader with a quorum.
    pub(super) fn work(&self) {
        let mut truth = self.truth.lock().unwrap();
        let works = truth.leader.is_some_and(|leader| self.is_running(leader)) && self.has_quorum();
        while works && (truth.is_calm || truth.random.random_bool(0.5)) && self.commit_one(&mut truth) {}
        for member in 0..MEMBERS {
            if self.is_running(member) && (truth.is_calm || truth.random.random_bool(0.3)) {
                self.catch_up(&mut truth, member);
            }
        }
    }

    fn commit_one(&self, truth: &mut Truth) -> bool {
        let Some((command, answer)) = truth.pending.pop_front() else { return false };
        let before = truth.state.clone();
        let output =
            truth.state.apply(&Proposal { proposed_at_ms: 0, command: command.clone() }).result.unwrap();
        match &output {
            Output::Expired { offline, .. } => truth.expired += usize::try_from(*offline).unwrap(),
            Output::Returned(nodes) => truth.returned += nodes.len(),
            _ => {}
        }
        truth.committed.push(command.clone());
        if let Some(leader) = truth.leader {
            self.catch_up(truth, leader);
        }
        for (port, until) in &truth.promised_until {
            assert!(
                *until <= Instant::now() || status_in(&truth.state, *port) == Some(NodeStatus::Online),
                "node {port} lost what was acknowledged: {:?} by {command:?} after {:?}",
                status_in(&truth.state, *port),
                status_in(&before, *port),
            );
        }
        // Not heard by a proposer that gave up, or lost on the way.
        if truth.is_calm || truth.random.random_bool(0.9) {
            let _ = answer.send(output);
        }
        true
    }

    /// Applies what a member has not applied yet.
    fn catch_up(&self, truth: &mut Truth, member: usize) {
        let Truth { committed, applied, .. } = truth;
        let (index, state) = &mut applied[member];
        for command in &committed[*index..] {
            let applied = state.apply(&Proposal { proposed_at_ms: 0, command: command.clone() });
            self.books[member].observe(&Arc::new(state.clone()), &applied.leases);
        }
        *index = committed.len();
    }

    /// A client was told that a heartbeat that it sent at `sent_at` counts.
    pub(super) fn acknowledged(&self, port: u16, sent_at: Instant) {
        let mut truth = self.truth.lock().unwrap();
        let until = sent_at + WORLD_TIMES.ttl;
        if until > Instant::now() {
            assert_eq!(
                status_in(&truth.state, port),
                Some(NodeStatus::Online),
                "acknowledged, but not online"
            );
        }
        let promised = truth.promised_until.entry(port).or_insert(until);
        *promised = until.max(*promised);
    }

    /// Proposes on whoever leads.
    pub(super) async fn propose(self: &Arc<Self>, command: Command) -> Result<Output, ProposeError> {
        let (leader, term) = self.truth();
        let me = leader.ok_or_else(|| ProposeError::NoLeader("nobody".to_owned()))?;
        View { world: Arc::clone(self), me }.propose_in_term(term, command).await
    }

    /// From now on nothing goes wrong.
    pub(super) async fn calm_down(self: &Arc<Self>) {
        for member in 0..MEMBERS {
            self.wake(member);
        }
        self.truth.lock().unwrap().is_calm = true;
        // What was under way comes to its end.
        sleep(Duration::from_secs(6)).await;
        self.elect();
    }
}

fn status_in(state: &State, port: u16) -> Option<NodeStatus> {
    let node = address(port);
    state.node(&node.ns, &node.host, node.port).map(|node| node.status)
}

impl Cluster for View {
    fn lead(&self) -> Option<LeadTerm> {
        *self.world.believes[self.me].borrow()
    }

    fn watch_lead(&self) -> watch::Receiver<Option<LeadTerm>> {
        self.world.believes[self.me].subscribe()
    }

    fn quorum_is_fresh(&self, term: LeadTerm) -> bool {
        let mut truth = self.world.truth.lock().unwrap();
        let seems_fresh = truth
            .handed_over
            .is_some_and(|(before, of, until)| (before, of) == (self.me, term) && Instant::now() < until);
        (seems_fresh || truth.leader == Some(self.me) && truth.term == term.0)
            && self.world.has_quorum()
            && (truth.is_calm || truth.random.random_bool(0.95))
    }

    fn propose_in_term(
        &self,
        term: LeadTerm,
        command: Command,
    ) -> BoxFuture<'_, Result<Output, ProposeError>> {
        Box::pin(async move {
            let world = &self.world;
            sleep(world.delay(Duration::from_millis(1_500))).await;
            world.running(self.me).await;
            let (answer, outcome) = oneshot::channel();
            {
                let mut truth = world.truth.lock().unwrap();
                if truth.leader != Some(self.me) || truth.term != term.0 {
                    return Err(ProposeError::NoLeader("another term".to_owned()));
                }
                truth.pending.push_back((command, answer));
            }
            let outcome = timeout(COMMIT_TIMEOUT, outcome).await;
            world.running(self.me).await;
            outcome.ok().and_then(Result::ok).ok_or_else(|| ProposeError::Unknown("no answer".to_owned()))
        })
    }

    fn relay(&self, _: Vec<NodeAddress>) -> BoxFuture<'_, Result<Vec<HeartbeatOutcome>, ReadError>> {
        Box::pin(async { Err(ReadError::NoLeader("clients go to the members themselves".to_owned())) })
    }
}
