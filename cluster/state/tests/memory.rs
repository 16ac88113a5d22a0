//! A hundred thousand nodes are cheap to hold, to copy and to store.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use kenger_state::{Command, Proposal, State};
use kenger_types::Metadata;
use kenger_types::api::NodeAddress;

/// Counts the bytes that are in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NODES: u32 = 100_000;
const NAMESPACES: u32 = 100;

fn in_use() -> usize {
    IN_USE.load(Ordering::Relaxed)
}

fn register(number: u32) -> Proposal {
    let [_, b, c, d] = number.to_be_bytes();
    let pairs = [("version".to_owned(), "v1".to_owned())];
    Proposal {
        proposed_at_ms: 1_700_000_000_000,
        command: Command::Register {
            key: NodeAddress {
                ns: format!("service-{}", number % NAMESPACES).parse().unwrap(),
                host: format!("10.{b}.{c}.{d}").parse().unwrap(),
                port: 8080.try_into().unwrap(),
            },
            weight: 100.try_into().unwrap(),
            health_path: None,
            metadata: Metadata::try_from(std::collections::BTreeMap::from(pairs)).unwrap(),
            ttl_seconds: None,
            create_namespace: true,
            if_revision: None,
        },
    }
}

#[test]
fn a_hundred_thousand_nodes_take_less_than_80_mb_and_a_copy_next_to_nothing() {
    let before = in_use();
    let mut state = State::default();
    for number in 0..NODES {
        state.apply(&register(number)).result.unwrap();
    }
    let held = in_use() - before;
    println!("{NODES} nodes: {} bytes each", held / NODES as usize);
    assert!(held < 80 << 20, "{held} bytes");

    let before = in_use();
    let copy = state.clone();
    assert!(in_use() - before < 1 << 10, "a copy took {} bytes", in_use() - before);
    state.apply(&register(NODES)).result.unwrap();
    assert!(in_use() - before < 64 << 10, "a write beside a copy took {} bytes", in_use() - before);
    assert_eq!(copy.total_counts().0, u64::from(NODES));

    let bytes = bincode::serialize(&copy).unwrap();
    println!("{NODES} nodes: {} bytes each when stored", bytes.len() / NODES as usize);
    assert!(bytes.len() < 200 * NODES as usize, "{} bytes", bytes.len());

    let before = in_use();
    let read: State = bincode::deserialize(&bytes).unwrap();
    assert_eq!(read, copy);
    let held_when_read = in_use() - before;
    println!("{NODES} nodes: {} bytes each when read", held_when_read / NODES as usize);
    assert!(held_when_read < held + (4 << 20), "reading made it larger: {held_when_read}, not {held}");
}
