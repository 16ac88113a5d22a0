//! `/api/upstream/node/*`

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use kenger_cluster::FeedFilter;
use kenger_cluster::state::{Command, NamespaceKey, NodeRecord, Output, Rejection, State as Registry};
use kenger_types::api::{NodeAddress, NodeDelete, NodeDeregister, NodeRegister, NodeUpdate, NodeWeight};
use kenger_types::{Node, NodeId, NodeStatus, Timestamp};

use super::auth::Caller;
use super::body::Json;
use super::error::Failure;
use super::query::Query;
use super::{Api, answer, cluster};

/// Nodes, by namespace, host and port.
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let query = Query::parse(query.as_deref(), &["ns", "status", "version", "consistency"])?;
    let asked = query.namespaces()?;
    let status = status(&query)?;
    let stale = query.is_stale()?;
    let filter = caller.filter(asked.clone())?;
    api.barrier(stale).await?;
    let state = api.member().state();
    if let Some(missing) = asked.iter().flatten().find(|name| state.namespace(name).is_none()) {
        return Err(Rejection::NamespaceNotFound(NamespaceKey::Name(missing.clone())).into());
    }
    let nodes = select(&state, &filter, status, query.text("version"));
    let heard = heard(&api, &filter, stale).await;
    let response = answer::json(answer::body(rendered(nodes, heard)));
    Ok(cluster::mark_stale(&api, stale, answer::with_revision(response, state.revision())))
}

fn status(query: &Query) -> Result<Option<NodeStatus>, Failure> {
    match query.text("status") {
        None => Ok(None),
        Some("online") => Ok(Some(NodeStatus::Online)),
        Some("offline") => Ok(Some(NodeStatus::Offline)),
        Some(other) => Err(Failure::invalid("status", format!("{other:?} is neither online nor offline"))),
    }
}

fn select(
    state: &Registry,
    filter: &FeedFilter,
    status: Option<NodeStatus>,
    version: Option<&str>,
) -> Vec<Arc<NodeRecord>> {
    state
        .namespaces()
        .filter(|namespace| filter.wants(&namespace.name))
        .flat_map(|namespace| state.nodes_of(namespace.id))
        .filter(|node| status.is_none_or(|status| node.status == status))
        .filter(|node| version.is_none_or(|version| node.metadata.version() == Some(version)))
        .cloned()
        .collect()
}

/// When the leader last heard from nodes. Of those that it cannot tell, the log tells when they
/// registered or returned.
async fn heard(api: &Api, filter: &FeedFilter, stale: bool) -> HashMap<NodeId, u64> {
    // A stale read must not wait for a leader that is not there.
    if stale && api.member().leadership().leader.is_none() {
        return HashMap::new();
    }
    api.member().last_heard(filter).await.unwrap_or_else(|e| {
        tracing::debug!(error = %e, "the leader does not say when it heard from nodes");
        HashMap::new()
    })
}

enum Piece {
    Text(&'static str),
    Node(Arc<NodeRecord>),
    NextNode(Arc<NodeRecord>),
}

fn rendered(
    nodes: Vec<Arc<NodeRecord>>,
    heard: HashMap<NodeId, u64>,
) -> impl Iterator<Item = axum::body::Bytes> {
    let mut nodes = nodes.into_iter();
    let head = [Piece::Text(r#"{"code":0,"message":"ok","data":["#)]
        .into_iter()
        .chain(nodes.next().map(Piece::Node));
    let pieces = head.chain(nodes.map(Piece::NextNode)).chain([Piece::Text("]}")]);
    answer::chunks(pieces, move |piece, out| {
        let node = match piece {
            Piece::Text(text) => return out.extend_from_slice(text.as_bytes()),
            Piece::Node(node) => node,
            Piece::NextNode(node) => {
                out.push(b',');
                node
            }
        };
        let heard_at_ms = heard.get(&node.id).copied().unwrap_or(0).max(node.heard_at_ms);
        let last_heartbeat = Some(Timestamp::from_unix_ms(heard_at_ms));
        answer::write_json(&Node { last_heartbeat, ..node.view() }, out);
    })
}

/// Registers a node, or renews its registration.
pub(super) async fn register(
    State(api): State<Api>,
    caller: Caller,
    Json(body): Json<NodeRegister>,
) -> Result<Response, Failure> {
    let NodeRegister { ns, host, port, weight, health_path, metadata, ttl_seconds, if_revision } = body;
    caller.check(&ns)?;
    let key = NodeAddress { ns, host, port };
    let create_namespace = api.config().auto_create_namespace;
    let command =
        Command::Register { key, weight, health_path, metadata, ttl_seconds, create_namespace, if_revision };
    propose(&api, command).await
}

/// Removes a node at its own wish; answers it as it was.
pub(super) async fn deregister(
    State(api): State<Api>,
    caller: Caller,
    Json(NodeDeregister { ns, host, port, if_revision }): Json<NodeDeregister>,
) -> Result<Response, Failure> {
    caller.check(&ns)?;
    propose(&api, Command::Deregister { key: NodeAddress { ns, host, port }, if_revision }).await
}

/// Overrides the declared weight, or gives it back.
pub(super) async fn weight(
    State(api): State<Api>,
    caller: Caller,
    Json(NodeWeight { ns, host, port, weight, if_revision }): Json<NodeWeight>,
) -> Result<Response, Failure> {
    caller.check(&ns)?;
    propose(&api, Command::SetWeight { key: NodeAddress { ns, host, port }, weight, if_revision }).await
}

/// Changes a node.
pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    Json(body): Json<NodeUpdate>,
) -> Result<Response, Failure> {
    let NodeUpdate { id, weight, health_path, metadata, ttl_seconds, if_revision } = body;
    check(&api, &caller, id).await?;
    propose(&api, Command::UpdateNode { id, weight, health_path, metadata, ttl_seconds, if_revision }).await
}

/// Removes a node at an operator's wish; answers it as it was.
pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Json(NodeDelete { id, if_revision }): Json<NodeDelete>,
) -> Result<Response, Failure> {
    check(&api, &caller, id).await?;
    propose(&api, Command::DeleteNode { id, if_revision }).await
}

async fn propose(api: &Api, command: Command) -> Result<Response, Failure> {
    let committed = api.member().propose(command).await?;
    match &committed.output {
        Output::Node(node) | Output::NodeDeleted(node) => Ok(answer::ok_at(committed.revision, node.view())),
        other => Err(cluster::unexpected(other)),
    }
}

/// That the caller may touch this node. One that is bound to namespaces is bound to their names, so
/// a number is looked up first.
async fn check(api: &Api, caller: &Caller, id: NodeId) -> Result<(), Failure> {
    if !caller.is_scoped() {
        return Ok(());
    }
    api.barrier(false).await?;
    match api.member().state().node_by_id(id) {
        Some(node) => caller.check(&node.ns),
        None => Err(Rejection::NodeNotFound(format!("with id {id}")).into()),
    }
}
