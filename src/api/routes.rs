//! Every path of the API: its method, who may use it, and which limit it counts against.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use kenger_types::api::path;

use super::{Api, cluster, gate, heartbeat, namespace, node, sync, watch};
use crate::token::Role;

/// One path.
pub(super) struct Route {
    pub(super) path: &'static str,
    pub(super) access: Access,
    pub(super) lane: Lane,
    handler: fn() -> MethodRouter<Api>,
}

/// Who may use a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody.
    Open,
    /// Whoever has this role.
    Role(Role),
    /// Everybody or the role `read`, as configured.
    Metrics,
}

/// What a path competes with: requests of one lane never take the place of those of another, so that
/// heartbeats go on when lists pile up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Cheap, and needed most when nothing else works.
    Probe,
    Heartbeat,
    Write,
    Read,
    /// May wait for a change.
    Poll,
}

const fn route(path: &'static str, access: Access, lane: Lane, handler: fn() -> MethodRouter<Api>) -> Route {
    Route { path, access, lane, handler }
}

/// The table.
pub(super) static ROUTES: [Route; 17] = [
    route(path::NAMESPACE_LIST, Access::Role(Role::Read), Lane::Read, || get(namespace::list)),
    route(path::NAMESPACE_ADD, Access::Role(Role::Admin), Lane::Write, || post(namespace::add)),
    route(path::NAMESPACE_UPDATE, Access::Role(Role::Admin), Lane::Write, || post(namespace::update)),
    route(path::NAMESPACE_DELETE, Access::Role(Role::Admin), Lane::Write, || post(namespace::delete)),
    route(path::NODE_LIST, Access::Role(Role::Read), Lane::Read, || get(node::list)),
    route(path::NODE_REGISTER, Access::Role(Role::Register), Lane::Write, || post(node::register)),
    route(path::NODE_DEREGISTER, Access::Role(Role::Register), Lane::Write, || post(node::deregister)),
    route(path::NODE_WEIGHT, Access::Role(Role::Admin), Lane::Write, || post(node::weight)),
    route(path::NODE_UPDATE, Access::Role(Role::Admin), Lane::Write, || post(node::update)),
    route(path::NODE_DELETE, Access::Role(Role::Admin), Lane::Write, || post(node::delete)),
    route(path::HEARTBEAT, Access::Role(Role::Register), Lane::Heartbeat, || post(heartbeat::heartbeat)),
    route(path::SYNC, Access::Role(Role::Read), Lane::Poll, || get(sync::sync)),
    route(path::WATCH, Access::Role(Role::Read), Lane::Read, || get(watch::watch)),
    route(path::CLUSTER_STATUS, Access::Role(Role::Read), Lane::Read, || get(cluster::status)),
    route(path::HEALTHZ, Access::Open, Lane::Probe, || get(cluster::health)),
    route(path::READYZ, Access::Open, Lane::Probe, || get(cluster::ready)),
    route(path::METRICS, Access::Metrics, Lane::Probe, || get(cluster::metrics)),
];

/// All paths, each behind its gate.
pub(super) fn router(api: Api) -> Router {
    let mut router = Router::new();
    for route in &ROUTES {
        let state = gate::Gate::new(&api, route);
        let handler = (route.handler)().fallback(gate::method_not_allowed);
        router = router.route(route.path, handler.layer(from_fn_with_state(state, gate::pass)));
    }
    router.fallback(gate::path_not_found).with_state(api)
}
