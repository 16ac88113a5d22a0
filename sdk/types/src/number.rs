//! Bounded numbers: port, weight, time to live.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Invalid;
use crate::limits::{TTL_SECONDS_MAX, TTL_SECONDS_MIN, WEIGHT_DEFAULT, WEIGHT_MAX};

macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $what:literal, $min:expr, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "i64", into = "i64")]
        pub struct $name($inner);

        impl $name {
            /// The number itself.
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl TryFrom<i64> for $name {
            type Error = Invalid;

            fn try_from(number: i64) -> Result<Self, Invalid> {
                match <$inner>::try_from(number) {
                    Ok(n) if ($min..=$max).contains(&n) => Ok(Self(n)),
                    _ => Err(Invalid(format!(concat!($what, " is a whole number from {} to {}, not {}"), $min, $max, number))),
                }
            }
        }

        impl From<$name> for i64 {
            fn from(value: $name) -> i64 {
                value.0.into()
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                let number: i64 = text.parse().map_err(|_| {
                    Invalid(format!(concat!($what, " is a whole number from {} to {}, not {:?}"), $min, $max, text))
                })?;
                number.try_into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

bounded!(
    /// A TCP port, 1 to 65535.
    Port,
    u16,
    "a port",
    1,
    u16::MAX
);
bounded!(
    /// A node's share of traffic, 0 to 10000; 0 takes no new traffic.
    Weight,
    u16,
    "a weight",
    0,
    WEIGHT_MAX
);
bounded!(
    /// How long a node may stay silent before it is offline, in seconds, 1 to 86400.
    TtlSeconds,
    u32,
    "a time to live in seconds",
    TTL_SECONDS_MIN,
    TTL_SECONDS_MAX
);

impl Default for Weight {
    fn default() -> Self {
        Self(WEIGHT_DEFAULT)
    }
}

impl Weight {
    /// Takes no new traffic.
    pub const ZERO: Weight = Weight(0);
}
