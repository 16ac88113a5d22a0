//! The one thread that writes: it takes what is queued, writes it in order, syncs once, and answers
//! in order, so that one sync serves everybody who asked in the meantime. In a simulation it is a task
//! ([`task`]) that takes the same turns.
//!
//! Two things do not cause a sync of their own: the committed log id, which is a hint and rides along
//! with the next one, and the removal of purged entries, which is done in small steps so that no
//! append waits for it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use openraft::storage::IOFlushed;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

mod task;

use super::manifest::DataDir;
use super::mark::Mark;
use super::{Failure, LogEngine, MetaKey, StorageStats};
use crate::env::{Storage, Workers};
use crate::raft::types::TypeConfig;

/// How many bytes of entries may wait to be written; more wait at the door.
pub(super) const QUEUE_MAX_BYTES: usize = 16 << 20;
/// How many jobs are written before a sync.
const BATCH_MAX_JOBS: usize = 4_096;
/// How many bytes of entries are written before a sync.
const BATCH_MAX_BYTES: u64 = 8 << 20;
/// How many purged entries are removed between two syncs.
const PURGE_STEP_ENTRIES: usize = 256;
/// How long an idle store keeps the committed log id in memory.
const COMMITTED_IDLE: Duration = Duration::from_millis(250);
const PERMIT_BYTES: usize = 1 << 10;

type Done = oneshot::Sender<io::Result<()>>;

/// What the thread is asked to do.
enum Job {
    Append { first: u64, entries: Vec<Vec<u8>>, bytes: u64, flushed: IOFlushed<TypeConfig> },
    PutMeta { key: MetaKey, value: Vec<u8>, done: Done },
    Truncate { after: Option<u64>, done: Done },
    Purge { through: u64, log_id: Vec<u8> },
    Committed { log_id: Vec<u8> },
    Close { done: oneshot::Sender<()> },
}

struct Queued {
    job: Job,
    room: Option<OwnedSemaphorePermit>,
}

impl Queued {
    /// Answers with the failure.
    fn refuse(self, failure: &Failure) {
        let answer = match self.job {
            Job::Append { flushed, .. } => Answer::Flushed(flushed),
            Job::PutMeta { done, .. } | Job::Truncate { done, .. } => Answer::Done(done),
            Job::Purge { .. } | Job::Committed { .. } => return,
            Job::Close { done } => {
                // An error: nobody waits.
                let _ = done.send(());
                return;
            }
        };
        answer.send(Err(failure.error()));
    }
}

/// The door to the storage thread. The thread ends when it is told to, or with the last door.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: Sender<Queued>,
    room: Arc<Semaphore>,
    failure: Failure,
    /// Wakes the task, where there is no thread. After the sender, so that the last door wakes it to
    /// see that it is the last.
    wake: Option<task::Wake>,
}

/// What the thread begins with.
pub(super) struct WriterParts {
    pub(super) engine: Box<dyn LogEngine>,
    /// A purge that an earlier run did not finish.
    pub(super) purge_through: Option<u64>,
    /// How often the engine was synced, by its own count.
    pub(super) syncs: u64,
    /// Stays locked until the engine is closed.
    pub(super) data_dir: Option<DataDir>,
    pub(super) stats: Arc<StorageStats>,
    pub(super) failure: Failure,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(super) fn start(parts: WriterParts, storage: &Storage) -> io::Result<Self> {
        let WriterParts { engine, purge_through, syncs, data_dir, stats, failure } = parts;
        let mark = data_dir.as_ref().map(|data_dir| data_dir.mark(syncs)).transpose()?;
        let (jobs, queue) = channel();
        let room = Arc::new(Semaphore::new(QUEUE_MAX_BYTES / PERMIT_BYTES));
        let thread = StorageThread {
            engine,
            data_dir,
            queue,
            stats,
            failure: failure.clone(),
            committed: None,
            purge_through,
            syncs,
            mark,
            purged_since_sync: false,
            closed: None,
        };
        let wake = match storage.workers {
            Workers::Threads => {
                thread::Builder::new().name("kenger-storage".into()).spawn(move || thread.run())?;
                None
            }
            Workers::Inline => {
                let wake = task::Wake::default();
                tokio::spawn(task::run(thread, Arc::clone(&storage.disk), wake.notify()));
                Some(wake)
            }
        };
        Ok(Self { jobs, room, failure, wake })
    }

    /// Waits until there is room for `bytes` more bytes in the queue.
    pub(super) async fn room(&self, bytes: u64) -> io::Result<OwnedSemaphorePermit> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(QUEUE_MAX_BYTES);
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(permits).await;
        room.map_err(|_| self.failure.error())
    }

    /// Appends encoded entries; `flushed` is told when they are durable.
    pub(super) fn append(
        &self,
        first: u64,
        entries: Vec<Vec<u8>>,
        room: OwnedSemaphorePermit,
        flushed: IOFlushed<TypeConfig>,
    ) -> io::Result<()> {
        let bytes = entries.iter().map(|entry| entry.len() as u64).sum();
        self.queue(Job::Append { first, entries, bytes, flushed }, Some(room))
    }

    /// Sets a value and returns when it is durable.
    pub(super) async fn put_meta(&self, key: MetaKey, value: Vec<u8>) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.queue(Job::PutMeta { key, value, done }, None)?;
        answer.await.unwrap_or_else(|_| Err(self.failure.error()))
    }

    /// Removes the entries after `after` and returns when that is durable.
    pub(super) async fn truncate_after(&self, after: Option<u64>) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.queue(Job::Truncate { after, done }, None)?;
        answer.await.unwrap_or_else(|_| Err(self.failure.error()))
    }

    /// Removes the entries up to and including `through` before long. `log_id` is written first, so
    /// that a crash in between leaves no hole.
    pub(super) fn purge(&self, through: u64, log_id: Vec<u8>) -> io::Result<()> {
        self.queue(Job::Purge { through, log_id }, None)
    }

    /// Remembers the committed log id before long.
    pub(super) fn committed(&self, log_id: Vec<u8>) -> io::Result<()> {
        self.queue(Job::Committed { log_id }, None)
    }

    /// Writes what is queued, closes the engine and unlocks the directory. Everything that is asked
    /// for afterwards is refused.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue(Job::Close { done }, None).is_ok() {
            // An error: the thread has ended before, which is as good.
            let _ = closed.await;
        }
    }

    fn queue(&self, job: Job, room: Option<OwnedSemaphorePermit>) -> io::Result<()> {
        if self.failure.reason().is_some() {
            return Err(self.failure.error());
        }
        self.jobs.send(Queued { job, room }).map_err(|_| self.failure.error())?;
        if let Some(wake) = &self.wake {
            wake.wake();
        }
        Ok(())
    }
}

struct StorageThread {
    engine: Box<dyn LogEngine>,
    /// Locked until the engine is closed.
    data_dir: Option<DataDir>,
    queue: Receiver<Queued>,
    stats: Arc<StorageStats>,
    failure: Failure,
    /// Not written yet.
    committed: Option<Vec<u8>>,
    /// Entries up to here are yet to be removed.
    purge_through: Option<u64>,
    purged_since_sync: bool,
    closed: Option<oneshot::Sender<()>>,
    /// By the engine's own count.
    syncs: u64,
    /// Where that count is told outside of the engine.
    mark: Option<Mark>,
}

enum Next {
    Job(Queued),
    Nothing,
    End,
}

/// Who is waiting for one sync.
#[derive(Default)]
struct Batch {
    answers: Vec<Answer>,
    rooms: Vec<OwnedSemaphorePermit>,
    jobs: usize,
    entries: u64,
    bytes: u64,
}

enum Answer {
    Flushed(IOFlushed<TypeConfig>),
    Done(Done),
}

impl Answer {
    fn send(self, result: io::Result<()>) {
        match self {
            Answer::Flushed(flushed) => flushed.io_completed(result),
            // An error: whoever asked has gone.
            Answer::Done(done) => drop(done.send(result)),
        }
    }
}

impl StorageThread {
    fn run(mut self) {
        while self.closed.is_none() {
            let first = match self.next() {
                Next::Job(queued) => Some(queued),
                Next::Nothing => None,
                Next::End => break,
            };
            if !self.turn(first) {
                self.refuse_the_rest();
                return;
            }
        }
        self.close();
    }

    /// Ends in good order.
    fn close(mut self) {
        let closed = self.closed.take();
        if !self.guard(Self::write_leftovers) {
            self.refuse_the_rest();
            return;
        }
        drop(self.engine);
        drop(self.data_dir);
        if let Some(closed) = closed {
            // An error: nobody waits.
            let _ = closed.send(());
        }
    }

    fn next(&self) -> Next {
        if self.purge_through.is_some() {
            return match self.queue.try_recv() {
                Ok(queued) => Next::Job(queued),
                Err(TryRecvError::Empty) => Next::Nothing,
                Err(TryRecvError::Disconnected) => Next::End,
            };
        }
        if self.committed.is_some() || self.purged_since_sync {
            return match self.queue.recv_timeout(COMMITTED_IDLE) {
                Ok(queued) => Next::Job(queued),
                Err(RecvTimeoutError::Timeout) => Next::Nothing,
                Err(RecvTimeoutError::Disconnected) => Next::End,
            };
        }
        self.queue.recv().map_or(Next::End, Next::Job)
    }

    /// Writes one batch, or does what can wait if there is none. Returns whether the store still
    /// works.
    fn turn(&mut self, first: Option<Queued>) -> bool {
        let mut batch = Batch::default();
        let nothing_queued = first.is_none();
        let written = self.guard(|thread| thread.write_batch(first, &mut batch));
        self.finish(batch, written, nothing_queued)
    }

    /// Syncs what was written, answers, and does a step of what can wait.
    fn finish(&mut self, batch: Batch, written: bool, nothing_queued: bool) -> bool {
        let written = written && self.guard(|thread| thread.sync_batch(&batch));
        for answer in batch.answers {
            answer.send(if written { Ok(()) } else { Err(self.failure.error()) });
        }
        written
            && self.guard(|thread| {
                if thread.purge_through.is_some() {
                    thread.purge_step()
                } else if nothing_queued {
                    thread.write_leftovers()
                } else {
                    Ok(())
                }
            })
    }

    fn write_batch(&mut self, first: Option<Queued>, batch: &mut Batch) -> io::Result<()> {
        let mut next = first;
        while let Some(queued) = next {
            batch.jobs += 1;
            batch.rooms.extend(queued.room);
            self.write(queued.job, batch)?;
            let full = batch.jobs >= BATCH_MAX_JOBS || batch.bytes >= BATCH_MAX_BYTES;
            next = if full || self.closed.is_some() { None } else { self.queue.try_recv().ok() };
        }
        Ok(())
    }

    fn sync_batch(&mut self, batch: &Batch) -> io::Result<()> {
        if batch.answers.is_empty() {
            return Ok(());
        }
        if let Some(committed) = self.committed.take() {
            self.engine.put_meta(MetaKey::Committed, &committed)?;
        }
        self.sync(batch.entries, batch.bytes)
    }

    fn write(&mut self, job: Job, batch: &mut Batch) -> io::Result<()> {
        match job {
            Job::Append { first, entries, bytes, flushed } => {
                batch.entries += entries.len() as u64;
                batch.bytes += bytes;
                batch.answers.push(Answer::Flushed(flushed));
                self.engine.append(first, &entries)
            }
            Job::PutMeta { key, value, done } => {
                batch.answers.push(Answer::Done(done));
                self.engine.put_meta(key, &value)
            }
            Job::Truncate { after, done } => {
                batch.answers.push(Answer::Done(done));
                self.engine.truncate_after(after)
            }
            Job::Purge { through, log_id } => {
                self.purge_through = self.purge_through.max(Some(through));
                self.engine.put_meta(MetaKey::Purged, &log_id)
            }
            Job::Committed { log_id } => {
                self.committed = Some(log_id);
                Ok(())
            }
            Job::Close { done } => {
                self.closed = Some(done);
                Ok(())
            }
        }
    }

    fn purge_step(&mut self) -> io::Result<()> {
        let Some(through) = self.purge_through else { return Ok(()) };
        self.purged_since_sync = true;
        if self.engine.purge(through, PURGE_STEP_ENTRIES)? {
            self.purge_through = None;
        }
        Ok(())
    }

    fn write_leftovers(&mut self) -> io::Result<()> {
        let committed = self.committed.take();
        if let Some(committed) = &committed {
            self.engine.put_meta(MetaKey::Committed, committed)?;
        }
        if committed.is_some() || self.purged_since_sync {
            self.sync(0, 0)?;
        }
        Ok(())
    }

    fn sync(&mut self, entries: u64, bytes: u64) -> io::Result<()> {
        let begun = Instant::now();
        self.syncs += 1;
        self.engine.put_meta(MetaKey::Syncs, &self.syncs.to_be_bytes())?;
        self.engine.sync()?;
        if let Some(mark) = &self.mark {
            mark.note(self.syncs)?;
        }
        self.purged_since_sync = false;
        self.stats.count_sync(begun.elapsed(), entries, bytes);
        Ok(())
    }

    /// Runs `work`; an error or a panic of the engine is final.
    fn guard(&mut self, work: impl FnOnce(&mut Self) -> io::Result<()>) -> bool {
        let reason = match catch_unwind(AssertUnwindSafe(|| work(self))) {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the storage engine panicked".into(),
        };
        self.failure.report(&reason);
        false
    }

    /// Answers everything that still comes with the failure, until nobody can ask any more.
    fn refuse_the_rest(self) {
        // An engine that failed is not closed: closing writes, and some engines wait for ever for a
        // write that cannot succeed. The process ends soon; until then the directory stays locked.
        let Self { engine, data_dir, queue, failure, .. } = self;
        std::mem::forget((engine, data_dir));
        for queued in queue {
            queued.refuse(&failure);
        }
    }
}
