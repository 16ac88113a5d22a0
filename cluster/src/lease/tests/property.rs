//! Whatever happens to the members: an acknowledged heartbeat is never lost, and when all is calm
//! again, silent nodes go and the others stay.

use tokio::time::{Instant, timeout};

use super::world::{Actor, MEMBERS, WORLD_TIMES, World};
use super::*;

const NODES: u16 = 6;
const SEEDS: u64 = 40;
const TROUBLE: Duration = Duration::from_secs(400);
const CLIENT_TIMEOUT: Duration = Duration::from_secs(4);

/// A member's ticks: late when it was stopped, and in any order with what else waited.
async fn tick(world: Arc<World>, actor: Arc<Actor>, member: usize) {
    loop {
        tokio::time::sleep(TICK).await;
        world.running(member).await;
        if actor.leader.tick() {
            actor.expiry.due();
        }
    }
}

/// Often around the very end of the time to live, where all decisions fall; well within it when all
/// is calm.
fn until_next(world: &World) -> Duration {
    let (ttl_ms, tick_ms) = (WORLD_TIMES.ttl.as_millis() as u64, TICK.as_millis() as u64);
    Duration::from_millis(match world.random(3) {
        _ if world.is_calm() => ttl_ms / 10 + world.random(ttl_ms / 2),
        0 => ttl_ms / 10 + world.random(ttl_ms),
        _ => ttl_ms - tick_ms + world.random(3 * tick_ms),
    })
}

/// A node with phases of heartbeats and of silence. With `falls_silent` it stops when all is calm.
async fn live(world: Arc<World>, actors: Vec<Arc<Actor>>, port: u16, falls_silent: bool) {
    let node = address(port);
    let mut member = 0;
    loop {
        let lively_until = Instant::now() + world.delay(Duration::from_secs(100));
        while world.is_calm() || Instant::now() < lively_until {
            if world.is_calm() && falls_silent {
                return;
            }
            let sent_at = Instant::now();
            let heartbeat = async {
                world.running(member).await;
                actors[member].leader.heartbeat(std::slice::from_ref(&node)).await
            };
            let is_heard = match timeout(CLIENT_TIMEOUT, heartbeat).await {
                Ok(Ok(outcomes)) if outcomes[0] == HeartbeatOutcome::NotFound => {
                    world.propose(register(&node, None)).await.is_ok()
                }
                Ok(Ok(_)) => true,
                Ok(Err(_)) | Err(_) => false,
            };
            if is_heard {
                world.acknowledged(port, sent_at);
                tokio::time::sleep(until_next(&world)).await;
            } else {
                member = (member + 1) % MEMBERS;
                tokio::time::sleep(Duration::from_millis(50 + world.random(400))).await;
            }
        }
        let silent_until = Instant::now() + world.delay(2 * WORLD_TIMES.delete_after);
        while !world.is_calm() && Instant::now() < silent_until {
            tokio::time::sleep(TICK).await;
        }
    }
}

/// `calmness`: how rarely something happens. Each election gives everybody a full time to live, so
/// that expiries need a quieter world than other mishaps.
async fn trouble(world: &Arc<World>, calmness: u64) {
    let until = Instant::now() + TROUBLE;
    while Instant::now() < until {
        tokio::time::sleep(world.delay(Duration::from_millis(400))).await;
        world.work();
        let member = usize::try_from(world.random(MEMBERS as u64)).unwrap();
        match world.random(150 * calmness) {
            0..4 => world.elect(),
            4..8 => world.transfer(),
            8..11 => world.blink(),
            11..14 => world.stop(member),
            14..40 => world.wake(member),
            40 => (0..MEMBERS).for_each(|member| world.stop(member)),
            _ => {}
        }
    }
}

/// Gives how many nodes were expired and brought back.
async fn run(seed: u64) -> (usize, usize) {
    let (world, actors) = World::new(seed);
    let actors: Vec<Arc<Actor>> = actors.into_iter().map(Arc::new).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for (member, actor) in actors.iter().enumerate() {
        tasks.spawn(tick(Arc::clone(&world), Arc::clone(actor), member));
        tasks.spawn(actor.expiry.clone().run());
    }
    world.elect();
    let nodes: Vec<_> = (1..=NODES)
        .map(|port| tokio::spawn(live(Arc::clone(&world), actors.clone(), port, port % 2 == 0)))
        .collect();
    trouble(&world, 1 + 3 * (seed % 4)).await;
    let counts = world.counts();

    world.calm_down().await;
    let worker = Arc::clone(&world);
    tasks.spawn(async move {
        loop {
            worker.work();
            tokio::time::sleep(MS).await;
        }
    });
    let (lively, silent): (Vec<_>, Vec<_>) = (1..=NODES).zip(nodes).partition(|(port, _)| port % 2 == 1);
    let (silent_ports, silent): (Vec<_>, Vec<_>) = silent.into_iter().unzip();
    for node in silent {
        node.await.unwrap();
    }
    let slack = 20 * MS;
    let expect = |status: Option<NodeStatus>, when: &str| {
        for port in &silent_ports {
            assert!(
                world.status(*port).is_none() || world.status(*port) == status,
                "seed {seed}: {port} {when}"
            );
        }
        for (port, node) in &lively {
            assert!(!node.is_finished(), "seed {seed}: node {port} failed");
            assert_eq!(world.status(*port), Some(NodeStatus::Online), "seed {seed}: {port} {when}");
        }
    };
    tokio::time::sleep(WORLD_TIMES.ttl + TICK + slack).await;
    expect(Some(NodeStatus::Offline), "after its time to live");
    tokio::time::sleep(WORLD_TIMES.delete_after - WORLD_TIMES.ttl + slack).await;
    expect(None, "after the time to its deletion");
    lively.iter().for_each(|(_, node)| node.abort());
    counts
}

#[tokio::test(start_paused = true)]
async fn an_acknowledged_heartbeat_is_never_lost_and_a_silent_node_always_is() {
    let (mut expired, mut returned) = (0, 0);
    for seed in 0..SEEDS {
        let counts = run(seed).await;
        expired += counts.0;
        returned += counts.1;
    }
    println!("{SEEDS} runs of {TROUBLE:?}: {expired} times a node expired, {returned} times one came back");
    assert!(expired > 100 && returned > 100, "too little happened: {expired}, {returned}");
}
