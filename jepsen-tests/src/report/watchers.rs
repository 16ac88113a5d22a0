//! What each watcher was told: how much, where revisions are missing, when it got a snapshot instead.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::text::{clean, count, counted, moment};
use crate::history::{FeedItem, FeedRecord, History, Micros};

/// Most watchers that are listed.
const WATCHERS_MAX: usize = 40;
/// Most gaps and snapshots that are listed, each.
const NOTES_MAX: usize = 100;

/// What is remarkable about one record.
#[derive(Debug, PartialEq, Eq)]
struct Note {
    at: Micros,
    watcher: u32,
    member: u64,
    is_gap: bool,
    what: String,
}

/// One watcher's numbers.
#[derive(Debug, Default)]
struct Watched {
    streams: u64,
    changes: u64,
    snapshots: u64,
    bookmarks: u64,
    gaps: u64,
    /// Up to which revision it was told everything.
    cursor: Option<u64>,
    /// It asked for some namespaces only: then revisions of others are missing, and rightly.
    is_filtered: bool,
    members: Vec<u64>,
}

impl Watched {
    fn hear(&mut self, record: &FeedRecord) -> Option<Note> {
        let note = |is_gap, what| {
            Some(Note { at: record.at, watcher: record.watcher, member: record.member, is_gap, what })
        };
        match &record.item {
            FeedItem::Opened { after, namespaces } => {
                self.streams += 1;
                self.cursor = *after;
                self.is_filtered = !namespaces.is_empty();
                if !self.members.contains(&record.member) {
                    self.members.push(record.member);
                }
                None
            }
            FeedItem::Snapshot { id, .. } => {
                self.snapshots += 1;
                let before = self.cursor.map_or("nothing".to_owned(), |cursor| format!("r{cursor}"));
                self.cursor = *id;
                let id = id.map_or("without an id".to_owned(), |id| format!("at r{id}"));
                note(false, format!("snapshot {id}; known before: {before}"))
            }
            FeedItem::Change { id: Some(id), .. } => {
                self.changes += 1;
                let gap = self.missing(*id, 1);
                self.cursor = Some(*id);
                note(true, gap?)
            }
            FeedItem::Bookmark { id: Some(id), .. } => {
                self.bookmarks += 1;
                let gap = self.missing(*id, 0);
                self.cursor = Some(*id);
                note(true, format!("{} (a bookmark says so)", gap?))
            }
            FeedItem::Change { id: None, .. } => {
                self.changes += 1;
                note(true, "a change without an id".to_owned())
            }
            FeedItem::Bookmark { id: None, .. } => {
                self.bookmarks += 1;
                None
            }
            FeedItem::Leader { .. } | FeedItem::Ended { .. } => None,
        }
    }

    /// What is wrong if `id` comes next and should be ahead of the cursor by `ahead`.
    fn missing(&mut self, id: u64, ahead: u64) -> Option<String> {
        let cursor = self.cursor?;
        let expected = cursor.saturating_add(ahead);
        let what = if id < expected {
            format!("r{id} after r{cursor}: told again, or out of order")
        } else if id > expected && !self.is_filtered {
            let missing = counted(id - expected, "revision", "revisions");
            format!("r{cursor} → r{id}: {missing} missing")
        } else {
            return None;
        };
        self.gaps += 1;
        Some(what)
    }
}

/// The section about the feed; nothing if nobody watched.
pub(super) fn section(history: &History) -> Option<Markup> {
    let mut watchers: BTreeMap<u32, Watched> = BTreeMap::new();
    let mut notes = Vec::new();
    for record in history.feeds() {
        notes.extend(watchers.entry(record.watcher).or_default().hear(record));
    }
    if watchers.is_empty() {
        return None;
    }
    let (gaps, snapshots): (Vec<Note>, Vec<Note>) = notes.into_iter().partition(|note| note.is_gap);
    Some(html! {
        section id="feed" {
            h2 { "Feed" }
            div.scroll { table.numbers {
                thead { tr {
                    th { "Watcher" } th { "streams" } th { "changes" } th { "bookmarks" } th { "snapshots" }
                    th { "gaps" } th { "last revision" } th { "members" }
                } }
                tbody { @for (number, watched) in watchers.iter().take(WATCHERS_MAX) {
                    tr.bad[watched.gaps > 0] {
                        td { (number) @if watched.is_filtered { " (some namespaces)" } }
                        @for value in [watched.streams, watched.changes, watched.bookmarks, watched.snapshots, watched.gaps] {
                            td { (count(value)) }
                        }
                        td { (watched.cursor.map_or("–".to_owned(), count)) }
                        td { (clean(&watched.members.iter().map(u64::to_string).collect::<Vec<_>>().join(", "), 40)) }
                    }
                } }
            } }
            @if watchers.len() > WATCHERS_MAX { p.note { "The first " (WATCHERS_MAX) " of " (watchers.len()) " watchers are listed." } }
            (listing("Gaps", "No revision is missing or came twice.", &gaps))
            (listing("Snapshots", "Nobody was sent a snapshot.", &snapshots))
        }
    })
}

fn listing(title: &str, none: &str, notes: &[Note]) -> Markup {
    html! {
        h3 { (title) }
        @if notes.is_empty() {
            p { (none) }
        } @else {
            div.scroll { table {
                thead { tr { th { "at" } th { "watcher" } th { "member" } th { "what" } } }
                tbody { @for note in notes.iter().take(NOTES_MAX) {
                    tr { td.number { (moment(note.at)) } td.number { (note.watcher) } td.number { (note.member) } td { (note.what) } }
                } }
            } }
            @if notes.len() > NOTES_MAX { p.note { "The first " (NOTES_MAX) " of " (count(notes.len() as u64)) " are listed." } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(items: Vec<FeedItem>) -> Vec<(bool, String)> {
        let mut watched = Watched::default();
        let records = items.into_iter().map(|item| FeedRecord { at: 0, watcher: 1, member: 1, item });
        records.filter_map(|record| watched.hear(&record)).map(|note| (note.is_gap, note.what)).collect()
    }

    fn opened(after: Option<u64>, namespaces: &[&str]) -> FeedItem {
        FeedItem::Opened { after, namespaces: namespaces.iter().map(ToString::to_string).collect() }
    }

    fn change(id: u64) -> FeedItem {
        FeedItem::Change { id: Some(id), body: String::new() }
    }

    fn snapshot(id: u64) -> FeedItem {
        FeedItem::Snapshot { id: Some(id), body: String::new() }
    }

    fn bookmark(id: u64) -> FeedItem {
        FeedItem::Bookmark { id: Some(id), body: String::new() }
    }

    #[test]
    fn consecutive_revisions_are_nothing_to_note() {
        let items =
            vec![opened(Some(4), &[]), change(5), bookmark(5), change(6), opened(Some(6), &[]), change(7)];
        assert!(notes(items).is_empty());
    }

    #[test]
    fn gaps_repetitions_and_snapshots_are_noted() {
        let items = vec![
            opened(None, &[]),
            snapshot(3),
            change(5),
            change(5),
            bookmark(7),
            opened(Some(7), &[]),
            change(9),
        ];
        let expected = [
            (false, "snapshot at r3; known before: nothing"),
            (true, "r3 → r5: 1 revision missing"),
            (true, "r5 after r5: told again, or out of order"),
            (true, "r5 → r7: 2 revisions missing (a bookmark says so)"),
            (true, "r7 → r9: 1 revision missing"),
        ];
        assert_eq!(notes(items), expected.map(|(is_gap, what)| (is_gap, what.to_owned())));
    }

    #[test]
    fn a_filter_explains_what_is_missing_but_not_what_comes_twice() {
        let found = notes(vec![opened(Some(1), &["a"]), change(5), bookmark(9), change(9)]);
        assert_eq!(found, [(true, "r9 after r9: told again, or out of order".to_owned())]);
    }
}
