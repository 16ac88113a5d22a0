//! The wall clock, for the ages that people read. Nothing is decided by it.

use kenger_types::Timestamp;

/// Now.
#[expect(clippy::disallowed_methods, reason = "the one seam of this program for wall-clock time")]
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
