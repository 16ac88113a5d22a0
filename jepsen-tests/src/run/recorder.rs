//! Where everybody who takes part in a run writes down what happened, by one clock.

use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use crate::history::{Happened, LifeRecord, Micros, Record};

/// Most records of a run. A run that would write more is cut short there and says so: what is judged
/// has to fit into memory.
pub const RECORDS_MAX: usize = 2_000_000;

/// Notes records in the order in which they come. Clones write into the same history.
#[derive(Debug, Clone)]
pub struct Recorder {
    began: Instant,
    records: Arc<Mutex<Vec<Record>>>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// Begins a history, and its clock.
    pub fn new() -> Self {
        Self { began: Instant::now(), records: Arc::default() }
    }

    /// The time since the run began, by the monotonic clock.
    pub fn now(&self) -> Micros {
        u64::try_from(self.began.elapsed().as_micros()).expect("a run lasts for less than an age")
    }

    /// Notes something.
    ///
    /// # Panics
    /// There are [`RECORDS_MAX`] already.
    pub fn note(&self, record: Record) {
        let mut records = self.records.lock().unwrap();
        assert!(records.len() < RECORDS_MAX, "more than {RECORDS_MAX} records");
        records.push(record);
    }

    /// Notes what became of a process, now.
    pub fn note_life(&self, process: &str, happened: Happened) {
        self.note(Record::Life(LifeRecord { at: self.now(), process: process.to_owned(), happened }));
    }

    /// How many records there are.
    pub fn count(&self) -> usize {
        self.records.lock().unwrap().len()
    }

    /// Looks at all that was noted until now.
    pub fn look<T>(&self, at: impl FnOnce(&[Record]) -> T) -> T {
        at(&self.records.lock().unwrap())
    }

    /// Everything that was noted until now; nothing is left.
    pub fn take(&self) -> Vec<Record> {
        std::mem::take(&mut *self.records.lock().unwrap())
    }
}
