//! What the gateway removes from and adds to the headers of requests and responses.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::Uri;
use http::{HeaderMap, Request};

use super::rules::{Plan, connection_options};
use crate::config::ForwardedTrust;

static X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// How many headers the gateway adds at most.
const ADDED_MAX: usize = 8;

/// What the headers that the gateway adds say of a connection; made once for each.
#[derive(Debug)]
pub(crate) struct Forwarded {
    pub(crate) trust: ForwardedTrust,
    /// The address of the client, or of the proxy before us.
    pub(crate) peer: HeaderValue,
    /// The port that it connected to.
    pub(crate) port: HeaderValue,
}

/// Makes a client's request into the one that a node gets.
pub(crate) fn prepare_request<B>(request: &mut Request<B>, plan: &Plan, forwarded: &Forwarded) {
    let authority = to_origin_form(request.uri_mut());
    let headers = request.headers_mut();
    let wants_trailers = wants_trailers(headers);
    let is_chunked = headers.contains_key(TRANSFER_ENCODING);
    remove_hop_by_hop(headers);
    headers.reserve(ADDED_MAX);
    if let Some(authority) = authority {
        headers.insert(HOST, authority);
    }
    add_forwarded(headers, forwarded);
    if is_chunked {
        // Said explicitly, or the body of a GET would be left out.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if let Some(protocol) = &plan.upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    } else if wants_trailers {
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Removes from a node's response what was meant for the gateway alone.
pub(crate) fn prepare_response(headers: &mut HeaderMap) {
    if headers.contains_key(TRANSFER_ENCODING) {
        // It is framed anew; a length next to it was not its length.
        headers.remove(CONTENT_LENGTH);
    }
    remove_hop_by_hop(headers);
}

/// Takes the scheme and authority out of a URL; what a client sends in a URL counts, not its `Host`
/// (RFC 9112, section 3.2.2).
fn to_origin_form(uri: &mut Uri) -> Option<HeaderValue> {
    let authority = HeaderValue::from_str(uri.authority()?.as_str()).ok()?;
    let path = uri.path_and_query().cloned()?;
    *uri = Uri::from(path);
    Some(authority)
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = connection_options(headers)
            .filter_map(|option| HeaderName::from_bytes(option.as_bytes()).ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    while let Some(name) = headers.keys().find(|name| is_hop_by_hop(name)).cloned() {
        headers.remove(name);
    }
}

/// Whether a header is about one connection and not about the message. Also those that the gateway
/// answers itself (`Expect`) and all of the `Proxy-` family.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    *name == CONNECTION
        || *name == TRANSFER_ENCODING
        || *name == UPGRADE
        || *name == TE
        || *name == EXPECT
        || *name == PROXY_AUTHORIZATION
        || *name == PROXY_AUTHENTICATE
        || matches!(
            name.as_str().as_bytes(),
            b"keep-alive" | b"proxy" | [b'p', b'r', b'o', b'x', b'y', b'-', ..]
        )
}

fn wants_trailers(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TE).iter().filter_map(|value| value.to_str().ok());
    codings.any(|value| value.split(',').any(|coding| coding.trim().eq_ignore_ascii_case("trailers")))
}

fn add_forwarded(headers: &mut HeaderMap, forwarded: &Forwarded) {
    let is_trusted = forwarded.trust == ForwardedTrust::Keep;
    let host = headers.get(HOST).cloned();
    let mut set = |name: &HeaderName, value: HeaderValue| {
        if !is_trusted || !headers.contains_key(name) {
            headers.insert(name.clone(), value);
        }
    };
    set(&X_REAL_IP, forwarded.peer.clone());
    set(&X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    set(&X_FORWARDED_PORT, forwarded.port.clone());
    match host {
        Some(host) => set(&X_FORWARDED_HOST, host),
        None if is_trusted => {}
        None => {
            headers.remove(&X_FORWARDED_HOST);
        }
    }
    let chain = match forwarded.trust {
        ForwardedTrust::Replace => None,
        ForwardedTrust::Append | ForwardedTrust::Keep => appended(headers, &forwarded.peer),
    };
    headers.insert(X_FORWARDED_FOR.clone(), chain.unwrap_or_else(|| forwarded.peer.clone()));
}

/// The addresses that the client sent, followed by its own; `None` if it sent none.
fn appended(headers: &HeaderMap, peer: &HeaderValue) -> Option<HeaderValue> {
    let mut values = headers.get_all(&X_FORWARDED_FOR).iter();
    let mut chain = values.next()?.as_bytes().to_vec();
    for value in values.chain([peer]) {
        chain.extend_from_slice(b", ");
        chain.extend_from_slice(value.as_bytes());
    }
    HeaderValue::from_bytes(&chain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_UPGRADE: Plan = Plan { is_repeatable: true, has_host: true, upgrade: None };

    fn prepared(uri: &str, trust: ForwardedTrust, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        let forwarded = Forwarded {
            trust,
            peer: HeaderValue::from_static("192.0.2.1"),
            port: HeaderValue::from_static("18080"),
        };
        prepare_request(&mut request, &NO_UPGRADE, &forwarded);
        request
    }

    fn all(request: &Request<()>) -> Vec<String> {
        let mut lines: Vec<_> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_is_about_one_connection_is_not_forwarded() {
        let request = prepared(
            "/x?y",
            ForwardedTrust::Append,
            &[
                ("host", "a:1"),
                ("connection", "close, X-Foo"),
                ("connection", "x-forwarded-for"),
                ("x-foo", "secret"),
                ("x-forwarded-for", "198.51.100.6"),
                ("keep-alive", "5"),
                ("te", "gzip"),
                ("expect", "100-continue"),
                ("upgrade", "websocket"),
                ("proxy", "http://evil"),
                ("proxy-authorization", "z"),
                ("proxy-anything", "z"),
                ("x-kept", "1"),
            ],
        );
        let expected = [
            "host: a:1",
            "x-forwarded-for: 192.0.2.1",
            "x-forwarded-host: a:1",
            "x-forwarded-port: 18080",
            "x-forwarded-proto: http",
            "x-kept: 1",
            "x-real-ip: 192.0.2.1",
        ];
        assert_eq!(all(&request), expected);
        assert_eq!(request.uri(), "/x?y");
    }

    #[test]
    fn the_clients_word_about_itself_counts_as_far_as_it_is_trusted() {
        let sent = [
            ("host", "a"),
            ("x-forwarded-for", "203.0.113.1, 203.0.113.2"),
            ("x-forwarded-for", "203.0.113.3"),
            ("x-forwarded-proto", "https"),
            ("x-real-ip", "203.0.113.1"),
        ];
        let values = |trust| {
            let request = prepared("/", trust, &sent);
            let value = |name: &HeaderName| request.headers()[name].to_str().unwrap().to_owned();
            (value(&X_FORWARDED_FOR), value(&X_FORWARDED_PROTO), value(&X_REAL_IP))
        };
        let expect = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        let chain = "203.0.113.1, 203.0.113.2, 203.0.113.3, 192.0.2.1";
        assert_eq!(values(ForwardedTrust::Append), expect(chain, "http", "192.0.2.1"));
        assert_eq!(values(ForwardedTrust::Keep), expect(chain, "https", "203.0.113.1"));
        assert_eq!(values(ForwardedTrust::Replace), expect("192.0.2.1", "http", "192.0.2.1"));
    }

    #[test]
    fn the_authority_of_a_url_replaces_the_host() {
        let request = prepared("http://b.example:81/p?q", ForwardedTrust::Append, &[("host", "a")]);
        assert_eq!(request.uri(), "/p?q");
        assert_eq!(request.headers()[HOST], "b.example:81");
    }

    #[test]
    fn trailers_are_asked_for_if_the_client_does() {
        let request =
            prepared("/", ForwardedTrust::Append, &[("host", "a"), ("connection", "TE"), ("te", "trailers")]);
        assert_eq!(request.headers()[TE], "trailers");
        assert_eq!(request.headers()[CONNECTION], "te");
    }

    #[test]
    fn a_response_loses_what_was_meant_for_the_gateway() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "x-a"),
            ("x-a", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("proxy-authenticate", "Basic"),
            ("x-b", "2"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        prepare_response(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-b"]);
    }
}
