//! Where everybody who takes part in a run writes down what happened, by one clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::time::Instant;

use super::arena::process;
use crate::harness::MemberId;
use crate::history::{Happened, Lead, LifeRecord, Micros, Outcome, Phase, Record};

/// Most records of a run. A run that would write more is cut short there and says so: what is judged
/// has to fit into memory.
pub const RECORDS_MAX: usize = 2_000_000;

/// Notes records in the order in which they come. Clones write into the same history.
#[derive(Debug, Clone)]
pub struct Recorder {
    began: Instant,
    noted: Arc<Mutex<Noted>>,
}

#[derive(Debug, Default)]
struct Noted {
    records: Vec<Record>,
    tally: Tally,
}

/// What was noted so far, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Operations whose outcome is [`Outcome::Done`] or [`Outcome::Rejected`].
    pub answered: u64,
    /// Operations that were certainly not done.
    pub not_done: u64,
    /// Operations of which it is not known.
    pub unknown: u64,
    /// Operations with an answer that no member may give.
    pub foreign: u64,
    /// Events that watchers were told.
    pub events: u64,
    /// Requests through gateways.
    pub proxied: u64,
    /// Those of them that were not answered with a success.
    pub proxied_badly: u64,
    /// Faults that began.
    pub faults: u64,
    /// Those in force, by number.
    pub in_force: BTreeMap<u32, String>,
    /// The latest news about who leads: the highest term, and who leads in it.
    pub lead: Option<(u64, Option<MemberId>)>,
    /// How often another member led in a later term.
    pub leader_changes: u64,
    last_leader: Option<MemberId>,
    lives: BTreeMap<String, Happened>,
}

impl Tally {
    fn take(&mut self, record: &Record) {
        match record {
            Record::Operation(operation) => match operation.outcome {
                Outcome::Done(_) | Outcome::Rejected(_) => self.answered += 1,
                Outcome::NotDone { .. } => self.not_done += 1,
                Outcome::Unknown { .. } => self.unknown += 1,
                Outcome::Foreign { .. } => self.foreign += 1,
            },
            Record::Feed(_) => self.events += 1,
            Record::Proxied(proxied) => {
                self.proxied += 1;
                let is_success = proxied.status.is_some_and(|status| (200..300).contains(&status));
                self.proxied_badly += u64::from(!is_success);
            }
            Record::Fault(fault) if fault.phase == Phase::Begin => {
                self.faults += 1;
                self.in_force.insert(fault.number, fault.name.clone());
            }
            Record::Fault(fault) => {
                self.in_force.remove(&fault.number);
            }
            Record::Lead(lead) => self.take_lead(lead),
            Record::Life(life) => {
                self.lives.insert(life.process.clone(), life.happened.clone());
            }
            Record::State(_) => {}
        }
    }

    fn take_lead(&mut self, lead: &Lead) {
        let is_news = self.lead.is_none_or(|(term, leader)| {
            lead.term > term || (lead.term == term && leader.is_none() && lead.leader.is_some())
        });
        if is_news {
            self.lead = Some((lead.term, lead.leader));
        }
        if is_news && lead.leader.is_some() && lead.leader != self.last_leader {
            self.leader_changes += u64::from(self.last_leader.is_some());
            self.last_leader = lead.leader;
        }
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// Begins a history, and its clock.
    pub fn new() -> Self {
        Self { began: Instant::now(), noted: Arc::default() }
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
        let mut noted = self.noted();
        assert!(noted.records.len() < RECORDS_MAX, "more than {RECORDS_MAX} records");
        noted.tally.take(&record);
        noted.records.push(record);
    }

    /// Notes what became of a process, now.
    pub fn note_life(&self, process: &str, happened: Happened) {
        self.note(Record::Life(LifeRecord { at: self.now(), process: process.to_owned(), happened }));
    }

    /// What was noted until now, in numbers.
    pub fn tally(&self) -> Tally {
        self.noted().tally.clone()
    }

    /// Everything that was noted until now; nothing is left.
    pub fn take(&self) -> Vec<Record> {
        std::mem::take(&mut self.noted().records)
    }

    /// Whether a member was started and has not said that it is ready since.
    pub(super) fn awaits_ready(&self, member: MemberId) -> bool {
        self.noted().tally.lives.get(&process(member)) == Some(&Happened::Started)
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        // Whoever panicked with the lock held has lost its own record only.
        self.noted.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
