//! Who is hit, and what shows that he was: what the nemeses have in common.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::harness::{LinkId, MemberId, Network};
use crate::run::Arena;

/// The kernel has done what a signal asks for within this time.
const SIGNAL_LIMIT: Duration = Duration::from_secs(2);
/// Packets that show whether a link carries anything.
const PACKETS: u32 = 3;
/// A link that should carry is tested so often: a packet may be lost on a machine that has much to do.
const TESTS_MAX: usize = 3;
/// A member that does not say within this time who leads is not asked.
const STATUS_LIMIT: Duration = Duration::from_millis(800);

/// Which members a fault is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whom {
    Leader,
    Follower,
    /// As many as can be away while the others have a quorum; perhaps the leader among them.
    Minority,
    /// One or more of them, up to a minority, drawn.
    Some,
    All,
}

impl Whom {
    /// Members that run and of which nobody expects that they end.
    ///
    /// # Errors
    /// There is none at the moment.
    pub(super) async fn choose(self, arena: &mut Arena) -> Result<Vec<MemberId>, String> {
        let free: Vec<_> = sound(arena);
        let leader = match self {
            Whom::Leader | Whom::Follower => leader(arena).await,
            _ => None,
        };
        let spare = arena.spare();
        let chosen = match self {
            Whom::Leader => leader.filter(|leader| free.contains(leader)).into_iter().collect(),
            Whom::Follower => {
                leader.ok_or("nobody leads")?;
                let others: Vec<_> = free.into_iter().filter(|id| Some(*id) != leader).collect();
                arena.draw(&others, 1)
            }
            Whom::Minority => arena.draw(&free, spare),
            Whom::Some => {
                let count = arena.rng.usize(1..=spare);
                arena.draw(&free, count)
            }
            Whom::All => arena.cluster.running(),
        };
        if chosen.is_empty() { Err(format!("no member is there for {self:?}")) } else { Ok(sorted(chosen)) }
    }
}

/// Members that run, and of which nobody expects that they end by themselves.
pub(super) fn sound(arena: &Arena) -> Vec<MemberId> {
    arena.cluster.running().into_iter().filter(|id| !arena.may_end.contains(id)).collect()
}

pub(super) fn sorted(mut ids: Vec<MemberId>) -> Vec<MemberId> {
    ids.sort_unstable();
    ids
}

/// `1, 2 and 3`
pub(super) fn list(ids: &[MemberId]) -> String {
    let words: Vec<_> = ids.iter().map(ToString::to_string).collect();
    match &words[..] {
        [] => "nobody".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Kills members that run, and answers what shows that they are gone; `None` if one of them is not.
pub(super) fn kill(arena: &mut Arena, ids: &[MemberId]) -> Option<String> {
    let pids: Vec<_> = ids.iter().map(|id| (*id, arena.cluster.pid(*id))).collect();
    ids.iter().for_each(|id| arena.kill(*id));
    let gone = pids.into_iter().map(|(id, pid)| {
        let pid = pid?;
        (!Path::new(&format!("/proc/{pid}")).exists())
            .then(|| format!("process {pid} of member {id} is gone"))
    });
    Some(gone.collect::<Option<Vec<_>>>()?.join("; "))
}

/// Starts those of them that do not run, and have power; answers what shows that they all run.
pub(super) fn start(arena: &mut Arena, ids: &[MemberId]) -> Option<String> {
    let started = ids.iter().map(|id| {
        if arena.cluster.pid(*id).is_none() && !arena.dark.contains(id) {
            arena.start(*id);
        }
        arena.cluster.pid(*id).map(|pid| format!("member {id} runs as process {pid}"))
    });
    Some(started.collect::<Option<Vec<_>>>()?.join("; "))
}

/// Waits until the kernel says of each of them that it is in a state, see
/// [`crate::harness::Process::state`]; answers that, or `None`.
pub(super) async fn states(arena: &Arena, ids: &[MemberId], wanted: fn(char) -> bool) -> Option<String> {
    let deadline = Instant::now() + SIGNAL_LIMIT;
    loop {
        let states = ids.iter().map(|id| arena.cluster.process_state(*id).map(|state| (*id, state)));
        let states: Vec<_> = states.collect::<Option<_>>()?;
        if states.iter().all(|(_, state)| wanted(*state)) {
            let told =
                states.iter().map(|(id, state)| format!("the process of member {id} is in state {state}"));
            return Some(told.collect::<Vec<_>>().join("; "));
        }
        if Instant::now() > deadline {
            return None;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Who leads, as those say who run: the leader of the highest term. Under another fault they may disagree.
pub(super) async fn leader(arena: &Arena) -> Option<MemberId> {
    let running = arena.cluster.running();
    let apis: Vec<_> = running.iter().map(|id| arena.cluster.api(*id).with_limit(STATUS_LIMIT)).collect();
    let told = join_all(apis.iter().map(crate::harness::Api::status)).await;
    let leaders = told.into_iter().flatten().filter_map(|status| Some((status.term, status.leader_id?.0)));
    leaders.max().map(|(_, leader)| leader).filter(|leader| running.contains(leader))
}

/// Which of these links carry nothing.
pub(super) async fn dead(network: &dyn Network, links: &[LinkId]) -> Vec<LinkId> {
    let probes = links.iter().map(|(from, to)| network.probe(*from, *to, PACKETS));
    let carried = join_all(probes).await;
    std::iter::zip(links, carried).filter(|(_, probed)| !probed.passes()).map(|(link, _)| *link).collect()
}

/// Whether all of these links carry something.
pub(super) async fn all_pass(network: &dyn Network, links: &[LinkId]) -> bool {
    let mut left = links.to_vec();
    for _ in 0..TESTS_MAX {
        left = dead(network, &left).await;
        if left.is_empty() {
            return true;
        }
    }
    false
}
