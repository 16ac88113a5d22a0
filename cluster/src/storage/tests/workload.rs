//! A child process that opens a store, tells what it found, and then works on it until it is killed,
//! telling what is durable. The test program runs itself for this.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::storage::{RaftLogStorage, RaftStateMachine};
use openraft::vote::RaftVote;
use openraft::{RaftLogReader, RaftSnapshotBuilder};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, timeout};

use super::super::Opened;
use super::super::sled_sync::test_control;
use super::super::tail::Entry;
use super::fixtures::{Engine, apply, callback, log_id, machine, namespace, padding};
use super::ledger::Line;
use super::no_sync;
use crate::config::StoreKind;
use crate::raft::machine::Machine;
use crate::raft::types::TypeConfig;

type Vote = openraft::alias::VoteOf<TypeConfig>;

const ORDERS_VARIABLE: &str = "KENGER_STORAGE_CHILD";
const CHILD_TEST: &str = "storage::tests::workload::child";
const LIFE_MAX: Duration = Duration::from_secs(20);
const OPEN_MAX: Duration = Duration::from_secs(60);
/// Every so many entries one changes the state.
const NAMESPACE_EVERY: u64 = 5;

/// What a child is told to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Orders {
    pub(super) sled: bool,
    pub(super) directory: PathBuf,
    pub(super) seed: u64,
    /// Only open, tell and close.
    pub(super) only_look: bool,
    /// Lie about every sync once the store is open.
    pub(super) skip_syncs: bool,
    /// Give sled the sync that it asks for instead of a real one, once the store is open.
    pub(super) sleds_own_sync: bool,
    /// Let the log grow.
    pub(super) never_purge: bool,
}

impl Orders {
    pub(super) fn new(kind: StoreKind, directory: &Path) -> Self {
        Self {
            sled: kind == StoreKind::Sled,
            directory: directory.to_owned(),
            seed: 0,
            only_look: false,
            skip_syncs: false,
            sleds_own_sync: false,
            never_purge: false,
        }
    }

    fn kind(&self) -> StoreKind {
        if self.sled { StoreKind::Sled } else { StoreKind::Redb }
    }
}

/// The child, seen from the test.
pub(super) struct Worker {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    pub(super) fn start(orders: &Orders) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([CHILD_TEST, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .env(ORDERS_VARIABLE, serde_json::to_string(orders).unwrap())
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// What it found, once it has opened the store; the error is the line that says why it did not.
    pub(super) async fn opening(&mut self) -> Result<Vec<Line>, String> {
        let mut opening = Vec::new();
        loop {
            match timeout(OPEN_MAX, self.next()).await {
                Ok(Some(Line::Ready)) => return Ok(opening),
                Ok(Some(Line::NotOpened { reason })) => return Err(reason),
                Ok(Some(line)) => opening.push(line),
                Ok(None) => return Err("the child ended while it opened the store".into()),
                Err(_) => return Err("the store did not open in a minute".into()),
            }
        }
    }

    /// The next line of ours; `None` when it has ended.
    pub(super) async fn next(&mut self) -> Option<Line> {
        while let Ok(Some(text)) = self.lines.next_line().await {
            if let Some(line) = Line::parse(&text) {
                return Some(line);
            }
        }
        None
    }

    /// What it says within `time`.
    pub(super) async fn said_within(&mut self, time: Duration) -> Vec<Line> {
        let mut said = Vec::new();
        let listening = async {
            while let Some(line) = self.next().await {
                said.push(line);
            }
            // It has ended, which is told by whoever looks next.
            std::future::pending::<()>().await;
        };
        // An error: the time is over, as it was meant to be.
        let _ = timeout(time, listening).await;
        said
    }

    /// Ends it with SIGKILL and returns what it had said until then.
    pub(super) async fn kill(mut self) -> Vec<Line> {
        self.child.start_kill().unwrap();
        self.rest().await
    }

    /// Waits for its end and returns what it says until then.
    pub(super) async fn rest(mut self) -> Vec<Line> {
        let mut said = Vec::new();
        while let Some(line) = self.next().await {
            said.push(line);
        }
        self.child.wait().await.unwrap();
        said
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child process of the kill, power-cut and full-disk rounds; they start it"]
async fn child() {
    let orders = std::env::var(ORDERS_VARIABLE).expect("this is not to be run by itself");
    let orders: Orders = serde_json::from_str(&orders).unwrap();
    // The harness has begun a line.
    println!();
    let opened = match Engine::Disk(orders.kind()).open(&orders.directory) {
        Ok(opened) => opened,
        Err(error) => return Line::NotOpened { reason: error.to_string() }.print(),
    };
    let closer = opened.closer.clone();
    let failure = opened.failure.clone();
    let mut work = Work::begin(opened, &orders).await;
    if orders.only_look {
        return closer.close().await;
    }
    if orders.skip_syncs {
        no_sync::skip_syncs();
    }
    if orders.sleds_own_sync {
        test_control::SLEDS_OWN.store(true, Ordering::SeqCst);
    }
    let end = Instant::now() + LIFE_MAX;
    let worked = timeout(LIFE_MAX, async {
        while Instant::now() < end {
            work.step().await?;
        }
        Ok::<(), std::io::Error>(())
    });
    if let Ok(Err(error)) = worked.await {
        let reason = failure.reason().map_or(error.to_string(), |reason| reason.to_string());
        Line::Failed { reason }.print();
    }
}

struct Work {
    random: fastrand::Rng,
    opened: Opened,
    machine: Machine,
    never_purge: bool,
    term: u64,
    next: u64,
    /// Terms of the entries that are not purged.
    terms: std::collections::BTreeMap<u64, u64>,
    applied: Option<u64>,
    snapshot: Option<u64>,
    purged: Option<u64>,
}

impl Work {
    /// Checks and tells what there is.
    async fn begin(mut opened: Opened, orders: &Orders) -> Self {
        let mut machine = machine(&opened);
        let state = opened.log_store.get_log_state().await.unwrap();
        let mut reader = opened.log_store.get_log_reader().await;
        let vote = reader.read_vote().await.unwrap().map_or(0, |vote| vote.leader_id().term);
        let entries = reader.try_get_log_entries(..).await.unwrap();
        let applied = machine.applied_state().await.unwrap().0.map(|applied| applied.index());
        let purged = state.last_purged_log_id.map(|purged| purged.index());
        Line::Open { purged, vote, snapshot: applied }.print();

        let changes = applied.map_or(0, |applied| applied / NAMESPACE_EVERY + 1);
        assert_eq!(
            machine.state().load().revision().0,
            changes,
            "the state is not that of entry {applied:?}"
        );
        let mut terms = std::collections::BTreeMap::new();
        for entry in &entries {
            let index = entry.log_id.index();
            let term = entry.log_id.committed_leader_id().term;
            assert_eq!(entry, &entry_of(term, index), "the content of an entry");
            terms.insert(index, term);
        }
        for run in entries.chunk_by(|a, b| a.log_id.committed_leader_id() == b.log_id.committed_leader_id()) {
            let (first, last) = (&run[0].log_id, &run[run.len() - 1].log_id);
            let term = first.committed_leader_id().term;
            Line::Run { first: first.index(), last: last.index(), term }.print();
        }
        Line::Ready.print();
        let last = state.last_log_id.map_or(0, |last| last.index() + 1);
        let term = vote.max(terms.last_key_value().map_or(0, |(_, term)| *term)) + 1;
        Self {
            random: fastrand::Rng::with_seed(orders.seed),
            opened,
            machine,
            never_purge: orders.never_purge,
            term,
            next: last,
            terms,
            applied,
            snapshot: applied,
            purged,
        }
    }

    async fn step(&mut self) -> std::io::Result<()> {
        match self.random.u32(..100) {
            0..70 => self.append().await,
            70..75 => self.vote().await,
            75..80 => self.truncate().await,
            80..92 => self.commit().await,
            92..96 => self.take_snapshot().await,
            _ => self.purge().await,
        }
    }

    /// Several appends under way at once, as Raft pipelines them.
    async fn append(&mut self) -> std::io::Result<()> {
        let mut under_way = Vec::new();
        for _ in 0..self.random.u32(1..5) {
            let first = self.next;
            self.next += self.random.u64(1..20);
            let entries: Vec<Entry> = (first..self.next).map(|index| entry_of(self.term, index)).collect();
            self.terms.extend((first..self.next).map(|index| (index, self.term)));
            let (flushed, durable) = callback();
            self.opened.log_store.append(entries, flushed).await?;
            under_way.push((first, self.next - 1, durable));
        }
        for (first, last, durable) in under_way {
            durable.await.map_err(std::io::Error::other)??;
            Line::Acked { first, last, term: self.term }.print();
        }
        Ok(())
    }

    async fn vote(&mut self) -> std::io::Result<()> {
        self.term += 1;
        let leader = openraft::impls::leader_id_adv::LeaderId { term: self.term, node_id: 1 };
        self.opened.log_store.save_vote(&Vote::from_leader_id(leader, true)).await?;
        Line::Voted { term: self.term }.print();
        Ok(())
    }

    async fn truncate(&mut self) -> std::io::Result<()> {
        let least = self.applied.map_or(0, |applied| applied + 1);
        if least >= self.next {
            return Ok(());
        }
        self.vote().await?;
        let from = self.random.u64(least..self.next);
        let after = from.checked_sub(1);
        Line::Truncating { after }.print();
        let after = after.map(|after| log_id(self.terms.get(&after).copied().unwrap_or(0), after));
        self.terms.split_off(&from);
        self.next = from;
        self.opened.log_store.truncate_after(after).await
    }

    async fn commit(&mut self) -> std::io::Result<()> {
        let first = self.applied.map_or(0, |applied| applied + 1);
        let Some(last) = self.next.checked_sub(1).filter(|last| *last >= first) else { return Ok(()) };
        let upto = self.random.u64(first..=last);
        self.opened.log_store.save_committed(Some(log_id(self.terms[&upto], upto))).await?;
        let entries = self.opened.log_store.get_log_reader().await.try_get_log_entries(first..=upto).await?;
        apply(&mut self.machine, entries).await;
        self.applied = Some(upto);
        Ok(())
    }

    async fn take_snapshot(&mut self) -> std::io::Result<()> {
        let Some(index) = self.applied else { return Ok(()) };
        self.machine.get_snapshot_builder().await.build_snapshot().await?;
        self.snapshot = Some(index);
        Line::Snapshot { index }.print();
        Ok(())
    }

    async fn purge(&mut self) -> std::io::Result<()> {
        let least = self.purged.map_or(0, |purged| purged + 1);
        let Some(most) = self.snapshot.filter(|most| *most >= least && !self.never_purge) else {
            return Ok(());
        };
        let through = self.random.u64(least..=most);
        Line::Purging { through }.print();
        let term = self.terms[&through];
        self.terms = self.terms.split_off(&(through + 1));
        self.purged = Some(through);
        self.opened.log_store.purge(log_id(term, through)).await
    }
}

/// The entry of this term and index: most are small, a few are of up to 40 KiB.
fn entry_of(term: u64, index: u64) -> Entry {
    if index.is_multiple_of(NAMESPACE_EVERY) {
        return namespace(term, index, &format!("ns-{index}"));
    }
    let mut random = fastrand::Rng::with_seed(index.rotate_left(17) ^ term);
    let bytes = if random.u32(..20) == 0 { random.usize(..40 << 10) } else { random.usize(..400) };
    padding(term, index, bytes)
}
