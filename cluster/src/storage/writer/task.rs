//! The storage thread as a task, for simulations: what it writes and answers, and in which order, is
//! the thread's; only the waiting is the runtime's.

use std::sync::Arc;
use std::sync::mpsc::TryRecvError;

use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Batch, COMMITTED_IDLE, Next, StorageThread};
use crate::env::Disk;

/// Wakes the task when there is a job, and when a door is dropped: it may have been the last.
#[derive(Clone, Default)]
pub(super) struct Wake(Arc<Notify>);

impl Wake {
    /// There is something to look at.
    pub(super) fn wake(&self) {
        self.0.notify_one();
    }

    /// What the task waits for.
    pub(super) fn notify(&self) -> Arc<Notify> {
        Arc::clone(&self.0)
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        self.wake();
    }
}

/// Takes turns until it is told to end. Between writing and syncing it lets the time pass that the
/// disk wants for a sync, so that a crash finds writes that were not synced.
pub(super) async fn run(mut thread: StorageThread, disk: Arc<dyn Disk>, wake: Arc<Notify>) {
    while thread.closed.is_none() {
        let first = match next(&mut thread, &wake).await {
            Next::Job(queued) => Some(queued),
            Next::Nothing => None,
            Next::End => break,
        };
        let mut batch = Batch::default();
        let nothing_queued = first.is_none();
        let written = thread.guard(|thread| thread.write_batch(first, &mut batch));
        tokio::time::sleep(disk.sync_takes()).await;
        if !thread.finish(batch, written, nothing_queued) {
            return refuse_the_rest(thread, &wake).await;
        }
    }
    thread.close();
}

/// `thread` is borrowed alone, not shared: an engine may be used on one thread at a time.
async fn next(thread: &mut StorageThread, wake: &Notify) -> Next {
    loop {
        let next = thread.queue.try_recv();
        match next {
            Ok(queued) => return Next::Job(queued),
            Err(TryRecvError::Disconnected) => return Next::End,
            Err(TryRecvError::Empty) if thread.purge_through.is_some() => return Next::Nothing,
            Err(TryRecvError::Empty) => {}
        }
        if thread.committed.is_some() || thread.purged_since_sync {
            if timeout(COMMITTED_IDLE, wake.notified()).await.is_err() {
                return Next::Nothing;
            }
        } else {
            wake.notified().await;
        }
    }
}

/// As the thread does after a failure: the engine is not used again, and not closed either.
async fn refuse_the_rest(thread: StorageThread, wake: &Notify) {
    loop {
        let next = thread.queue.try_recv();
        match next {
            Ok(queued) => queued.refuse(&thread.failure),
            Err(TryRecvError::Empty) => wake.notified().await,
            Err(TryRecvError::Disconnected) => return,
        }
    }
}
