//! Where a member's HTTP API is found.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use kenger_types::{Host, Invalid, Port};

/// `http://HOST:PORT` of one member. An IPv6 address stands in brackets.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// `HOST:PORT`, as it is written into a URL.
    authority: Arc<str>,
}

impl Endpoint {
    /// `HOST:PORT`, with an IPv6 address in brackets.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The URL of `path`, which starts with `/`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.authority)
    }

    /// The member that a `Location` header points to; `None` if it names none.
    pub(crate) fn from_location(location: &str) -> Option<Self> {
        let rest = location.strip_prefix("http://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        rest.get(..end)?.parse().ok()
    }
}

impl FromStr for Endpoint {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: &str| {
            Invalid(format!(
                "{text:?} is not an endpoint like http://192.0.2.1:5000 or http://[::1]:5000: {why}"
            ))
        };
        let rest = match text.split_once("://") {
            None => text,
            Some(("http", rest)) => rest,
            Some(("https", _)) => return Err(invalid("TLS is not supported yet")),
            Some(_) => return Err(invalid("the scheme must be http")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = rest.rsplit_once(':').ok_or_else(|| invalid("the port is missing"))?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bracketed.is_none() && host.contains(':') {
            return Err(invalid("an IPv6 address is written in brackets, and a port follows"));
        }
        let host: Host = bracketed.unwrap_or(host).parse().map_err(|Invalid(why)| invalid(&why))?;
        if bracketed.is_some() && !host.as_str().contains(':') {
            return Err(invalid("only an IPv6 address is written in brackets"));
        }
        let port: Port = port.parse().map_err(|Invalid(why)| invalid(&why))?;
        Ok(Self { authority: host.authority(port).into() })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_and_trailing_slash_are_optional() {
        for text in ["127.0.0.1:5000", "http://127.0.0.1:5000", "http://127.0.0.1:5000/"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), "http://127.0.0.1:5000");
        }
        assert_eq!("[::1]:5000".parse::<Endpoint>().unwrap().url("/healthz"), "http://[::1]:5000/healthz");
        assert_eq!("http://registry-1:80".parse::<Endpoint>().unwrap().authority(), "registry-1:80");
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "port is missing"),
            ("127.0.0.1", "port is missing"),
            ("https://127.0.0.1:5000", "TLS"),
            ("ftp://127.0.0.1:5000", "scheme"),
            ("::1:5000", "brackets"),
            ("[127.0.0.1]:5000", "brackets"),
            ("127.0.0.1:0", "port"),
            ("127.0.0.1:70000", "port"),
            ("user:secret@127.0.0.1:5000", "brackets"),
            ("u@127.0.0.1:5000", "neither"),
            ("http://127.0.0.1:5000/base", "port"),
            ("http://:5000", "empty"),
        ] {
            let Invalid(message) = text.parse::<Endpoint>().unwrap_err();
            assert!(message.contains(why), "{text:?}: {message}");
        }
    }

    #[test]
    fn a_location_names_a_member_only_with_a_whole_url() {
        let member = |location| Endpoint::from_location(location).map(|endpoint| endpoint.to_string());
        assert_eq!(member("http://[fd00::1]:5000/api?x=http://y").as_deref(), Some("http://[fd00::1]:5000"));
        assert_eq!(member("http://a:1"), Some("http://a:1".into()));
        assert_eq!(member("/api/upstream/watch"), None);
        assert_eq!(member("https://a:1/"), None);
    }
}
