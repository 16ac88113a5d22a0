//! A switch that takes every sync away, for the controls of the power-cut rounds: a rig that loses
//! nothing without syncs proves nothing with them.
//!
//! The C library's functions are defined anew, in the test program only, so that the standard library,
//! sled and redb all come through here.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

static SKIP: AtomicBool = AtomicBool::new(false);

/// From now on no sync of this process does anything, and each says that it succeeded.
pub(super) fn skip_syncs() {
    std::hint::black_box((fdatasync as *const (), fsync as *const ()));
    SKIP.store(true, Ordering::SeqCst);
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(file: c_int) -> c_int {
    sync(libc::SYS_fdatasync, file)
}

#[unsafe(no_mangle)]
extern "C" fn fsync(file: c_int) -> c_int {
    sync(libc::SYS_fsync, file)
}

fn sync(number: libc::c_long, file: c_int) -> c_int {
    if SKIP.load(Ordering::SeqCst) {
        return 0;
    }
    // SAFETY: a system call with one number; it touches no memory of ours.
    let outcome = unsafe { libc::syscall(number, file) };
    if outcome == 0 { 0 } else { -1 }
}
