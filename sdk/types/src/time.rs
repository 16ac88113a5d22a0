//! Points in time as people and programs read them: RFC 3339 in UTC, to the millisecond.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::Invalid;

/// Milliseconds since 1970-01-01T00:00:00Z; on the wire `2026-01-02T03:04:05.678Z`.
///
/// For people. No decision about a node's liveness is taken from it, because a wall clock may jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(u64);

/// 9999-12-31T23:59:59.999Z, the last moment that RFC 3339 can write.
const LATEST_MS: u64 = 253_402_300_799_999;

impl Timestamp {
    /// From milliseconds since 1970; a time that RFC 3339 cannot write becomes the last it can.
    pub fn from_unix_ms(ms: u64) -> Self {
        Self(ms.min(LATEST_MS))
    }

    /// Milliseconds since 1970.
    pub fn unix_ms(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(self.0)).fmt(f)
    }
}

impl FromStr for Timestamp {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid(format!("{text:?} is not a time like 2026-01-02T03:04:05.678Z"));
        let time = humantime::parse_rfc3339(text).map_err(|_| invalid())?;
        let since = time.duration_since(UNIX_EPOCH).map_err(|_| invalid())?;
        u64::try_from(since.as_millis()).map(Self::from_unix_ms).map_err(|_| invalid())
    }
}

impl TryFrom<String> for Timestamp {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> String {
        time.to_string()
    }
}
