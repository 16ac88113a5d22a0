//! What went wrong, what to do about it, and the exit code that says so to scripts.

use std::io;
use std::process::ExitCode;

use kenger_sdk::Error;
use kenger_types::ErrorCode;

/// Exit codes, after BSD's `sysexits` where one fits. Documented in `--help`; scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// Anything that has no code of its own.
    Other = 1,
    /// The command line or the environment is wrong; nothing was sent.
    Usage = 64,
    /// The registry refused a value.
    Invalid = 65,
    /// There is no such namespace or node.
    NotFound = 66,
    /// No member answered, or none knows a leader. Nothing was done.
    Unavailable = 69,
    /// The name is taken, or the object has another revision than `--if-revision` says.
    Conflict = 73,
    /// It is not known whether it was done.
    Unknown = 75,
    /// No token, a wrong one, or one that does not allow this.
    Permission = 77,
}

/// The codes as `--help` shows them.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
   0  done
   1  failed for a reason that has no code of its own
  64  wrong command line or environment; nothing was sent
  65  the registry refused a value
  66  no such namespace or node
  69  no member answered, or none knows a leader; nothing was done, try again
  73  the name is taken, or --if-revision does not match
  75  not known whether it was done; look before you try again
  77  no token, a wrong one, or one that does not allow this";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// A command did not do what it was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The registry, or the way to it.
    Registry(Error),
    /// What was typed cannot be done.
    Usage(String),
    /// What was named is not there.
    NotFound(String),
    /// It was done, and what it shows is a failure.
    Unhealthy(String),
    /// Any other reason.
    Other(String),
    /// The person said no.
    Declined,
    /// Reading or writing failed.
    Io(io::Error),
    /// Nobody reads the output any more.
    OutputClosed,
}

impl Failure {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Failure::Registry(error) => of_registry(error),
            Failure::Usage(_) => Exit::Usage,
            Failure::NotFound(_) => Exit::NotFound,
            Failure::Unhealthy(_) => Exit::Unavailable,
            Failure::Other(_) | Failure::Declined | Failure::Io(_) => Exit::Other,
            Failure::OutputClosed => Exit::Ok,
        }
    }

    /// Says it on standard error, with what to do.
    pub(crate) fn print(&self) {
        let text = match self {
            Failure::Registry(error) => error.to_string(),
            Failure::Usage(text)
            | Failure::NotFound(text)
            | Failure::Unhealthy(text)
            | Failure::Other(text) => text.clone(),
            Failure::Declined => "nothing was done".to_owned(),
            Failure::Io(error) => error.to_string(),
            Failure::OutputClosed => return,
        };
        crate::output::note(&format!("kengerctl: {text}"));
        if let Some(hint) = self.hint() {
            crate::output::note(&format!("  {hint}"));
        }
    }

    /// What to do, where the message does not say so itself.
    fn hint(&self) -> Option<&'static str> {
        let Failure::Registry(error) = self else { return None };
        match (self.exit(), error) {
            (Exit::Permission, _) => Some("the token comes from KENGER_TOKEN or --token"),
            (Exit::Unavailable, Error::Unavailable { failures })
                if failures.iter().all(|failure| failure.code.is_none()) =>
            {
                Some("other members are named by --endpoints or KENGER_ENDPOINTS")
            }
            _ => None,
        }
    }
}

fn of_registry(error: &Error) -> Exit {
    match error {
        Error::Config(_) => Exit::Usage,
        Error::Refused { error, .. } => of_code(error.error),
        Error::Unavailable { .. } => Exit::Unavailable,
        Error::OutcomeUnknown { .. } => Exit::Unknown,
        _ => Exit::Other,
    }
}

fn of_code(code: ErrorCode) -> Exit {
    match code {
        ErrorCode::InvalidArgument | ErrorCode::PayloadTooLarge | ErrorCode::UnsupportedMediaType => {
            Exit::Invalid
        }
        ErrorCode::Unauthenticated | ErrorCode::PermissionDenied => Exit::Permission,
        ErrorCode::NamespaceNotFound | ErrorCode::NodeNotFound => Exit::NotFound,
        ErrorCode::NamespaceExists | ErrorCode::RevisionMismatch => Exit::Conflict,
        ErrorCode::TooManyRequests | ErrorCode::NoLeader | ErrorCode::NotReady => Exit::Unavailable,
        ErrorCode::OutcomeUnknown => Exit::Unknown,
        ErrorCode::PathNotFound | ErrorCode::MethodNotAllowed | ErrorCode::Internal => Exit::Other,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Registry(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::Io(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_lists_every_exit_code() {
        let all = [
            Exit::Ok,
            Exit::Other,
            Exit::Usage,
            Exit::Invalid,
            Exit::NotFound,
            Exit::Unavailable,
            Exit::Conflict,
            Exit::Unknown,
            Exit::Permission,
        ];
        let listed: Vec<u8> = EXIT_CODES
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(listed, all.map(|exit| exit as u8));
    }
}
