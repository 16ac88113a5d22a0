//! Exit codes of `kenger`, after BSD's `sysexits`, so that a supervisor can tell what is worth a
//! restart.

/// Stopped as it was told to.
pub const OK: u8 = 0;
/// Wrong flags, environment or configuration file; a restart does not help.
pub const USAGE: u8 = 64;
/// An address cannot be listened on, for instance because it is taken.
pub const UNAVAILABLE: u8 = 69;
/// The member cannot go on, for instance because a sync to the disk failed.
pub const SOFTWARE: u8 = 70;
/// The data directory cannot be used, or belongs to another member or cluster.
pub const IO: u8 = 74;
/// Told to stop a second time, and ended at once.
pub const INTERRUPTED: u8 = 130;
