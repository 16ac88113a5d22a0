//! Proposes what the ticks found: nodes that were silent for too long. One command at a time, so that
//! whatever is marked when the next one is made is known to be unsettled.

use std::sync::Arc;

use kenger_state::{Command, Output};
use tokio::sync::Notify;

use super::Cluster;
use super::book::Book;

/// Proposes expiries.
#[derive(Clone)]
pub(super) struct Expiry {
    book: Arc<Book>,
    cluster: Arc<dyn Cluster>,
    due: Arc<Notify>,
}

impl Expiry {
    pub(super) fn new(book: Arc<Book>, cluster: Arc<dyn Cluster>) -> Self {
        Self { book, cluster, due: Arc::new(Notify::new()) }
    }

    /// A tick found something to propose.
    pub(super) fn due(&self) {
        self.due.notify_one();
    }

    /// Works for ever.
    pub(super) async fn run(self) {
        loop {
            self.due.notified().await;
            self.round().await;
        }
    }

    /// Proposes all that is due, batch by batch. What fails is tried again after the next tick, as
    /// long as it is not settled otherwise.
    pub(super) async fn round(&self) {
        while let Some(term) = self.cluster.lead() {
            let Some((session, _)) = self.book.open(term) else { return };
            // Without a quorum nothing would come of it but entries that wait.
            if !self.cluster.quorum_is_fresh(term) {
                return;
            }
            let Some(command) = self.book.expire(session) else { return };
            let (offline, delete) = counts(&command);
            match self.cluster.propose_in_term(term, command).await {
                Ok(Output::Expired { offline, deleted }) => {
                    tracing::info!(offline, deleted, "nodes were silent for too long");
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(offline, delete, %error, "silent nodes could not be expired yet");
                }
            }
            if self.book.is_unsettled(session) {
                return;
            }
        }
    }
}

fn counts(command: &Command) -> (usize, usize) {
    match command {
        Command::Expire { offline, delete } => (offline.len(), delete.len()),
        _ => (0, 0),
    }
}
