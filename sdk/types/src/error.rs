//! Errors as clients see them. One code, one HTTP status, one rule whether to try again.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What went wrong, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// A field, parameter or header has a value that is not allowed.
    InvalidArgument,
    /// No token, or one that nobody gave out.
    Unauthenticated,
    /// The token does not allow this.
    PermissionDenied,
    /// There is no such namespace.
    NamespaceNotFound,
    /// There is no such node.
    NodeNotFound,
    /// There is no such path.
    PathNotFound,
    /// The path does not take this method.
    MethodNotAllowed,
    /// The name is taken.
    NamespaceExists,
    /// `if_revision` names another revision than the object has.
    RevisionMismatch,
    /// The body is larger than allowed.
    PayloadTooLarge,
    /// The body is not `application/json`.
    UnsupportedMediaType,
    /// More than this member takes on at a time.
    TooManyRequests,
    /// A fault of the member.
    Internal,
    /// No leader is known, or it has no quorum. Nothing was done.
    NoLeader,
    /// The member is stopping, or has not caught up yet. Nothing was done.
    NotReady,
    /// The outcome is not known: it may have been done, or may yet be.
    OutcomeUnknown,
}

impl ErrorCode {
    /// The HTTP status that goes with it, and the number in the envelope's `code`.
    pub const fn status(self) -> u16 {
        match self {
            ErrorCode::InvalidArgument => 400,
            ErrorCode::Unauthenticated => 401,
            ErrorCode::PermissionDenied => 403,
            ErrorCode::NamespaceNotFound | ErrorCode::NodeNotFound | ErrorCode::PathNotFound => 404,
            ErrorCode::MethodNotAllowed => 405,
            ErrorCode::NamespaceExists | ErrorCode::RevisionMismatch => 409,
            ErrorCode::PayloadTooLarge => 413,
            ErrorCode::UnsupportedMediaType => 415,
            ErrorCode::TooManyRequests => 429,
            ErrorCode::Internal => 500,
            ErrorCode::NoLeader | ErrorCode::NotReady => 503,
            ErrorCode::OutcomeUnknown => 504,
        }
    }

    /// Whether the same request may be sent again as it is, because nothing was done.
    pub const fn is_retryable(self) -> bool {
        match self {
            ErrorCode::TooManyRequests | ErrorCode::NoLeader | ErrorCode::NotReady => true,
            ErrorCode::InvalidArgument
            | ErrorCode::Unauthenticated
            | ErrorCode::PermissionDenied
            | ErrorCode::NamespaceNotFound
            | ErrorCode::NodeNotFound
            | ErrorCode::PathNotFound
            | ErrorCode::MethodNotAllowed
            | ErrorCode::NamespaceExists
            | ErrorCode::RevisionMismatch
            | ErrorCode::PayloadTooLarge
            | ErrorCode::UnsupportedMediaType
            | ErrorCode::Internal
            | ErrorCode::OutcomeUnknown => false,
        }
    }
}

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// The HTTP status again, because the original system's clients look here.
    pub code: u16,
    /// What went wrong, for programs.
    pub error: ErrorCode,
    /// What is wrong and what to do, for people.
    pub message: String,
    /// The field, parameter or header that is wrong, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Always null, because the original system's clients expect the key.
    #[serde(default)]
    pub data: (),
}

impl ApiError {
    /// An error without a field.
    pub fn new(error: ErrorCode, message: impl Into<String>) -> Self {
        Self { code: error.status(), error, message: message.into(), field: None, data: () }
    }

    /// An invalid value of `field`.
    pub fn invalid(field: impl Into<String>, message: impl fmt::Display) -> Self {
        let field = field.into();
        let message = if field.is_empty() { message.to_string() } else { format!("{field}: {message}") };
        Self { field: Some(field), ..Self::new(ErrorCode::InvalidArgument, message) }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}
