//! Why a member can no longer go on: the first reason stays, and the process has to end.

use tokio::sync::watch;

/// Told by whoever finds out, waited for by whoever ends the process.
#[derive(Debug)]
pub(crate) struct Failure(watch::Sender<Option<String>>);

impl Failure {
    pub(crate) fn none() -> Self {
        Self(watch::Sender::new(None))
    }

    /// The member cannot go on. The first reason stays.
    pub(crate) fn report(&self, reason: &str) {
        let is_first = self.0.send_if_modified(|known| {
            let is_first = known.is_none();
            known.get_or_insert_with(|| reason.to_owned());
            is_first
        });
        if is_first {
            tracing::error!(reason, "the member cannot go on");
        }
    }

    /// Completes with the reason when there is one.
    pub(crate) async fn wait(&self) -> String {
        let mut known = self.0.subscribe();
        let reason = known.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        match reason {
            Some(reason) => reason,
            // `self` holds the sender, so the channel is open for as long as this future lives.
            None => std::future::pending().await,
        }
    }
}
