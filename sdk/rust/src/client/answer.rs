//! What an HTTP answer means for a call: the one place that decides it.

use std::time::Duration;

use kenger_types::api::header;
use kenger_types::{ApiError, ErrorCode, Revision};
use reqwest::StatusCode;
use reqwest::header::{ETAG, HeaderMap};
use serde::Deserialize;

/// A success, not yet decoded.
#[derive(Debug)]
pub(super) struct RawAnswer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl RawAnswer {
    pub(super) fn revision(&self) -> Option<Revision> {
        self.number(header::REVISION).map(Revision)
    }

    pub(super) fn leader_lag(&self) -> Option<Duration> {
        self.number(header::LEADER_LAG_MS).map(Duration::from_millis)
    }

    pub(super) fn etag(&self) -> Option<String> {
        self.headers.get(ETAG)?.to_str().ok().map(str::to_owned)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.headers.get(name)?.to_str().ok()?.parse().ok()
    }
}

/// Why an endpoint did not do what it was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unsuccessful {
    /// Looked at and refused; another member would say the same.
    Refused(ApiError),
    /// Nothing was done; another member may do it.
    NotDone(Option<ErrorCode>, String),
    /// It may have been done.
    Unknown(Option<ErrorCode>, String),
    /// Not an answer of a registry member.
    Unexpected(String),
}

/// The error body as far as it can be understood: a later version may have codes that this one does
/// not know.
#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorCode,
    message: String,
    #[serde(default)]
    field: Option<String>,
}

/// What an answer of this status with this body means.
pub(crate) fn judge(status: StatusCode, body: &[u8]) -> Result<(), Unsuccessful> {
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        return Ok(());
    }
    let told = serde_json::from_slice::<ErrorBody>(body).ok();
    let code = told.as_ref().map(|told| told.error);
    let text = told.as_ref().map_or_else(|| describe(status, body), |told| told.message.clone());
    Err(match status {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Unsuccessful::NotDone(code, text),
        status if status.is_server_error() => Unsuccessful::Unknown(code, text),
        _ => match told {
            Some(told) => Unsuccessful::Refused(ApiError {
                field: told.field,
                ..ApiError::new(told.error, told.message)
            }),
            None => Unsuccessful::Unexpected(text),
        },
    })
}

/// Most characters of a foreign body that are shown.
const EXCERPT_MAX_CHARS: usize = 120;

fn describe(status: StatusCode, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    let text = match serde_json::from_slice::<Message>(body) {
        Ok(told) => told.message,
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let excerpt: String = printable.take(EXCERPT_MAX_CHARS).collect();
    let excerpt = excerpt.trim();
    if excerpt.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {excerpt}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> Unsuccessful {
        judge(StatusCode::from_u16(status).unwrap(), body.as_bytes()).unwrap_err()
    }

    fn told(error: ErrorCode) -> Unsuccessful {
        let body = serde_json::to_string(&ApiError::new(error, "why")).unwrap();
        of(error.status(), &body)
    }

    #[test]
    fn each_error_code_means_what_its_contract_says() {
        use ErrorCode::*;
        for code in [TooManyRequests, NoLeader, NotReady] {
            assert_eq!(told(code), Unsuccessful::NotDone(Some(code), "why".to_owned()));
            assert!(code.is_retryable());
        }
        for code in [Internal, OutcomeUnknown] {
            assert_eq!(told(code), Unsuccessful::Unknown(Some(code), "why".to_owned()));
        }
        for code in [
            InvalidArgument,
            Unauthenticated,
            PermissionDenied,
            NamespaceNotFound,
            NodeNotFound,
            PathNotFound,
        ] {
            assert_eq!(told(code), Unsuccessful::Refused(ApiError::new(code, "why")));
        }
        for code in
            [MethodNotAllowed, NamespaceExists, RevisionMismatch, PayloadTooLarge, UnsupportedMediaType]
        {
            assert_eq!(told(code), Unsuccessful::Refused(ApiError::new(code, "why")));
        }
    }

    #[test]
    fn the_field_of_an_error_is_kept() {
        let body = serde_json::to_string(&ApiError::invalid("port", "too large")).unwrap();
        let Unsuccessful::Refused(error) = of(400, &body) else { panic!("not refused") };
        assert_eq!(error.field.as_deref(), Some("port"));
        assert_eq!(error.message, "port: too large");
    }

    #[test]
    fn answers_of_others_are_judged_by_their_status() {
        assert_eq!(
            of(503, "<html>"),
            Unsuccessful::NotDone(None, "HTTP 503 Service Unavailable: <html>".to_owned())
        );
        assert_eq!(of(502, ""), Unsuccessful::Unknown(None, "HTTP 502 Bad Gateway".to_owned()));
        assert_eq!(of(404, "no\nthing"), Unsuccessful::Unexpected("HTTP 404 Not Found: no thing".to_owned()));
        assert_eq!(of(302, ""), Unsuccessful::Unexpected("HTTP 302 Found".to_owned()));
    }

    #[test]
    fn not_modified_is_a_success() {
        assert_eq!(judge(StatusCode::NOT_MODIFIED, b""), Ok(()));
        assert_eq!(judge(StatusCode::OK, b"{}"), Ok(()));
    }

    #[test]
    fn an_error_code_of_a_later_version_is_not_misread() {
        let later = r#"{"code":409,"error":"frozen","message":"the namespace is frozen","data":null}"#;
        assert_eq!(
            of(409, later),
            Unsuccessful::Unexpected("HTTP 409 Conflict: the namespace is frozen".to_owned())
        );
        let later = r#"{"code":503,"error":"restoring","message":"come back","data":null}"#;
        assert!(matches!(of(503, later), Unsuccessful::NotDone(None, _)));
    }
}
