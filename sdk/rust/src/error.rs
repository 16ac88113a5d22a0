//! What can go wrong with a call, and whether it may be made again.

use std::fmt;
use std::time::Duration;

use kenger_types::{ApiError, ErrorCode};
use thiserror::Error;

use crate::Endpoint;

/// A call failed.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum Error {
    /// The client was given a value that it cannot work with.
    #[error("{0}")]
    Config(String),
    /// A member looked at the request and refused it.
    #[error("{error}")]
    Refused {
        /// Who.
        endpoint: Endpoint,
        /// Why.
        error: ApiError,
    },
    /// No endpoint took the request. Nothing was done.
    #[error("no registry member answered: {}", list(.failures))]
    Unavailable {
        /// What happened at each endpoint, in the order in which they were tried.
        failures: Vec<Failure>,
    },
    /// The request was sent and no answer came: it may have been carried out, or may yet be.
    #[error("it is not known whether the request was carried out: {failure}; look before you try again")]
    OutcomeUnknown {
        /// What happened at the endpoint that may have carried it out.
        failure: Failure,
        /// Whether sending it again does no harm.
        repeatable: bool,
    },
    /// Something answered, but not as a registry member does.
    #[error("{endpoint} does not answer like a Kenger registry: {reason}")]
    Unexpected {
        /// Who.
        endpoint: Endpoint,
        /// What is wrong with the answer.
        reason: String,
    },
    /// A registration could not be ended in time.
    #[error("not deregistered within {0:?}; the node goes offline when its time to live is over")]
    StopTimedOut(Duration),
}

impl Error {
    /// What went wrong, for programs, if a member said so.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Error::Refused { error, .. } => Some(error.error),
            Error::Unavailable { failures } => failures.iter().find_map(|failure| failure.code),
            Error::OutcomeUnknown { .. } => Some(ErrorCode::OutcomeUnknown),
            Error::Config(_) | Error::Unexpected { .. } | Error::StopTimedOut(_) => None,
        }
    }

    /// Whether the same call may be made again as it is: nothing was done, or doing it twice does no
    /// harm.
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Refused { error, .. } => error.error.is_retryable(),
            Error::Unavailable { .. } | Error::StopTimedOut(_) => true,
            Error::OutcomeUnknown { repeatable, .. } => *repeatable,
            Error::Config(_) | Error::Unexpected { .. } => false,
        }
    }

    /// Whether a member said that there is no such node or namespace.
    pub fn is_not_found(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::NodeNotFound | ErrorCode::NamespaceNotFound))
    }
}

/// Why one endpoint did not answer a call.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Who was asked.
    pub endpoint: Endpoint,
    /// What the member said, if it said something.
    pub code: Option<ErrorCode>,
    /// What happened, for people.
    pub reason: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.endpoint, self.reason)
    }
}

fn list(failures: &[Failure]) -> String {
    failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The innermost cause of an error: the outer ones of the HTTP library only repeat the URL.
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
