//! How far a watch has come, and what each event means for it. Pure: no connection, no clock.

use kenger_types::feed::{BookmarkEvent, ChangeEvent, LeaderEvent, SnapshotEvent};
use kenger_types::{ClusterId, Revision};

use super::event::{Connected, DisconnectReason, WatchEvent};
use crate::Endpoint;

/// The place in the feed.
#[derive(Debug)]
pub(super) struct Cursor {
    cluster: Option<ClusterId>,
    revision: Option<Revision>,
    /// Whether only some namespaces are told of: then revisions may be skipped.
    filtered: bool,
    /// Who tells, until its first event has come.
    unheard: Option<Endpoint>,
    /// The leader tells.
    from_leader: bool,
    /// Who tells was asked for what it has, and may be behind.
    stale: bool,
}

/// What to tell of an event that is in order; nothing if it was told before.
pub(super) type Verdict = Result<Vec<WatchEvent>, DisconnectReason>;

impl Cursor {
    pub(super) fn new(cluster: Option<ClusterId>, revision: Option<Revision>, filtered: bool) -> Self {
        Self { cluster, revision, filtered, unheard: None, from_leader: false, stale: false }
    }

    pub(super) fn revision(&self) -> Option<Revision> {
        self.revision
    }

    pub(super) fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    /// Whether the leader tells, as far as was said.
    pub(super) fn is_from_leader(&self) -> bool {
        self.from_leader
    }

    /// Whether the present stream has told something. Its first event may be a snapshot, which takes
    /// its time.
    pub(super) fn has_heard(&self) -> bool {
        self.unheard.is_none()
    }

    /// A member begins to tell, after [`Cursor::revision`]. `from_leader`: it was asked for the
    /// leader's feed; `stale`: for what it has, even if that is behind.
    pub(super) fn begin_stream(&mut self, endpoint: Endpoint, from_leader: bool, stale: bool) {
        self.unheard = Some(endpoint);
        self.from_leader = from_leader;
        self.stale = stale;
    }

    /// What was told cannot be continued: begin with a snapshot.
    pub(super) fn forget_revision(&mut self) {
        self.revision = None;
    }

    /// The first event of a stream says who speaks. A bookmark that comes first says no more than
    /// that, because what lies between the cursor and it may still come. Every later one says that
    /// everything up to its revision has been told.
    pub(super) fn bookmark(&mut self, event: BookmarkEvent) -> Verdict {
        self.check_cluster(event.cluster_id)?;
        self.from_leader = event.is_from_leader();
        if let Some(endpoint) = self.unheard.take() {
            let BookmarkEvent { cluster_id, member_id, leader, .. } = event;
            let member_id = Some(member_id);
            return Ok(vec![WatchEvent::Connected(Connected { endpoint, cluster_id, member_id, leader })]);
        }
        match self.revision {
            Some(known) if event.revision < known => return Ok(Vec::new()),
            Some(known) if event.revision > known && self.filtered => self.revision = Some(event.revision),
            Some(known) if event.revision == known => {}
            known => return Err(DisconnectReason::Gap { known, found: event.revision }),
        }
        Ok(vec![WatchEvent::Bookmark(event)])
    }

    /// A snapshot replaces everything. One that is older than what was told may come from a member
    /// that has not caught up, if it was asked for what it has. Otherwise it has everything that was
    /// ever acknowledged, and what was told is of another history.
    pub(super) fn snapshot(&mut self, event: SnapshotEvent) -> Verdict {
        let cluster_id = event.cluster_id;
        self.check_cluster(cluster_id)?;
        if let Some(known) = self.revision
            && event.revision < known
            && self.stale
            && !self.from_leader
        {
            return Err(DisconnectReason::Behind { known, found: event.revision });
        }
        self.revision = Some(event.revision);
        let first = self.unheard.take().map(|endpoint| {
            WatchEvent::Connected(Connected { endpoint, cluster_id, member_id: None, leader: None })
        });
        Ok(first.into_iter().chain([WatchEvent::Snapshot(event)]).collect())
    }

    /// A change continues what was told. Without a filter, each revision is one after the last.
    pub(super) fn change(&mut self, event: ChangeEvent) -> Verdict {
        if self.unheard.is_some() {
            return Err(DisconnectReason::Unexpected(
                "a change came before the member said who it is".to_owned(),
            ));
        }
        let found = event.revision;
        match self.revision {
            Some(known) if found <= known => return Ok(Vec::new()),
            Some(known) if self.filtered || found.0 == known.0 + 1 => self.revision = Some(found),
            known => return Err(DisconnectReason::Gap { known, found }),
        }
        Ok(vec![WatchEvent::Change(event)])
    }

    /// The member lost its leader.
    pub(super) fn leader(&mut self, event: &LeaderEvent) -> Result<(), DisconnectReason> {
        self.check_cluster(event.cluster_id)
    }

    fn check_cluster(&mut self, found: ClusterId) -> Result<(), DisconnectReason> {
        match *self.cluster.get_or_insert(found) {
            expected if expected == found => Ok(()),
            expected => Err(DisconnectReason::ForeignCluster { expected, found }),
        }
    }
}

#[cfg(test)]
mod tests {
    use kenger_types::MemberId;
    use kenger_types::cluster::MemberAddress;

    use super::*;

    const OURS: ClusterId = ClusterId(1);
    const FOREIGN: ClusterId = ClusterId(2);

    fn bookmark(cluster_id: ClusterId, revision: u64, is_leader: bool) -> BookmarkEvent {
        let leader =
            MemberAddress { id: MemberId(if is_leader { 1 } else { 2 }), api: "127.0.0.1:1".to_owned() };
        BookmarkEvent {
            cluster_id,
            revision: Revision(revision),
            member_id: MemberId(1),
            leader: Some(leader),
        }
    }

    fn snapshot(cluster_id: ClusterId, revision: u64) -> SnapshotEvent {
        SnapshotEvent { cluster_id, revision: Revision(revision), namespaces: Vec::new(), nodes: Vec::new() }
    }

    fn change(revision: u64) -> ChangeEvent {
        ChangeEvent { revision: Revision(revision), changes: Vec::new() }
    }

    fn member() -> Endpoint {
        "127.0.0.1:1".parse().unwrap()
    }

    /// A cursor at revision 10 whose member, asked for what it has, has said who it is.
    fn at_ten(filtered: bool, is_leader: bool) -> Cursor {
        let mut cursor = Cursor::new(Some(OURS), Some(Revision(10)), filtered);
        cursor.begin_stream(member(), false, true);
        let first = cursor.bookmark(bookmark(OURS, 99, is_leader)).unwrap();
        assert!(matches!(&first[..], [WatchEvent::Connected(who)] if who.is_leader() == is_leader));
        cursor
    }

    fn later_bookmark(cursor: &mut Cursor, revision: u64) -> Verdict {
        cursor.bookmark(bookmark(OURS, revision, false))
    }

    #[test]
    fn the_first_bookmark_does_not_move_the_cursor() {
        assert_eq!(at_ten(false, false).revision(), Some(Revision(10)));
        assert_eq!(at_ten(true, false).revision(), Some(Revision(10)));
    }

    #[test]
    fn a_revision_that_was_told_is_dropped() {
        let mut cursor = at_ten(false, false);
        assert_eq!(cursor.change(change(10)), Ok(Vec::new()));
        assert_eq!(cursor.change(change(3)), Ok(Vec::new()));
        assert_eq!(cursor.change(change(11)).unwrap().len(), 1);
        assert_eq!(cursor.change(change(11)), Ok(Vec::new()));
    }

    #[test]
    fn a_skipped_revision_is_a_gap_only_without_a_filter() {
        let gap = DisconnectReason::Gap { known: Some(Revision(10)), found: Revision(12) };
        assert_eq!(at_ten(false, false).change(change(12)), Err(gap.clone()));
        assert_eq!(later_bookmark(&mut at_ten(false, false), 12), Err(gap));
        let mut filtered = at_ten(true, false);
        assert_eq!(filtered.change(change(12)).unwrap().len(), 1);
        assert_eq!(later_bookmark(&mut filtered, 20).unwrap().len(), 1);
        assert_eq!(filtered.revision(), Some(Revision(20)));
        assert_eq!(later_bookmark(&mut filtered, 19), Ok(Vec::new()));
        assert_eq!(filtered.change(change(20)), Ok(Vec::new()));
    }

    #[test]
    fn a_change_without_a_base_is_a_gap() {
        let mut cursor = at_ten(true, false);
        cursor.forget_revision();
        assert_eq!(
            cursor.change(change(11)),
            Err(DisconnectReason::Gap { known: None, found: Revision(11) })
        );
        assert_eq!(cursor.snapshot(snapshot(OURS, 11)).unwrap().len(), 1);
        assert_eq!(cursor.change(change(12)).unwrap().len(), 1);
    }

    #[test]
    fn nothing_of_a_foreign_cluster_is_told() {
        let foreign = DisconnectReason::ForeignCluster { expected: OURS, found: FOREIGN };
        let mut cursor = Cursor::new(Some(OURS), Some(Revision(10)), false);
        cursor.begin_stream(member(), false, false);
        assert_eq!(cursor.bookmark(bookmark(FOREIGN, 10, true)), Err(foreign.clone()));
        assert_eq!(cursor.snapshot(snapshot(FOREIGN, 99)), Err(foreign));
        assert!(matches!(cursor.change(change(11)), Err(DisconnectReason::Unexpected(_))));
        assert_eq!(cursor.revision(), Some(Revision(10)));
    }

    #[test]
    fn the_first_cluster_is_the_right_one_from_then_on() {
        let mut cursor = Cursor::new(None, None, false);
        cursor.begin_stream(member(), false, false);
        let first = cursor.snapshot(snapshot(OURS, 5)).unwrap();
        assert!(matches!(&first[..], [WatchEvent::Connected(_), WatchEvent::Snapshot(_)]));
        cursor.begin_stream(member(), false, false);
        assert!(matches!(
            cursor.snapshot(snapshot(FOREIGN, 6)),
            Err(DisconnectReason::ForeignCluster { .. })
        ));
        assert_eq!(cursor.cluster(), Some(OURS));
    }

    #[test]
    fn an_older_snapshot_is_not_taken_from_a_member_that_may_be_behind() {
        let behind = DisconnectReason::Behind { known: Revision(10), found: Revision(9) };
        assert_eq!(at_ten(false, false).snapshot(snapshot(OURS, 9)), Err(behind));
        let mut cursor = at_ten(false, true);
        assert_eq!(cursor.snapshot(snapshot(OURS, 9)).unwrap().len(), 1);
        assert_eq!(cursor.revision(), Some(Revision(9)));

        for (from_leader, whose) in [(true, "the leader"), (false, "a member that has caught up")] {
            let mut cursor = Cursor::new(Some(OURS), Some(Revision(10)), false);
            cursor.begin_stream(member(), from_leader, false);
            assert_eq!(cursor.snapshot(snapshot(OURS, 8)).unwrap().len(), 2, "{whose} answered");
        }
    }
}
