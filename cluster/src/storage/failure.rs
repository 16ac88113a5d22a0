//! Why the store can no longer be trusted, told once and for good.
//!
//! After a failed write or sync nobody knows what is on the disk, so there is no way back: the first
//! reason stays, every later operation is refused with it, and the process has to end.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;

/// Clones tell of the same store.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    reason: Arc<watch::Sender<Option<Arc<str>>>>,
}

impl Failure {
    /// Of a store that works.
    pub(crate) fn none() -> Self {
        Self { reason: Arc::new(watch::Sender::new(None)) }
    }

    /// Makes the failure known. The first reason stays.
    pub(crate) fn report(&self, reason: &str) {
        let first = self.reason.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                *known = Some(reason.into());
            }
            first
        });
        if first {
            tracing::error!(reason, "the store failed: nothing more is acknowledged");
        }
    }

    /// The reason, if the store has failed.
    pub(crate) fn reason(&self) -> Option<Arc<str>> {
        self.reason.borrow().clone()
    }

    /// Completes when the store has failed, with the reason.
    pub(crate) async fn wait(&self) -> String {
        let mut reasons = self.reason.subscribe();
        let reason = reasons.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        match reason {
            Some(reason) => reason.to_string(),
            // `self` holds the sender, so the channel is open for as long as this future lives.
            None => std::future::pending().await,
        }
    }

    /// An error with the reason, for whoever asks for more after the failure.
    pub(crate) fn error(&self) -> io::Error {
        let reason = self.reason();
        io::Error::other(format!("the store has failed: {}", reason.as_deref().unwrap_or("it was closed")))
    }
}
