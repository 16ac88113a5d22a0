//! Bounded numbers: port, weight, time to live.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Invalid;
use crate::limits::{TTL_SECONDS_MAX, TTL_SECONDS_MIN, WEIGHT_DEFAULT, WEIGHT_MAX};

macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $read:ident, $what:literal, $min:expr, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($inner);

        impl $name {
            fn rule(given: &dyn fmt::Display) -> Invalid {
                Invalid(format!(concat!($what, " is an integer from {} to {}, not {}"), $min, $max, given))
            }

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
                    _ => Err(Self::rule(&number)),
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
                let number: i64 = text.parse().map_err(|_| Self::rule(&format_args!("{text:?}")))?;
                number.try_into()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                /// Takes any number, so that the answer names the rule and not a type of Rust.
                struct AnyNumber;

                impl Visitor<'_> for AnyNumber {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an integer")
                    }

                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$name, E> {
                        number.try_into().map_err(E::custom)
                    }

                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$name, E> {
                        let signed = i64::try_from(number).map_err(|_| E::custom($name::rule(&number)))?;
                        self.visit_i64(signed)
                    }

                    fn visit_f64<E: de::Error>(self, number: f64) -> Result<$name, E> {
                        Err(E::custom($name::rule(&format_args!("the fraction {number:?}"))))
                    }
                }

                deserializer.$read(AnyNumber)
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
    deserialize_u16,
    "a port",
    1,
    u16::MAX
);
bounded!(
    /// A node's share of traffic, 0 to 10000; 0 takes no new traffic.
    Weight,
    u16,
    deserialize_u16,
    "a weight",
    0,
    WEIGHT_MAX
);
bounded!(
    /// How long a node may stay silent before it is offline, in seconds, 1 to 86400.
    TtlSeconds,
    u32,
    deserialize_u32,
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
