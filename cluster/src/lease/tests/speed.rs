//! What heartbeats and ticks cost. Printed for people (`--no-capture`); asserts nothing about time.

use tokio::time::Instant;

use super::*;

const NODES: u16 = 50_000;

#[tokio::test]
async fn heartbeats_of_many_nodes() {
    let wall = Arc::default();
    let book = Arc::new(Book::new(env(&wall), TIMES, Arc::default()));
    let fake = Fake::new(Arc::clone(&book), Some(LeadTerm(1)));
    let mut state = State::default();
    let nodes: Vec<NodeAddress> = (1..=NODES).map(address).collect();
    for node in &nodes {
        state.apply(&Proposal { proposed_at_ms: 0, command: register(node, None) });
    }
    book.replaced(&Arc::new(state));
    let keeper = Keeper::start(Arc::clone(&book), fake);

    let began = Instant::now();
    let (session, _) = book.open(LeadTerm(1)).unwrap();
    println!("{NODES} leases begin in {:?}", began.elapsed());

    let began = Instant::now();
    for node in &nodes {
        keeper.heartbeat(vec![node.clone()]).await.unwrap();
    }
    println!("{NODES} heartbeats one by one: {:?} each", began.elapsed() / u32::from(NODES));

    let began = Instant::now();
    for nodes in nodes.chunks(1_000) {
        assert_eq!(keeper.heartbeat(nodes.to_vec()).await.unwrap().len(), nodes.len());
    }
    println!("{NODES} heartbeats by the thousand: {:?} each", began.elapsed() / u32::from(NODES));

    let began = Instant::now();
    for _ in 0..100 {
        assert!(!book.tick(session, true));
    }
    println!("a tick of {NODES} nodes: {:?}", began.elapsed() / 100);

    let began = Instant::now();
    assert_eq!(keeper.stats().unwrap().online, usize::from(NODES));
    println!("a look at all {NODES} leases: {:?}", began.elapsed());
}
