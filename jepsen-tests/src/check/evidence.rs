//! A history as checkers look at it: sorted by kind, the feed parsed, and what all watchers together
//! were told put into one log of revisions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kenger_types::Node;
use kenger_types::feed::{BookmarkEvent, Change, ChangeEvent, LeaderEvent, SnapshotEvent};

use crate::history::{
    Fault, FeedItem, FeedRecord, History, Key, Lead, LifeRecord, Micros, Observed, Operation, Phase, Proxied,
    Record, StateRecord,
};

/// A history that has been read. Each record goes with its place in the history.
pub struct Evidence<'a> {
    /// What it was read from.
    pub history: &'a History,
    /// Requests, in the order in which they ended.
    pub operations: Vec<(usize, &'a Operation)>,
    /// Faults, in order.
    pub faults: Vec<(usize, &'a Fault)>,
    /// States of members.
    pub states: Vec<(usize, &'a StateRecord)>,
    /// Who led.
    pub leads: Vec<(usize, &'a Lead)>,
    /// What became of processes.
    pub lives: Vec<(usize, &'a LifeRecord)>,
    /// Requests through gateways.
    pub proxied: Vec<(usize, &'a Proxied)>,
    /// What each watcher was told, stream by stream, in the order in which they were opened.
    pub streams: Vec<Stream<'a>>,
    /// Each revision that any watcher was told of.
    pub told: BTreeMap<u64, Told>,
    /// When the last thing happened.
    pub end: Micros,
    spans: Vec<Span<'a>>,
}

/// One subscription: from its beginning to its end.
pub struct Stream<'a> {
    /// Whose.
    pub watcher: u32,
    /// Who told.
    pub member: u64,
    /// The record of its beginning.
    pub opened: usize,
    /// What the watcher came with.
    pub after: Option<u64>,
    /// Its filter; empty: everything.
    pub namespaces: &'a [String],
    /// What was told, in order.
    pub items: Vec<Item>,
    /// Whether it is known to have ended.
    pub is_ended: bool,
}

/// Something that a watcher was told.
pub struct Item {
    /// Its record.
    pub place: usize,
    /// When it had come.
    pub at: Micros,
    /// The event's id.
    pub id: Option<u64>,
    /// What it was.
    pub event: Event,
}

/// A parsed event.
pub enum Event {
    /// Everything.
    Snapshot(Arc<SnapshotEvent>),
    /// One revision.
    Change(Arc<ChangeEvent>),
    /// How far the feed has come.
    Bookmark(BookmarkEvent),
    /// The end.
    Leader(LeaderEvent),
    /// A body that is not what its name says, and why.
    Unreadable(String),
}

/// A revision as all watchers together were told of it.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its changes: all of them if a watcher without a filter was told, else what is known of them.
    pub event: Arc<ChangeEvent>,
    /// Whether these are all.
    pub is_whole: bool,
    /// When the first watcher was told.
    pub seen: Micros,
    /// The record of that.
    pub place: usize,
}

/// A fault from its beginning to its end.
struct Span<'a> {
    fault: &'a Fault,
    until: Micros,
}

impl<'a> Evidence<'a> {
    /// Reads a history.
    pub fn of(history: &'a History) -> Self {
        let mut evidence = Self {
            history,
            operations: Vec::new(),
            faults: Vec::new(),
            states: Vec::new(),
            leads: Vec::new(),
            lives: Vec::new(),
            proxied: Vec::new(),
            streams: Vec::new(),
            told: BTreeMap::new(),
            end: 0,
            spans: Vec::new(),
        };
        let mut reader = FeedReader::default();
        for (place, record) in history.records.iter().enumerate() {
            let at = match record {
                Record::Operation(operation) => {
                    evidence.operations.push((place, operation));
                    operation.returned
                }
                Record::Feed(feed) => {
                    reader.read(place, feed, &mut evidence.streams);
                    feed.at
                }
                Record::Fault(fault) => {
                    evidence.faults.push((place, fault));
                    fault.at
                }
                Record::State(state) => {
                    evidence.states.push((place, state));
                    state.at
                }
                Record::Lead(lead) => {
                    evidence.leads.push((place, lead));
                    lead.at
                }
                Record::Life(life) => {
                    evidence.lives.push((place, life));
                    life.at
                }
                Record::Proxied(proxied) => {
                    evidence.proxied.push((place, proxied));
                    proxied.returned
                }
            };
            evidence.end = evidence.end.max(at);
        }
        evidence.told = told(&evidence.streams);
        evidence.spans = spans(&evidence.faults);
        evidence
    }

    /// Whether another fault than this one was in force when it began.
    pub fn is_disturbed_by_others(&self, fault: &Fault) -> bool {
        let mut others = self.spans.iter().filter(|span| !std::ptr::eq(span.fault, fault));
        others.any(|span| span.fault.at <= fault.at && fault.at <= span.until)
    }

    /// Whether any fault was in force at some time from `from` to `until`.
    pub fn is_disturbed(&self, from: Micros, until: Micros) -> bool {
        self.spans.iter().any(|span| span.fault.at <= until && from <= span.until)
    }

    /// From when to when each fault was in force.
    pub fn spans(&self) -> impl Iterator<Item = (Micros, Micros)> {
        self.spans.iter().map(|span| (span.fault.at, span.until))
    }

    /// When faults began after `at`.
    pub fn faults_after(&self, at: Micros) -> impl Iterator<Item = Micros> {
        self.spans.iter().map(|span| span.fault.at).filter(move |begin| *begin > at)
    }

    /// The ranges of revisions, `(after, up to)`, of which watchers were told everything that
    /// concerns this namespace. Sorted, apart from each other.
    pub fn covered(&self, ns: &str) -> Vec<(u64, u64)> {
        let mut ranges: Vec<_> = self
            .streams
            .iter()
            .filter(|stream| stream.wants(ns))
            .flat_map(|stream| stream.covered().into_iter())
            .collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::new();
        for (after, up_to) in ranges {
            match merged.last_mut() {
                Some(last) if after <= last.1 => last.1 = last.1.max(up_to),
                _ => merged.push((after, up_to)),
            }
        }
        merged
    }
}

impl Stream<'_> {
    /// Whether changes of this namespace are told.
    pub fn wants(&self, ns: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|wanted| wanted == ns)
    }

    /// The ranges of revisions, `(after, up to)`, of which it told everything that it should.
    fn covered(&self) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for item in &self.items {
            match &item.event {
                Event::Snapshot(snapshot) => ranges.push((snapshot.revision.0, snapshot.revision.0)),
                Event::Bookmark(bookmark) => {
                    let revision = bookmark.revision.0;
                    match ranges.last_mut() {
                        // Without a filter a bookmark that is ahead of what was told hides a gap.
                        Some(last) if last.1 <= revision && !self.namespaces.is_empty() => last.1 = revision,
                        Some(last) if last.1 == revision => {}
                        _ => ranges.push((revision, revision)),
                    }
                }
                Event::Change(change) => {
                    let revision = change.revision.0;
                    match ranges.last_mut() {
                        Some(last) if last.1 < revision && !self.namespaces.is_empty() => last.1 = revision,
                        Some(last) if last.1 + 1 == revision => last.1 = revision,
                        _ => ranges.push((revision.saturating_sub(1), revision)),
                    }
                }
                Event::Leader(_) | Event::Unreadable(_) => {}
            }
        }
        ranges
    }
}

/// Parses each distinct body once: watchers are told the same.
#[derive(Default)]
struct FeedReader<'a> {
    changes: HashMap<&'a str, Arc<ChangeEvent>>,
    open: HashMap<u32, usize>,
}

impl<'a> FeedReader<'a> {
    fn read(&mut self, place: usize, record: &'a FeedRecord, streams: &mut Vec<Stream<'a>>) {
        let (id, event) = match &record.item {
            FeedItem::Opened { after, namespaces } => {
                self.open.insert(record.watcher, streams.len());
                return streams.push(Stream {
                    watcher: record.watcher,
                    member: record.member,
                    opened: place,
                    after: *after,
                    namespaces,
                    items: Vec::new(),
                    is_ended: false,
                });
            }
            FeedItem::Ended { .. } => {
                if let Some(stream) = self.open.remove(&record.watcher) {
                    streams[stream].is_ended = true;
                }
                return;
            }
            FeedItem::Snapshot { id, body } => (*id, parsed(body).map(|it| Event::Snapshot(Arc::new(it)))),
            FeedItem::Change { id, body } => (*id, self.change(body).map(Event::Change)),
            FeedItem::Bookmark { id, body } => (*id, parsed(body).map(Event::Bookmark)),
            FeedItem::Leader { body } => (None, parsed(body).map(Event::Leader)),
        };
        let event = event.unwrap_or_else(Event::Unreadable);
        let stream = *self.open.entry(record.watcher).or_insert_with(|| {
            // Told without having asked: a stream of its own, so that nothing is lost.
            streams.push(Stream {
                watcher: record.watcher,
                member: record.member,
                opened: place,
                after: None,
                namespaces: &[],
                items: Vec::new(),
                is_ended: false,
            });
            streams.len() - 1
        });
        streams[stream].items.push(Item { place, at: record.at, id, event });
    }

    fn change(&mut self, body: &'a str) -> Result<Arc<ChangeEvent>, String> {
        if let Some(change) = self.changes.get(body) {
            return Ok(Arc::clone(change));
        }
        let change = Arc::new(parsed(body)?);
        self.changes.insert(body, Arc::clone(&change));
        Ok(change)
    }
}

fn parsed<T: serde::de::DeserializeOwned>(body: &str) -> Result<T, String> {
    serde_json::from_str(body).map_err(|error| format!("{error}: {body}"))
}

fn told(streams: &[Stream<'_>]) -> BTreeMap<u64, Told> {
    let mut told: BTreeMap<u64, Told> = BTreeMap::new();
    for stream in streams {
        let is_whole = stream.namespaces.is_empty();
        for item in &stream.items {
            let Event::Change(event) = &item.event else { continue };
            let known = told.entry(event.revision.0).or_insert_with(|| Told {
                event: Arc::clone(event),
                is_whole,
                seen: item.at,
                place: item.place,
            });
            if item.at < known.seen {
                (known.seen, known.place) = (item.at, item.place);
            }
            if !known.is_whole && is_whole {
                (known.event, known.is_whole) = (Arc::clone(event), true);
            } else if !known.is_whole {
                known.event = union(&known.event, event);
            }
        }
    }
    told
}

/// What is known of a revision by two watchers with filters.
fn union(a: &Arc<ChangeEvent>, b: &Arc<ChangeEvent>) -> Arc<ChangeEvent> {
    let more: Vec<&Change> = b.changes.iter().filter(|change| !a.changes.contains(change)).collect();
    if more.is_empty() {
        return Arc::clone(a);
    }
    let changes = a.changes.iter().chain(more).cloned().collect();
    Arc::new(ChangeEvent { revision: a.revision, changes })
}

/// The value that a registration put into a node's metadata.
pub(super) fn value_of(node: &Node) -> Option<u64> {
    node.metadata.get("value")?.parse().ok()
}

/// Whether the node listens there.
pub(super) fn is_at(node: &Node, key: &Key) -> bool {
    node.port.get() == key.port && node.host.as_str() == key.host && node.ns.as_str() == key.ns
}

/// Whether an answer shows the node like this.
pub(super) fn shows(observed: &Observed, node: &Node) -> bool {
    observed.id == node.id.0
        && observed.value == value_of(node)
        && observed.weight == u32::from(node.weight.get())
        && observed.registered_weight == u32::from(node.registered_weight.get())
        && observed.status == node.status
        && observed.mod_revision == node.mod_revision.0
}

fn spans<'a>(faults: &[(usize, &'a Fault)]) -> Vec<Span<'a>> {
    let begins = faults.iter().filter(|(_, fault)| fault.phase == Phase::Begin);
    begins
        .map(|(place, begin)| {
            let is_end = |fault: &Fault| {
                fault.phase == Phase::End && (&fault.name, fault.number) == (&begin.name, begin.number)
            };
            let end = faults.iter().find(|(other, fault)| other > place && is_end(fault));
            Span { fault: begin, until: end.map_or(Micros::MAX, |(_, end)| end.at) }
        })
        .collect()
}
