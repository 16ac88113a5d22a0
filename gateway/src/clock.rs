//! The one place where this crate reads the wall clock. It is shown to people and decides nothing;
//! every wait and every age within one run goes by tokio's monotonic clock.

use std::time::{SystemTime, UNIX_EPOCH};

use kenger_types::Timestamp;

/// The time as people read it.
#[expect(clippy::disallowed_methods, reason = "this is the crate's seam to the wall clock")]
pub(crate) fn wall_clock_now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
