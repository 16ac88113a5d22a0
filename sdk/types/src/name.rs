//! Text values: names, hosts, health paths and descriptions.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::marker::PhantomData;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Invalid;
use crate::limits::{
    DESCRIPTION_MAX_BYTES, HEALTH_PATH_DEFAULT, HEALTH_PATH_MAX_BYTES, HOST_MAX_BYTES, NAME_MAX_BYTES,
};

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $read:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                Ok(Self($read(text)?.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0.as_ref().to_owned()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Parsed::new())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

text!(
    /// A namespace's name: 1 to 64 of `A-Z a-z 0-9 . _ -`.
    NamespaceName,
    read_name
);
text!(
    /// Where a node listens: an IPv4 or IPv6 address (without brackets) or an RFC 1123 host name,
    /// at most 128 bytes.
    ///
    /// One place has one spelling, else its node could be there twice: names are kept in lower case,
    /// IPv6 addresses as RFC 5952 writes them.
    Host,
    read_host
);
text!(
    /// The path of a health check: starts with `/`, at most 128 printable ASCII characters without
    /// spaces, because it is written into a request line as it is.
    HealthPath,
    read_health_path
);
text!(
    /// What a namespace is for: at most 255 bytes, no control characters.
    Description,
    read_description
);

/// Reads a text value without a copy in between.
struct Parsed<T>(PhantomData<T>);

impl<T> Parsed<T> {
    fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: FromStr<Err = Invalid>> Visitor<'_> for Parsed<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

impl Default for HealthPath {
    fn default() -> Self {
        Self(HEALTH_PATH_DEFAULT.into())
    }
}

impl Default for Description {
    fn default() -> Self {
        Self("".into())
    }
}

impl Host {
    /// `host:port`, with an IPv6 address in brackets, as it is written into a URL.
    pub fn authority(&self, port: crate::Port) -> String {
        if self.0.contains(':') { format!("[{}]:{port}", self.0) } else { format!("{}:{port}", self.0) }
    }
}

fn check_length(text: &str, what: &str, max: usize) -> Result<(), Invalid> {
    match text.len() {
        0 => Err(Invalid(format!("a {what} must not be empty"))),
        n if n > max => Err(Invalid(format!("a {what} has at most {max} bytes, this one has {n}"))),
        _ => Ok(()),
    }
}

fn read_name(text: &str) -> Result<Cow<'_, str>, Invalid> {
    check_length(text, "name", NAME_MAX_BYTES)?;
    match text.chars().find(|c| !matches!(c, 'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '_' | '-')) {
        Some(bad) => Err(Invalid(format!("a name consists of A-Z a-z 0-9 . _ -, this one has {bad:?}"))),
        None => Ok(text.into()),
    }
}

fn read_host(text: &str) -> Result<Cow<'_, str>, Invalid> {
    check_length(text, "host", HOST_MAX_BYTES)?;
    if text.parse::<Ipv4Addr>().is_ok() {
        return Ok(text.into());
    }
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Ok(address.to_string().into());
    }
    let all_numeric = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if all_numeric || !text.split('.').all(is_host_label) {
        return Err(Invalid(format!(
            "{text:?} is neither an IPv4 or IPv6 address nor a host name (labels of letters, digits and -, joined by dots)"
        )));
    }
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Ok(text.to_ascii_lowercase().into());
    }
    Ok(text.into())
}

/// RFC 1123 section 2.1: letters, digits and hyphens, no hyphen at either end, at most 63 bytes.
/// The underscore is not in the RFC, but container platforms give such names to their hosts.
fn is_host_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn read_health_path(text: &str) -> Result<Cow<'_, str>, Invalid> {
    check_length(text, "health path", HEALTH_PATH_MAX_BYTES)?;
    if !text.starts_with('/') {
        return Err(Invalid(format!("a health path starts with /, this one is {text:?}")));
    }
    match text.chars().find(|c| !c.is_ascii_graphic()) {
        Some(bad) => Err(Invalid(format!(
            "a health path has printable ASCII without spaces only, this one has {bad:?}"
        ))),
        None => Ok(text.into()),
    }
}

fn read_description(text: &str) -> Result<Cow<'_, str>, Invalid> {
    if text.len() > DESCRIPTION_MAX_BYTES {
        return Err(Invalid(format!(
            "a description has at most {DESCRIPTION_MAX_BYTES} bytes, this one has {}",
            text.len()
        )));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(bad) => Err(Invalid(format!("a description has no control characters, this one has {bad:?}"))),
        None => Ok(text.into()),
    }
}
