//! Values that are typed in one piece.

use std::fmt;
use std::str::FromStr;

use kenger_types::{Host, Invalid, Port};

/// Where a node listens: `HOST:PORT`, with an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: Host,
    pub(crate) port: Port,
}

impl FromStr for Address {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let example = "like 192.0.2.17:8080 or [fd00::7]:8080";
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(Invalid(format!("the port is missing; a node is named {example}")));
        };
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inner) if inner.contains(':') => inner,
            Some(_) => return Err(Invalid(format!("only an IPv6 address stands in brackets, {example}"))),
            None if host.contains(':') => {
                return Err(Invalid(format!("an IPv6 address stands in brackets, {example}")));
            }
            None => host,
        };
        Ok(Self { host: host.parse()?, port: port.parse()? })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host.authority(self.port))
    }
}

/// A value, or the word `default` for the one that counts when there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OrDefault<T> {
    Value(T),
    Default,
}

impl<T> OrDefault<T> {
    pub(crate) fn value(self) -> Option<T> {
        match self {
            OrDefault::Value(value) => Some(value),
            OrDefault::Default => None,
        }
    }
}

impl<T: FromStr<Err = Invalid>> FromStr for OrDefault<T> {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == "default" {
            return Ok(OrDefault::Default);
        }
        text.parse()
            .map(OrDefault::Value)
            .map_err(|Invalid(why)| Invalid(format!("{why}; or the word default")))
    }
}

#[cfg(test)]
mod tests {
    use kenger_types::Weight;

    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in ["192.0.2.17:8080", "[fd00::7]:8080", "web-1.example:1"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for (text, why) in [
            ("192.0.2.17", "port is missing"),
            ("fd00::7:8080", "brackets"),
            ("[192.0.2.17]:8080", "brackets"),
            ("192.0.2.17:0", "port"),
            ("bad host:80", "host name"),
        ] {
            let Invalid(message) = text.parse::<Address>().unwrap_err();
            assert!(message.contains(why), "{text}: {message}");
        }
    }

    #[test]
    fn default_stands_for_no_value() {
        assert_eq!("default".parse(), Ok(OrDefault::<Weight>::Default));
        assert_eq!("0".parse(), Ok(OrDefault::Value(Weight::ZERO)));
        assert!("many".parse::<OrDefault<Weight>>().unwrap_err().0.contains("or the word default"));
    }
}
