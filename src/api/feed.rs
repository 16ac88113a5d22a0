//! Events of the feed as server-sent events.

use axum::body::Bytes;
use kenger_cluster::state::State as Registry;
use kenger_cluster::{FeedEvent, FeedFilter};
use kenger_types::feed::{BookmarkEvent, Change, EventName, LeaderEvent};
use kenger_types::{ClusterId, Revision};
use serde::Serialize;

use super::answer::write_json;

/// The event as all subscribers get it that want all of its changes; encoded once.
pub(super) fn change(event: &FeedEvent, filter: &FeedFilter) -> Bytes {
    if event.is_wanted_whole(filter) {
        return event.encoded(|event| changes(event.revision, event.changes.iter()));
    }
    changes(event.revision, event.changes.iter().filter(|change| filter.wants(change.namespace())))
}

fn changes<'a>(revision: Revision, changes: impl Iterator<Item = &'a Change>) -> Bytes {
    let mut out = head(EventName::Change, Some(revision), 512);
    out.extend_from_slice(format!(r#"{{"revision":{revision},"changes":"#).as_bytes());
    list(changes, &mut out);
    out.push(b'}');
    end(out)
}

/// Everything in `state` that the filter wants.
pub(super) fn snapshot(cluster_id: ClusterId, state: &Registry, filter: &FeedFilter) -> Bytes {
    let revision = state.revision();
    let namespaces = || state.namespaces().filter(|namespace| filter.wants(&namespace.name));
    let mut out = head(EventName::Snapshot, Some(revision), 64 << 10);
    out.extend_from_slice(
        format!(r#"{{"cluster_id":"{cluster_id}","revision":{revision},"namespaces":"#).as_bytes(),
    );
    list(namespaces().map(|namespace| namespace.view()), &mut out);
    out.extend_from_slice(br#","nodes":"#);
    list(namespaces().flat_map(|namespace| state.nodes_of(namespace.id)).map(|node| node.view()), &mut out);
    out.push(b'}');
    end(out)
}

/// How far the feed has come.
pub(super) fn bookmark(event: &BookmarkEvent) -> Bytes {
    let mut out = head(EventName::Bookmark, Some(event.revision), 256);
    write_json(event, &mut out);
    end(out)
}

/// The end of a stream. It has no id: it tells nothing that a client could resume after.
pub(super) fn leader(event: &LeaderEvent) -> Bytes {
    let mut out = head(EventName::Leader, None, 256);
    write_json(event, &mut out);
    end(out)
}

/// JSON has no line breaks outside of strings and escapes those within, so one `data:` line is
/// enough.
fn head(name: EventName, id: Option<Revision>, capacity: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(capacity);
    out.extend_from_slice(format!("event: {}\n", name.as_str()).as_bytes());
    if let Some(id) = id {
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    out.extend_from_slice(b"data: ");
    out
}

fn end(mut out: Vec<u8>) -> Bytes {
    out.extend_from_slice(b"\n\n");
    Bytes::from(out)
}

fn list(items: impl Iterator<Item = impl Serialize>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_json(&item, out);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use kenger_types::feed::ChangeEvent;
    use kenger_types::{NamespaceId, NamespaceName};

    fn deleted(id: u64, name: &str) -> Change {
        Change::NamespaceDeleted { id: NamespaceId(id), name: name.parse().unwrap() }
    }

    fn data<T: serde::de::DeserializeOwned>(event: &[u8], head: &str) -> T {
        let text = std::str::from_utf8(event).unwrap();
        let json = text.strip_prefix(head).unwrap_or_else(|| panic!("{text}")).strip_suffix("\n\n").unwrap();
        assert!(!json.contains('\n'));
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn subscribers_that_want_all_of_an_event_share_its_encoding() {
        let event = FeedEvent::new(Revision(7), vec![deleted(1, "a"), deleted(2, "b")]);
        let all = change(&event, &FeedFilter::all());
        let both: [NamespaceName; 2] = ["a", "b"].map(|name| name.parse().unwrap());
        let same = change(&event, &FeedFilter::namespaces(both));
        assert_eq!(all.as_ptr(), same.as_ptr());
        let parsed: ChangeEvent = data(&all, "event: change\nid: 7\ndata: ");
        assert_eq!(parsed, ChangeEvent { revision: Revision(7), changes: event.changes.clone() });
    }

    #[test]
    fn a_filter_gets_its_changes_alone() {
        let event = FeedEvent::new(Revision(7), vec![deleted(1, "a"), deleted(2, "b")]);
        let filtered = change(&event, &FeedFilter::namespaces(["b".parse().unwrap()]));
        let parsed: ChangeEvent = data(&filtered, "event: change\nid: 7\ndata: ");
        assert_eq!(parsed.changes, [deleted(2, "b")]);
        assert_eq!(
            data::<ChangeEvent>(&change(&event, &FeedFilter::all()), "event: change\nid: 7\ndata: ")
                .changes
                .len(),
            2
        );
    }

    #[test]
    fn an_end_has_no_id() {
        let event = LeaderEvent { cluster_id: ClusterId(1), reason: "two\nlines".to_owned(), leader: None };
        assert_eq!(data::<LeaderEvent>(&leader(&event), "event: leader\ndata: "), event);
    }
}
