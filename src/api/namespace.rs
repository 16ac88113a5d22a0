//! `/api/upstream/namespace/*`

use axum::extract::{RawQuery, State};
use axum::response::Response;
use kenger_cluster::state::{Command, NamespaceKey, NamespaceRecord, Output, Rejection, State as Registry};
use kenger_types::api::{NamespaceAdd, NamespaceDelete, NamespaceUpdate};
use kenger_types::{Namespace, NamespaceId, NamespaceName};

use super::auth::Caller;
use super::body::Json;
use super::error::Failure;
use super::query::Query;
use super::{Api, answer, cluster};

/// All namespaces that the caller may see, by name.
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let stale = Query::parse(query.as_deref(), &["consistency"])?.is_stale()?;
    api.barrier(stale).await?;
    let state = api.member().state();
    let namespaces: Vec<Namespace> = state
        .namespaces()
        .filter(|record| caller.allows(&record.name))
        .map(|record| with_counts(record, &state))
        .collect();
    let response = answer::ok_at(state.revision(), namespaces);
    Ok(cluster::mark_stale(&api, stale, response))
}

/// Makes a namespace.
pub(super) async fn add(
    State(api): State<Api>,
    caller: Caller,
    Json(NamespaceAdd { name, description, health_path }): Json<NamespaceAdd>,
) -> Result<Response, Failure> {
    caller.check(&name)?;
    let description = description.unwrap_or_default();
    let health_path = health_path.unwrap_or_default();
    propose(&api, Command::AddNamespace { name, description, health_path }).await
}

/// Changes a namespace.
pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    Json(body): Json<NamespaceUpdate>,
) -> Result<Response, Failure> {
    let NamespaceUpdate { id, name, new_name, description, health_path, if_revision } = body;
    let key = key(id, name)?;
    check(&api, &caller, &key).await?;
    if let Some(new_name) = &new_name {
        caller.check(new_name)?;
    }
    propose(&api, Command::UpdateNamespace { key, new_name, description, health_path, if_revision }).await
}

/// Deletes a namespace and its nodes; answers it as it was, with how many nodes went with it.
pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Json(NamespaceDelete { id, name, if_revision }): Json<NamespaceDelete>,
) -> Result<Response, Failure> {
    let key = key(id, name)?;
    check(&api, &caller, &key).await?;
    propose(&api, Command::DeleteNamespace { key, if_revision }).await
}

async fn propose(api: &Api, command: Command) -> Result<Response, Failure> {
    let committed = api.member().propose(command).await?;
    let namespace = match &committed.output {
        Output::Namespace(record) => with_counts(record, &api.member().state()),
        Output::NamespaceDeleted(record, nodes) => Namespace { node_count: Some(*nodes), ..record.view() },
        other => return Err(cluster::unexpected(other)),
    };
    Ok(answer::ok_at(committed.revision, namespace))
}

fn with_counts(record: &NamespaceRecord, state: &Registry) -> Namespace {
    let (nodes, online) = state.counts(record.id);
    Namespace { node_count: Some(nodes), online_count: Some(online), ..record.view() }
}

fn key(id: Option<NamespaceId>, name: Option<NamespaceName>) -> Result<NamespaceKey, Failure> {
    match (id, name) {
        (Some(id), None) => Ok(NamespaceKey::Id(id)),
        (None, Some(name)) => Ok(NamespaceKey::Name(name)),
        (None, None) => Err(Failure::invalid("name", "say which namespace, by id or name")),
        (Some(_), Some(_)) => Err(Failure::invalid("id", "say which namespace by id or name, not both")),
    }
}

/// That the caller may touch this namespace. One that is bound to namespaces is bound to their
/// names, so a number is looked up first.
async fn check(api: &Api, caller: &Caller, key: &NamespaceKey) -> Result<(), Failure> {
    let id = match key {
        NamespaceKey::Name(name) => return caller.check(name),
        NamespaceKey::Id(_) if !caller.is_scoped() => return Ok(()),
        NamespaceKey::Id(id) => *id,
    };
    api.barrier(false).await?;
    match api.member().state().namespace_by_id(id) {
        Some(record) => caller.check(&record.name),
        None => Err(Rejection::NamespaceNotFound(NamespaceKey::Id(id)).into()),
    }
}
