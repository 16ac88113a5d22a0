//! `/api/upstream/sync`: the nodes that take traffic, for gateways that poll.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::header::{ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use kenger_cluster::state::{NamespaceRecord, NodeRecord, State as Registry};
use kenger_cluster::{FeedFilter, FeedItem};
use kenger_types::api::SyncNode;
use kenger_types::limits::SYNC_WAIT_MAX_MS;
use kenger_types::{ErrorCode, HealthPath, NodeStatus, Revision};

use super::auth::Caller;
use super::error::{self, Failure};
use super::query::Query;
use super::{Api, answer, cluster};

/// Online nodes by namespace. With `since` and `wait`, waits until something has changed after that
/// revision, or the time is over.
pub(super) async fn sync(
    State(api): State<Api>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let query = Query::parse(query.as_deref(), &["ns", "since", "wait", "consistency"])?;
    let filter = caller.filter(query.namespaces()?)?;
    let stale = query.is_stale()?;
    let waiting = waiting(&query)?;
    api.barrier(stale).await?;
    if let Some((since, wait)) = waiting
        && !changed_since(&api, since, &filter, wait).await
    {
        // Nothing came; that there was nothing is only known now.
        api.barrier(stale).await?;
    }
    let state = api.member().state();
    let etag = etag(&api, &state, &filter)?;
    let known = headers.get_all(IF_NONE_MATCH).iter().any(|value| matches(value, &etag));
    let mut response = if known {
        error::not_modified(etag)
    } else {
        let mut response = answer::json(answer::body(rendered(&state, &filter)));
        response.headers_mut().insert(ETAG, etag);
        response
    };
    response = answer::with_revision(response, state.revision());
    Ok(cluster::mark_stale(&api, stale, response))
}

fn waiting(query: &Query) -> Result<Option<(Revision, Duration)>, Failure> {
    let since = query.value::<Revision>("since")?;
    let Some(text) = query.text("wait") else { return Ok(None) };
    let max = Duration::from_millis(SYNC_WAIT_MAX_MS);
    let wait = humantime::parse_duration(text).ok().filter(|wait| *wait <= max);
    let wait = wait.ok_or_else(|| {
        Failure::invalid("wait", format!("{text:?} is not a time like 30s, of at most {} s", max.as_secs()))
    })?;
    let since =
        since.ok_or_else(|| Failure::invalid("since", "needed with wait: the revision that you have"))?;
    Ok(Some((since, wait)))
}

/// Whether something that the filter wants has changed after `since`, within `wait`. A revision that
/// this member cannot place counts as changed.
async fn changed_since(api: &Api, since: Revision, filter: &FeedFilter, wait: Duration) -> bool {
    let mut subscription = api.member().subscribe(Some(since), filter.clone());
    let changed = async {
        loop {
            match subscription.next().await {
                Ok(FeedItem::UpToDate(_)) => {}
                Ok(FeedItem::Event(_) | FeedItem::Snapshot(_)) | Err(_) => return,
            }
        }
    };
    tokio::select! {
        () = changed => true,
        () = tokio::time::sleep(wait) => false,
        () = api.stopping().cancelled() => true,
    }
}

/// The same tag means the same body: the cluster's history, the place in it, and what the caller may
/// see of it.
fn etag(api: &Api, state: &Registry, filter: &FeedFilter) -> Result<HeaderValue, Failure> {
    let cluster_id = api.cluster_id()?;
    let mut visible = DefaultHasher::new();
    filter.hash(&mut visible);
    let tag = format!("\"{cluster_id}-{}-{:016x}\"", state.revision(), visible.finish());
    HeaderValue::try_from(tag).map_err(|e| Failure::new(ErrorCode::Internal, e.to_string()))
}

/// RFC 9110 section 13.1.2: a list of tags, compared weakly, or `*`.
fn matches(if_none_match: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(list), Ok(etag)) = (if_none_match.to_str(), etag.to_str()) else { return false };
    list.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

enum Piece {
    Text(String),
    Namespace { record: Arc<NamespaceRecord>, is_first: bool },
    Node { record: Arc<NodeRecord>, default_path: HealthPath, is_first: bool },
}

fn rendered(state: &Registry, filter: &FeedFilter) -> impl Iterator<Item = Bytes> + use<> {
    let mut pieces =
        vec![Piece::Text(format!(r#"{{"code":0,"message":"ok","version":{},"data":{{"#, state.revision()))];
    let mut is_first_namespace = true;
    for namespace in state.namespaces().filter(|namespace| filter.wants(&namespace.name)) {
        pieces.push(Piece::Namespace { record: Arc::clone(namespace), is_first: is_first_namespace });
        is_first_namespace = false;
        let online = state.nodes_of(namespace.id).filter(|node| node.status == NodeStatus::Online);
        pieces.extend(online.enumerate().map(|(i, node)| Piece::Node {
            record: Arc::clone(node),
            default_path: namespace.health_path.clone(),
            is_first: i == 0,
        }));
        pieces.push(Piece::Text("]}".to_owned()));
    }
    pieces.push(Piece::Text("}}".to_owned()));
    answer::chunks(pieces, |piece, out| match piece {
        Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
        Piece::Namespace { record, is_first } => {
            separate(is_first, out);
            answer::write_json(&record.name, out);
            out.extend_from_slice(br#":{"health_path":"#);
            answer::write_json(&record.health_path, out);
            out.extend_from_slice(br#","nodes":["#);
        }
        Piece::Node { record, default_path, is_first } => {
            separate(is_first, out);
            let node = SyncNode {
                host: record.host.clone(),
                port: record.port,
                weight: record.weight(),
                health_path: record.health_path.clone().unwrap_or(default_path),
                metadata: record.metadata.clone(),
            };
            answer::write_json(&node, out);
        }
    })
}

fn separate(is_first: bool, out: &mut Vec<u8>) {
    if !is_first {
        out.push(b',');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_compared_weakly_and_within_lists() {
        let etag = HeaderValue::from_static("\"c-7-00\"");
        for (value, same) in [
            ("\"c-7-00\"", true),
            ("W/\"c-7-00\"", true),
            ("\"x\", \"c-7-00\"", true),
            ("*", true),
            ("\"c-7-01\"", false),
            ("c-7-00", false),
            ("", false),
        ] {
            assert_eq!(matches(&HeaderValue::from_static(value), &etag), same, "{value}");
        }
    }

    #[test]
    fn waiting_takes_a_revision_and_a_bounded_time() {
        let parse = |text: &str| {
            let query = Query::parse(Some(text), &["since", "wait"]).unwrap();
            waiting(&query).map_err(|failure| failure.error().field.clone().unwrap())
        };
        assert_eq!(parse("since=7&wait=30s"), Ok(Some((Revision(7), Duration::from_secs(30)))));
        assert_eq!(parse("since=7&wait=1500ms"), Ok(Some((Revision(7), Duration::from_millis(1_500)))));
        assert_eq!(parse("since=7"), Ok(None));
        assert_eq!(parse(""), Ok(None));
        assert_eq!(parse("wait=30s"), Err("since".to_owned()));
        for wrong in ["wait=30&since=1", "wait=301s&since=1", "wait=-1s&since=1", "wait=&since=1"] {
            assert_eq!(parse(wrong), Err("wait".to_owned()), "{wrong}");
        }
        assert_eq!(parse("wait=1s&since=x"), Err("since".to_owned()));
    }
}
