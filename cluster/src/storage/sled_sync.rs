//! Makes sled's own sync a real one.
//!
//! sled 0.34 "syncs" on Linux with `sync_file_range(2)`, which writes no metadata and does not flush
//! the disk's cache: what it reports as durable may be gone after a power cut (spacejam/sled#1351,
//! #1452). A sync *after* sled's flush does not help, because sled frees and reuses segments on the
//! strength of its own. So the symbol that sled calls is defined here and calls `fdatasync`.
//!
//! Whether the linker really took this definition is not left to hope: the engine counts the calls
//! around a probe and refuses to open without one (see `sled.rs`).

use std::ffi::{c_int, c_uint};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};

use kenger_mutant::{self as mutant, Mutant};

static CALLS: AtomicU64 = AtomicU64::new(0);

/// How often a sync went through here since the process began.
pub(super) fn calls() -> u64 {
    // Names the function, so that the object that defines it is part of every program that opens sled.
    std::hint::black_box(sync_file_range as *const ());
    CALLS.load(Ordering::Relaxed)
}

/// Replaces the C library's. Syncs the whole file and its size, which is more than was asked for.
#[unsafe(no_mangle)]
extern "C" fn sync_file_range(file: c_int, _offset: i64, _bytes: i64, _flags: c_uint) -> c_int {
    CALLS.fetch_add(1, Ordering::Relaxed);
    #[cfg(test)]
    if test_control::SLEDS_OWN.load(Ordering::Relaxed) {
        return test_control::system_sync_file_range(file, _offset, _bytes, _flags);
    }
    if mutant::is(Mutant::SkipSync) {
        return 0;
    }
    // SAFETY: `fdatasync` takes any number and says so if it is not an open file.
    unsafe { libc::fdatasync(file) }
}

/// Fails if writing back any page of the file has failed since `file` was opened or since this was
/// last called with it. A failed sync is told once per open file: the one of sled's background thread
/// goes to sled, which only logs it. `file` is another open file on the same inode, so it is told too.
pub(super) fn check_written_back(file: &std::fs::File) -> io::Result<()> {
    // SAFETY: a system call with an open file and plain numbers; it touches no memory of ours.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_sync_file_range,
            file.as_raw_fd(),
            0_i64,
            0_i64,
            libc::SYNC_FILE_RANGE_WAIT_BEFORE,
        )
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes the replacement away again, to measure what it is good for.
#[cfg(test)]
pub(super) mod test_control {
    use std::ffi::{c_int, c_uint};
    use std::sync::atomic::AtomicBool;

    /// Whether sled gets the sync that it asks for.
    pub(crate) static SLEDS_OWN: AtomicBool = AtomicBool::new(false);

    pub(super) fn system_sync_file_range(file: c_int, offset: i64, bytes: i64, flags: c_uint) -> c_int {
        // SAFETY: a system call with plain numbers; it touches no memory of ours.
        let outcome = unsafe { libc::syscall(libc::SYS_sync_file_range, file, offset, bytes, flags) };
        if outcome == 0 { 0 } else { -1 }
    }
}
