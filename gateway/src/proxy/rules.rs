//! Which requests are refused, and what is to be known of the others before they are forwarded.
//!
//! A request that two programs may read differently is never forwarded (request smuggling).

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

use super::failure::Failure;
use super::gate::HeadFacts;

/// Protocols that are not tunnelled, because they carry requests that would pass the gateway
/// unseen: such a request is forwarded as if it had not asked.
const UPGRADES_NOT_FORWARDED: [&str; 2] = ["h2c", "tls"];

/// What is to be done with a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// May be sent again although it may have been carried out.
    pub(crate) is_repeatable: bool,
    /// The client said which host it means.
    pub(crate) has_host: bool,
    /// The protocol that the client asks to change to.
    pub(crate) upgrade: Option<HeaderValue>,
}

/// What of a request the rules look at.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) version: Version,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) has_body: bool,
}

/// Judges a request.
///
/// # Errors
/// It is not to be forwarded.
pub(crate) fn judge(head: &Head<'_>, facts: HeadFacts) -> Result<Plan, Failure> {
    check_target(head)?;
    check_framing(head, facts)?;
    check_hosts(head)?;
    let is_idempotent =
        matches!(*head.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE);
    let has_host = head.headers.contains_key(HOST) || head.uri.authority().is_some();
    Ok(Plan { is_repeatable: is_idempotent && !head.has_body, has_host, upgrade: upgrade(head) })
}

fn check_target(head: &Head<'_>) -> Result<(), Failure> {
    match *head.method {
        Method::CONNECT => {
            return Err(Failure::BadRequest("CONNECT is not served: this is no forward proxy"));
        }
        // It would show the client which headers the gateway adds.
        Method::TRACE => return Err(Failure::MethodNotAllowed),
        _ => {}
    }
    let Some(authority) = head.uri.authority() else { return Ok(()) };
    if head.uri.scheme().is_none() {
        return Err(Failure::BadRequest("the target of the request is neither a path nor a URL"));
    }
    if authority.as_str().contains('@') {
        return Err(Failure::BadRequest("the URL of the request names a user"));
    }
    Ok(())
}

fn check_framing(head: &Head<'_>, facts: HeadFacts) -> Result<(), Failure> {
    if facts.is_unknown {
        return Err(Failure::BadRequest("the request follows a body whose end is not certain"));
    }
    match (facts.content_lengths, facts.transfer_encodings) {
        (0 | 1, 0) | (0, 1) => {}
        (0, _) => return Err(Failure::BadRequest("the request has several Transfer-Encoding headers")),
        (_, 0) => return Err(Failure::BadRequest("the request has several Content-Length headers")),
        _ => return Err(Failure::BadRequest("the request has both Content-Length and Transfer-Encoding")),
    }
    if let Some(coding) = head.headers.get(TRANSFER_ENCODING) {
        if head.version < Version::HTTP_11 {
            return Err(Failure::BadRequest("HTTP/1.0 has no Transfer-Encoding"));
        }
        if !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(Failure::UnsupportedCoding);
        }
    }
    if let Some(length) = head.headers.get(CONTENT_LENGTH)
        && !length.as_bytes().iter().all(u8::is_ascii_digit)
    {
        return Err(Failure::BadRequest("Content-Length is not a whole number"));
    }
    // A client that names one of these wants us to drop what the node must have.
    let names_essential = connection_options(head.headers).any(|option| {
        [CONTENT_LENGTH, TRANSFER_ENCODING, HOST]
            .iter()
            .any(|name| option.eq_ignore_ascii_case(name.as_str()))
    });
    if names_essential {
        return Err(Failure::BadRequest("Connection names a header that belongs to the request itself"));
    }
    Ok(())
}

fn check_hosts(head: &Head<'_>) -> Result<(), Failure> {
    let mut hosts = head.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if head.version >= Version::HTTP_11 => {
            Err(Failure::BadRequest("the request has no Host header"))
        }
        (None, _) => Ok(()),
        (Some(_), Some(_)) => Err(Failure::BadRequest("the request has several Host headers")),
        (Some(host), None) if is_host(host.as_bytes()) => Ok(()),
        (Some(_), None) => Err(Failure::BadRequest("the Host header is not a host")),
    }
}

/// `host[:port]` as RFC 3986 writes it.
fn is_host(host: &[u8]) -> bool {
    let (name, port) = match host.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !host.ends_with(b"]") => (&host[..colon], &host[colon + 1..]),
        _ => (host, &b""[..]),
    };
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(byte);
    let is_literal = |inner: &[u8]| inner.iter().all(|byte| is_name(byte) || *byte == b':');
    let is_valid_name = match name.strip_prefix(b"[").map(|rest| rest.strip_suffix(b"]")) {
        None => name.iter().all(is_name),
        Some(inner) => inner.is_some_and(is_literal),
    };
    !name.is_empty() && is_valid_name && port.len() <= 5 && port.iter().all(u8::is_ascii_digit)
}

/// The options of all `Connection` headers.
pub(crate) fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|option| !option.is_empty())
}

fn upgrade(head: &Head<'_>) -> Option<HeaderValue> {
    let protocol = head.headers.get(UPGRADE)?;
    let is_asked = connection_options(head.headers).any(|option| option.eq_ignore_ascii_case("upgrade"));
    let name = protocol.to_str().ok()?.split('/').next()?.trim();
    let is_forwarded = !UPGRADES_NOT_FORWARDED.iter().any(|not| name.eq_ignore_ascii_case(not));
    (is_asked && is_forwarded && !head.has_body && head.version >= Version::HTTP_11).then(|| protocol.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(method: &str, uri: &str, version: Version, headers: &[(&str, &str)]) -> Result<Plan, Failure> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            map.append(http::HeaderName::try_from(*name).unwrap(), value);
        }
        let count = |name: &str| u16::try_from(map.get_all(name).iter().count()).unwrap();
        let facts = HeadFacts {
            content_lengths: count("content-length"),
            transfer_encodings: count("transfer-encoding"),
            is_unknown: false,
        };
        let (method, uri) = (method.parse().unwrap(), uri.parse().unwrap());
        let has_body =
            map.get(CONTENT_LENGTH).is_some_and(|length| length != "0") || facts.transfer_encodings > 0;
        judge(&Head { method: &method, uri: &uri, version, headers: &map, has_body }, facts)
    }

    fn refused(headers: &[(&str, &str)]) -> &'static str {
        let mut all = vec![("host", "a")];
        all.extend(headers);
        match judged("POST", "/", Version::HTTP_11, &all) {
            Err(Failure::BadRequest(why)) => why,
            Err(other) => other.code(),
            Ok(_) => "forwarded",
        }
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        assert!(refused(&[("content-length", "5"), ("transfer-encoding", "chunked")]).contains("both"));
        assert!(
            refused(&[("content-length", "5"), ("content-length", "5")]).contains("several Content-Length")
        );
        assert!(
            refused(&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")])
                .contains("several")
        );
        assert!(refused(&[("content-length", "5, 5")]).contains("whole number"));
        assert_eq!(refused(&[("transfer-encoding", "gzip, chunked")]), "unsupported_transfer_coding");
        assert!(
            refused(&[("connection", "close, Content-Length"), ("content-length", "1")])
                .contains("Connection")
        );
        assert_eq!(refused(&[("content-length", "5")]), "forwarded");
        assert_eq!(refused(&[("transfer-encoding", "Chunked")]), "forwarded");
    }

    #[test]
    fn a_request_has_exactly_one_valid_host_unless_it_is_older_than_the_header() {
        assert!(judged("GET", "/", Version::HTTP_11, &[]).is_err());
        assert!(judged("GET", "/", Version::HTTP_10, &[]).is_ok());
        assert!(judged("GET", "/", Version::HTTP_10, &[("host", "a"), ("host", "a")]).is_err());
        for host in ["a", "a.example:80", "127.0.0.1:1", "[::1]:80", "[::1]", "a_b", "a:"] {
            assert!(judged("GET", "/", Version::HTTP_11, &[("host", host)]).is_ok(), "{host}");
        }
        for host in ["", ":80", "a b", "a,b", "a/b", "u@a", "a:b", "[::1", "::1]", "a:123456", "é"] {
            assert!(judged("GET", "/", Version::HTTP_11, &[("host", host)]).is_err(), "{host}");
        }
    }

    #[test]
    fn only_requests_to_this_server_are_forwarded() {
        let host = [("host", "a")];
        assert!(judged("CONNECT", "a:80", Version::HTTP_11, &host).is_err());
        assert!(judged("GET", "a:80", Version::HTTP_11, &host).is_err());
        assert!(judged("GET", "http://u@a/", Version::HTTP_11, &host).is_err());
        assert_eq!(judged("TRACE", "/", Version::HTTP_11, &host), Err(Failure::MethodNotAllowed));
        assert!(judged("GET", "http://a/", Version::HTTP_11, &host).is_ok());
        assert!(judged("OPTIONS", "*", Version::HTTP_11, &host).is_ok());
    }

    #[test]
    fn only_what_is_idempotent_and_has_no_body_may_be_repeated() {
        let plan = |method, headers: &[(&str, &str)]| {
            let all: Vec<_> = [("host", "a")].iter().chain(headers).copied().collect();
            judged(method, "/", Version::HTTP_11, &all).unwrap().is_repeatable
        };
        assert!(plan("GET", &[]) && plan("DELETE", &[]) && plan("PUT", &[("content-length", "0")]));
        assert!(!plan("POST", &[]) && !plan("PATCH", &[]) && !plan("PUT", &[("content-length", "1")]));
    }

    #[test]
    fn an_upgrade_is_asked_for_by_both_headers_and_without_a_body() {
        let asks = |headers: &[(&str, &str)]| {
            let all: Vec<_> = [("host", "a")].iter().chain(headers).copied().collect();
            judged("GET", "/", Version::HTTP_11, &all).unwrap().upgrade
        };
        let both = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
        assert_eq!(asks(&both).unwrap(), "websocket");
        assert_eq!(asks(&both[1..]), None);
        assert_eq!(asks(&[("connection", "upgrade"), ("upgrade", "h2c")]), None);
        assert_eq!(asks(&[both[0], both[1], ("content-length", "3")]), None);
    }
}
