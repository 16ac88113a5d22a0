//! Nothing in a simulation may happen by chance, but the standard library begins its hash maps with random
//! numbers, and tokio, through these, the order in which `select!` looks at its branches. Both ask the C
//! library's `getrandom`. The standard library looks it up as a weak symbol so that a program can put its
//! own in its place (`std/src/sys/random/linux.rs`), and this one does: what it answers follows from the
//! seed.

use std::ffi::{c_uint, c_void};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Whole clusters live on it, in builds that are not optimized, too.
const STACK_BYTES: usize = 64 << 20;
/// SplitMix64's step, from which the numbers are made.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

static STATE: AtomicU64 = AtomicU64::new(0);

/// Calls `run` on a thread of its own, for which everything random follows from `seed`, and answers what
/// it does. Call it once in a process: tokio and the standard library count what they have given out.
///
/// # Errors
/// There is no such thread, or `getrandom` is not this one, so that nothing would follow from the seed.
///
/// # Panics
/// As `run` does.
pub(crate) fn from_seed<T: Send>(seed: u64, run: impl FnOnce() -> T + Send) -> io::Result<T> {
    STATE.store(seed, Ordering::Relaxed);
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, move || {
            // The first hash map of a thread decides for all others of it.
            RandomState::new().hash_one(0);
            let is_asked = STATE.load(Ordering::Relaxed) != seed;
            if !is_asked {
                return Err(io::Error::other("the standard library does not take its randomness from here"));
            }
            Ok(run())
        })?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// In place of the C library's, see `getrandom(2)`.
///
/// # Safety
/// `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, _flags: c_uint) -> isize {
    for place in (0..length).step_by(size_of::<u64>()) {
        let number = number(STATE.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP)).to_le_bytes();
        let count = (length - place).min(number.len());
        // SAFETY: whoever calls says that there are `length` bytes, and `place + count` is not more.
        unsafe { buffer.cast::<u8>().add(place).copy_from_nonoverlapping(number.as_ptr(), count) };
    }
    isize::try_from(length).unwrap_or(isize::MAX)
}

/// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
fn number(state: u64) -> u64 {
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_begins_hash_maps_alike_and_another_does_not() {
        let first = |seed| from_seed(seed, || RandomState::new().hash_one("x")).unwrap();
        let (one, again, other) = (first(1), first(1), first(2));
        assert_eq!(one, again);
        assert_ne!(one, other);
    }
}
