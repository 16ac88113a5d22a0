//! What a child process said that it has, and whether a restarted one still has it.

use std::collections::BTreeMap;

/// A line of a child. Everything else that it prints is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// Opened: what there is beside the entries.
    Open { purged: Option<u64>, vote: u64, snapshot: Option<u64> },
    /// Opened: consecutive entries of one term.
    Run { first: u64, last: u64, term: u64 },
    /// Opened and checked: the work begins.
    Ready,
    /// These entries are durable.
    Acked { first: u64, last: u64, term: u64 },
    /// About to remove all entries after this one.
    Truncating { after: Option<u64> },
    /// About to remove all entries up to this one.
    Purging { through: u64 },
    /// The vote is durable.
    Voted { term: u64 },
    /// A snapshot of this entry is durable.
    Snapshot { index: u64 },
    /// The store says that it can no longer be used.
    Failed { reason: String },
    /// The store could not be opened.
    NotOpened { reason: String },
}

const MARK: char = '@';

impl Line {
    /// As the child prints it.
    pub(super) fn print(&self) {
        let option = |index: &Option<u64>| index.map_or("-".to_owned(), |index| index.to_string());
        let text = match self {
            Line::Open { purged, vote, snapshot } => {
                format!("open {} {vote} {}", option(purged), option(snapshot))
            }
            Line::Run { first, last, term } => format!("run {first} {last} {term}"),
            Line::Ready => "ready".into(),
            Line::Acked { first, last, term } => format!("acked {first} {last} {term}"),
            Line::Truncating { after } => format!("truncating {}", option(after)),
            Line::Purging { through } => format!("purging {through}"),
            Line::Voted { term } => format!("voted {term}"),
            Line::Snapshot { index } => format!("snapshot {index}"),
            Line::Failed { reason } => format!("failed {}", reason.replace('\n', " ")),
            Line::NotOpened { reason } => format!("not-opened {}", reason.replace('\n', " ")),
        };
        println!("{MARK}{text}.");
    }

    /// The line that was printed, if it is one of ours and whole.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix(MARK)?.trim_end().strip_suffix('.')?;
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut numbers = rest.split(' ').map(|number| number.parse::<u64>().ok());
        let mut next = || numbers.next().flatten();
        Some(match word {
            "open" => Line::Open { purged: next(), vote: next()?, snapshot: next() },
            "run" => Line::Run { first: next()?, last: next()?, term: next()? },
            "ready" => Line::Ready,
            "acked" => Line::Acked { first: next()?, last: next()?, term: next()? },
            "truncating" => Line::Truncating { after: next() },
            "purging" => Line::Purging { through: next()? },
            "voted" => Line::Voted { term: next()? },
            "snapshot" => Line::Snapshot { index: next()? },
            "failed" => Line::Failed { reason: rest.to_owned() },
            "not-opened" => Line::NotOpened { reason: rest.to_owned() },
            _ => return None,
        })
    }
}

/// What was acknowledged so far.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Index to term.
    entries: BTreeMap<u64, u64>,
    purging: Option<u64>,
    vote: u64,
    snapshot: Option<u64>,
    acknowledged: u64,
}

/// What was found at an open.
#[derive(Debug, Default)]
struct Found {
    entries: BTreeMap<u64, u64>,
    purged: Option<u64>,
    vote: u64,
    snapshot: Option<u64>,
}

impl Ledger {
    /// Takes what a child said after it was ready.
    pub(super) fn note(&mut self, line: &Line) {
        match line {
            Line::Acked { first, last, term } => {
                self.acknowledged += last + 1 - first;
                self.entries.extend((*first..=*last).map(|index| (index, *term)));
            }
            Line::Truncating { after } => {
                self.entries.split_off(&after.map_or(0, |after| after + 1));
            }
            Line::Purging { through } => self.purging = self.purging.max(Some(*through)),
            Line::Voted { term } => self.vote = self.vote.max(*term),
            Line::Snapshot { index } => self.snapshot = self.snapshot.max(Some(*index)),
            _ => {}
        }
    }

    /// Takes what a child said when its machine was already off: what it was about to remove may be
    /// gone, but nothing that it believed to be durable needs to be there.
    pub(super) fn note_too_late(&mut self, line: &Line) {
        match line {
            Line::Truncating { .. } | Line::Purging { .. } => self.note(line),
            _ => {}
        }
    }

    /// How many entries were acknowledged in all.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Compares with what a child found when it opened the store, which is what counts from then on.
    ///
    /// # Errors
    /// What is missing.
    pub(super) fn check(&mut self, opening: &[Line]) -> Result<(), String> {
        let found = Found::of(opening)?;
        if found.vote < self.vote {
            return Err(format!("voted in term {}, found term {}", self.vote, found.vote));
        }
        if found.snapshot < self.snapshot {
            return Err(format!("had a snapshot of {:?}, found one of {:?}", self.snapshot, found.snapshot));
        }
        if found.purged > self.purging || found.purged > found.snapshot {
            return Err(format!("purged {:?}, asked for {:?}", found.purged, self.purging));
        }
        let begin = found.purged.map_or(0, |purged| purged + 1);
        for (index, term) in self.entries.range(begin..) {
            match found.entries.get(index) {
                Some(found) if found == term => {}
                other => {
                    return Err(format!("entry {index} of term {term} was acknowledged, found {other:?}"));
                }
            }
        }
        self.entries = found.entries;
        self.vote = found.vote;
        self.snapshot = found.snapshot;
        Ok(())
    }
}

impl Found {
    fn of(opening: &[Line]) -> Result<Self, String> {
        let mut found = Self::default();
        for line in opening {
            match line {
                Line::Open { purged, vote, snapshot } => {
                    (found.purged, found.vote, found.snapshot) = (*purged, *vote, *snapshot);
                }
                Line::Run { first, last, term } => {
                    found.entries.extend((*first..=*last).map(|index| (index, *term)));
                }
                other => return Err(format!("the store did not open: {other:?}")),
            }
        }
        let begin = found.purged.map_or(0, |purged| purged + 1);
        let consecutive = found.entries.keys().copied().eq(begin..begin + found.entries.len() as u64);
        if consecutive { Ok(found) } else { Err(format!("a gap in the entries after {:?}", found.purged)) }
    }
}

#[test]
fn the_ledger_notices_each_kind_of_loss() {
    let open = |purged, vote, snapshot| Line::Open { purged, vote, snapshot };
    let run = |first, last, term| Line::Run { first, last, term };
    let said = [
        Line::Voted { term: 3 },
        Line::Acked { first: 0, last: 9, term: 3 },
        Line::Snapshot { index: 5 },
        Line::Truncating { after: Some(8) },
        Line::Purging { through: 4 },
    ];
    let verdict = |opening: &[Line]| {
        let mut ledger = Ledger::default();
        said.iter().for_each(|line| ledger.note(line));
        ledger.check(opening)
    };
    assert_eq!(verdict(&[open(Some(4), 3, Some(5)), run(5, 8, 3)]), Ok(()));
    assert_eq!(verdict(&[open(None, 4, Some(5)), run(0, 20, 3)]), Ok(()));
    assert!(verdict(&[open(Some(4), 2, Some(5)), run(5, 8, 3)]).is_err(), "vote");
    assert!(verdict(&[open(Some(4), 3, Some(4)), run(5, 8, 3)]).is_err(), "snapshot");
    assert!(verdict(&[open(Some(4), 3, Some(5)), run(5, 7, 3)]).is_err(), "last entry");
    assert!(verdict(&[open(Some(4), 3, Some(5)), run(5, 7, 3), run(8, 8, 2)]).is_err(), "other term");
    assert!(verdict(&[open(Some(5), 3, Some(5)), run(6, 8, 3)]).is_err(), "purged too much");
    assert!(verdict(&[open(Some(4), 3, Some(5)), run(5, 5, 3), run(7, 8, 3)]).is_err(), "gap");
    assert!(verdict(&[Line::NotOpened { reason: "damaged".into() }]).is_err(), "not opened");
}

#[test]
fn what_is_said_after_the_end_is_no_promise() {
    let mut ledger = Ledger::default();
    ledger.note(&Line::Acked { first: 0, last: 9, term: 3 });
    let too_late = [
        Line::Voted { term: 4 },
        Line::Truncating { after: Some(5) },
        Line::Acked { first: 6, last: 12, term: 4 },
        Line::Snapshot { index: 5 },
        Line::Purging { through: 2 },
    ];
    too_late.iter().for_each(|line| ledger.note_too_late(line));
    let open = |snapshot| Line::Open { purged: None, vote: 0, snapshot };
    let run = |first, last, term| Line::Run { first, last, term };
    assert_eq!(
        ledger.check(&[open(None), run(0, 5, 3)]),
        Ok(()),
        "nothing of it took effect but the removal"
    );
    ledger.note(&Line::Acked { first: 6, last: 9, term: 5 });
    assert!(ledger.check(&[open(None), run(0, 8, 3)]).is_err(), "what was said before still counts");
}

#[test]
fn lines_are_read_as_they_were_printed() {
    let parsed = Line::parse("@open - 7 12.\n");
    assert_eq!(parsed, Some(Line::Open { purged: None, vote: 7, snapshot: Some(12) }));
    assert_eq!(Line::parse("@acked 1 12"), None, "a line that was cut off");
    assert_eq!(Line::parse("running 1 test"), None);
}
