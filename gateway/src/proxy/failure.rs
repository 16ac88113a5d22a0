//! Why a request was not forwarded or not answered, and what the client is told.
//!
//! The one place where the gateway's own statuses and their texts are decided. The texts say at
//! which stage it went wrong and name no address: who asks from outside need not know them.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderName, Response, StatusCode};

use crate::routing::NoNode;

/// Carries the code of a [`Failure`], so that an answer of the gateway is told from the service's.
pub(crate) static ERROR_HEADER: HeaderName = HeaderName::from_static("x-kenger-gateway-error");

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The request is malformed or ambiguous; the text says how.
    BadRequest(&'static str),
    /// The method is not forwarded.
    MethodNotAllowed,
    /// The client's body stopped coming.
    ClientBodyTimeout,
    /// The client's body broke off or is malformed.
    ClientBodyBroken,
    /// The body has a transfer coding besides `chunked`.
    UnsupportedCoding,
    /// No node can serve.
    NoNode(NoNode),
    /// A node's host name has no address.
    ResolveFailed,
    /// No connection could be made.
    ConnectFailed,
    /// No connection was made in time.
    ConnectTimeout,
    /// The connection ended after the request was sent and before an answer.
    Disconnected,
    /// The node's answer is not HTTP, or breaks its rules.
    BadResponse,
    /// The node did not answer in time.
    ResponseTimeout,
}

impl Failure {
    /// How many codes there are.
    pub(crate) const COUNT: usize = 16;

    /// All codes, each at its index.
    pub(crate) const CODES: [&'static str; Self::COUNT] = [
        "bad_request",
        "method_not_allowed",
        "client_body_timeout",
        "client_body_broken",
        "unsupported_transfer_coding",
        "nothing_known_yet",
        "no_such_namespace",
        "no_nodes",
        "no_node_online",
        "all_weights_zero",
        "resolve_failed",
        "connect_failed",
        "connect_timeout",
        "upstream_disconnected",
        "bad_response",
        "response_timeout",
    ];

    /// Where it is counted.
    pub(crate) const fn index(self) -> usize {
        match self {
            Failure::BadRequest(_) => 0,
            Failure::MethodNotAllowed => 1,
            Failure::ClientBodyTimeout => 2,
            Failure::ClientBodyBroken => 3,
            Failure::UnsupportedCoding => 4,
            Failure::NoNode(NoNode::NothingKnown) => 5,
            Failure::NoNode(NoNode::NoSuchNamespace) => 6,
            Failure::NoNode(NoNode::NoNodes) => 7,
            Failure::NoNode(NoNode::AllOffline) => 8,
            Failure::NoNode(NoNode::AllWeightsZero) => 9,
            Failure::ResolveFailed => 10,
            Failure::ConnectFailed => 11,
            Failure::ConnectTimeout => 12,
            Failure::Disconnected => 13,
            Failure::BadResponse => 14,
            Failure::ResponseTimeout => 15,
        }
    }

    /// What went wrong, for programs.
    pub(crate) const fn code(self) -> &'static str {
        Self::CODES[self.index()]
    }

    const fn status(self) -> StatusCode {
        match self {
            Failure::BadRequest(_) | Failure::ClientBodyBroken => StatusCode::BAD_REQUEST,
            Failure::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Failure::ClientBodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Failure::UnsupportedCoding => StatusCode::NOT_IMPLEMENTED,
            Failure::NoNode(_) => StatusCode::SERVICE_UNAVAILABLE,
            Failure::ResolveFailed
            | Failure::ConnectFailed
            | Failure::Disconnected
            | Failure::BadResponse => StatusCode::BAD_GATEWAY,
            Failure::ConnectTimeout | Failure::ResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// What went wrong, for people.
    const fn message(self) -> &'static str {
        match self {
            Failure::BadRequest(why) => why,
            Failure::MethodNotAllowed => "this method is not forwarded",
            Failure::ClientBodyTimeout => "the body of the request stopped coming",
            Failure::ClientBodyBroken => "the body of the request broke off or is malformed",
            Failure::UnsupportedCoding => "the only transfer coding that is understood is chunked",
            Failure::NoNode(NoNode::NothingKnown) => "the gateway has not heard from the registry yet",
            Failure::NoNode(NoNode::NoSuchNamespace) => "the registry has no such namespace",
            Failure::NoNode(NoNode::NoNodes) => "the namespace has no nodes",
            Failure::NoNode(NoNode::AllOffline) => "no node of the namespace is online",
            Failure::NoNode(NoNode::AllWeightsZero) => "each online node of the namespace has a weight of 0",
            Failure::ResolveFailed => "the name of the node has no address",
            Failure::ConnectFailed => "no connection to a node could be made",
            Failure::ConnectTimeout => "no connection to a node was made in time",
            Failure::Disconnected => {
                "the node closed the connection before it answered; the request may have been carried out"
            }
            Failure::BadResponse => "the answer of the node is not valid HTTP",
            Failure::ResponseTimeout => {
                "the node did not answer in time; the request may have been carried out"
            }
        }
    }

    /// Whether the fault is the client's, so that its connection is not worth keeping.
    const fn is_clients(self) -> bool {
        self.status().as_u16() < 500 || matches!(self, Failure::UnsupportedCoding)
    }

    /// The answer.
    pub(crate) fn answer<B: From<Bytes>>(self) -> Response<B> {
        let (status, code) = (self.status(), self.code());
        let body = format!(
            "{{\"code\":{},\"error\":\"{code}\",\"message\":\"{}\",\"data\":null}}\n",
            status.as_u16(),
            self.message()
        );
        let mut response = Response::new(B::from(Bytes::from(body)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ERROR_HEADER.clone(), HeaderValue::from_static(code));
        if matches!(self, Failure::NoNode(_)) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.is_clients() {
            headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Why a request was tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetryReason {
    /// A kept connection had been closed: nothing was sent, or what may be repeated.
    Stale,
    /// No connection could be made; nothing was sent.
    Connect,
    /// The connection ended after a request that may be repeated was sent.
    Disconnected,
}

impl RetryReason {
    /// How many reasons there are.
    pub(crate) const COUNT: usize = 3;
    /// All reasons, each at its index.
    pub(crate) const NAMES: [&'static str; Self::COUNT] = ["stale_connection", "connect", "disconnected"];

    /// Where it is counted.
    pub(crate) const fn index(self) -> usize {
        match self {
            RetryReason::Stale => 0,
            RetryReason::Connect => 1,
            RetryReason::Disconnected => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Failure; Failure::COUNT] = [
        Failure::BadRequest("x"),
        Failure::MethodNotAllowed,
        Failure::ClientBodyTimeout,
        Failure::ClientBodyBroken,
        Failure::UnsupportedCoding,
        Failure::NoNode(NoNode::NothingKnown),
        Failure::NoNode(NoNode::NoSuchNamespace),
        Failure::NoNode(NoNode::NoNodes),
        Failure::NoNode(NoNode::AllOffline),
        Failure::NoNode(NoNode::AllWeightsZero),
        Failure::ResolveFailed,
        Failure::ConnectFailed,
        Failure::ConnectTimeout,
        Failure::Disconnected,
        Failure::BadResponse,
        Failure::ResponseTimeout,
    ];

    #[test]
    fn each_failure_is_counted_at_a_place_of_its_own() {
        for (index, failure) in ALL.into_iter().enumerate() {
            assert_eq!(failure.index(), index, "{failure:?}");
        }
    }

    #[test]
    fn each_answer_is_json_that_repeats_its_status_and_code() {
        for failure in ALL {
            let response = failure.answer::<Bytes>();
            let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
            assert_eq!(body["code"], response.status().as_u16(), "{failure:?}");
            assert_eq!(body["error"], failure.code());
            assert_eq!(response.headers()[&ERROR_HEADER], failure.code());
        }
    }
}
