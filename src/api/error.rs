//! Which HTTP status and headers an answer has. The only file that names `StatusCode`.

use std::fmt;

use axum::Json;
use axum::http::header::{CONNECTION, ETAG, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use kenger_cluster::state::Rejection;
use kenger_cluster::{ProposeError, ReadError};
use kenger_types::{ApiError, ErrorCode};

/// After this many seconds the same request is worth another try.
const RETRY_AFTER_SECONDS: &str = "1";

/// An answer that is not a success.
#[derive(Debug)]
pub(super) struct Failure {
    error: ApiError,
    extra: Extra,
}

/// A header that goes with some failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extra {
    None,
    /// How to authenticate: without a token, or (`wrong`) with one that nobody gave out.
    Challenge {
        wrong: bool,
    },
    /// The connection cannot be used again.
    Close,
}

impl Extra {
    fn header(self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Extra::None => None,
            Extra::Challenge { wrong: false } => {
                Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"kenger\"")))
            }
            Extra::Challenge { wrong: true } => Some((
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"kenger\", error=\"invalid_token\""),
            )),
            Extra::Close => Some((CONNECTION, HeaderValue::from_static("close"))),
        }
    }
}

impl Failure {
    pub(super) fn new(error: ErrorCode, message: impl Into<String>) -> Self {
        ApiError::new(error, message).into()
    }

    pub(super) fn invalid(field: impl Into<String>, message: impl fmt::Display) -> Self {
        ApiError::invalid(field, message).into()
    }

    /// No token, or (`wrong`) one that nobody gave out.
    pub(super) fn unauthenticated(wrong: bool) -> Self {
        let message = if wrong {
            "the token is not one of this cluster's"
        } else {
            "send a token: `Authorization: Bearer TOKEN` or `X-API-Token: TOKEN`"
        };
        Self { error: ApiError::new(ErrorCode::Unauthenticated, message), extra: Extra::Challenge { wrong } }
    }

    /// The body was not read to its end, so the connection cannot be used again.
    pub(super) fn closing(mut self) -> Self {
        self.extra = Extra::Close;
        self
    }

    #[cfg(test)]
    pub(super) fn code(&self) -> ErrorCode {
        self.error.error
    }

    #[cfg(test)]
    pub(super) fn error(&self) -> &ApiError {
        &self.error
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self { error, extra: Extra::None }
    }
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        let (code, hint) = match &rejection {
            Rejection::NamespaceNotFound(_) => {
                (ErrorCode::NamespaceNotFound, "; `GET /api/upstream/namespace/list` shows what there is")
            }
            Rejection::NodeNotFound(_) => {
                (ErrorCode::NodeNotFound, "; it is gone, or has not registered yet")
            }
            Rejection::NamespaceExists(_) => (ErrorCode::NamespaceExists, ""),
            Rejection::RevisionMismatch { .. } => (ErrorCode::RevisionMismatch, ""),
        };
        Self::new(code, format!("{rejection}{hint}"))
    }
}

impl From<ProposeError> for Failure {
    fn from(error: ProposeError) -> Self {
        let message = error.to_string();
        let code = match error {
            ProposeError::Rejected(rejection) => return rejection.into(),
            ProposeError::NoLeader(_) => ErrorCode::NoLeader,
            ProposeError::TooMany(_) => ErrorCode::TooManyRequests,
            ProposeError::Unknown(_) => ErrorCode::OutcomeUnknown,
            ProposeError::Stopping => ErrorCode::NotReady,
        };
        Self::new(code, message)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let code = match error {
            ReadError::NoLeader(_) => ErrorCode::NoLeader,
            ReadError::TooMany(_) => ErrorCode::TooManyRequests,
            ReadError::Behind(_) | ReadError::Stopping => ErrorCode::NotReady,
        };
        Self::new(code, error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let code = self.error.error;
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.error)).into_response();
        if code.is_retryable() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        if let Some((name, value)) = self.extra.header() {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// What the asker has is still right.
pub(super) fn not_modified(etag: HeaderValue) -> Response {
    (StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response()
}

/// Another member answers this, at `location`.
pub(super) fn elsewhere(location: HeaderValue) -> Response {
    (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, location)]).into_response()
}
