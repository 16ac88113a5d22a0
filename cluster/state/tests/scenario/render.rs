//! What a command did, one line for each thing.

use std::fmt::Write as _;

use kenger_state::{Applied, LeaseEffect, NamespaceRecord, NodeRecord, Output, State};
use kenger_types::feed::Change;
use kenger_types::{Host, Metadata, Namespace, NamespaceName, Node, Port, Revision};

fn line(out: &mut String, text: &str) {
    writeln!(out, "    {text}").unwrap();
}

pub(crate) fn applied(out: &mut String, before: Revision, applied: &Applied) {
    if applied.revision == before {
        line(out, &format!("revision {before}"));
    } else {
        line(out, &format!("revision {before} -> {}", applied.revision));
    }
    match &applied.result {
        Ok(answer) => line(out, &format!("answer {}", output(answer))),
        Err(rejection) => line(out, &format!("rejected: {rejection}")),
    }
    for change in &applied.changes {
        line(out, &format!("change {}", render_change(change)));
    }
    for effect in &applied.leases {
        line(out, &format!("lease {}", lease(*effect)));
    }
}

pub(crate) fn state(out: &mut String, state: &State) {
    let (nodes, online) = state.total_counts();
    line(out, &format!("revision {}, {nodes} nodes, {online} online", state.revision()));
    for namespace in state.namespaces() {
        let (nodes, online) = state.counts(namespace.id);
        line(out, &format!("{}, {nodes} nodes, {online} online", namespace_record(namespace)));
        for node in state.nodes_of(namespace.id) {
            line(out, &format!("  {}", node_record(node)));
        }
    }
}

fn output(output: &Output) -> String {
    match output {
        Output::Namespace(namespace) => namespace_record(namespace),
        Output::Node(node) => node_record(node),
        Output::NamespaceDeleted(namespace, nodes) => {
            format!("deleted {} and {nodes} nodes", namespace_record(namespace))
        }
        Output::NodeDeleted(node) => format!("deleted {}", node_record(node)),
        Output::Expired { offline, deleted } => format!("{offline} offline, {deleted} deleted"),
        Output::Returned(ids) => {
            let ids: Vec<_> = ids.iter().map(|id| format!("#{id}")).collect();
            format!("returned [{}]", ids.join(" "))
        }
    }
}

fn render_change(change: &Change) -> String {
    match change {
        Change::NamespacePut { namespace } => format!("namespace_put {}", namespace_view(namespace)),
        Change::NamespaceDeleted { id, name } => format!("namespace_deleted #{id} {name}"),
        Change::NodePut { cause, node } => format!("node_put {cause:?} {}", node_view(node)),
        Change::NodeDeleted { cause, id, ns, host, port } => {
            format!("node_deleted {cause:?} #{id} {}", place(ns, host, *port))
        }
    }
}

fn lease(effect: LeaseEffect) -> String {
    match effect {
        LeaseEffect::Renewed { id, epoch, ttl } => {
            format!("renewed #{id} epoch={epoch}{}", given("ttl", ttl))
        }
        LeaseEffect::Offline { id, epoch } => format!("offline #{id} epoch={epoch}"),
        LeaseEffect::TtlChanged { id, ttl } => format!("ttl_changed #{id}{}", given("ttl", ttl)),
        LeaseEffect::Removed { id } => format!("removed #{id}"),
    }
}

fn namespace_record(namespace: &NamespaceRecord) -> String {
    namespace_view(&namespace.view())
}

fn namespace_view(namespace: &Namespace) -> String {
    let description = Some(&namespace.description).filter(|text| !text.as_str().is_empty());
    format!(
        "#{} {} health={}{} created={} updated={} rev={}",
        namespace.id,
        namespace.name,
        namespace.health_path,
        given("description", description),
        namespace.created_at.unix_ms(),
        namespace.updated_at.unix_ms(),
        namespace.mod_revision
    )
}

fn node_record(node: &NodeRecord) -> String {
    format!(
        "{}{} epoch={} heard={}",
        node_view(&node.view()),
        given("override", node.weight_override),
        node.epoch,
        node.heard_at_ms
    )
}

fn node_view(node: &Node) -> String {
    format!(
        "#{} {} {} weight={} registered={}{}{}{} created={} updated={} rev={}",
        node.id,
        place(&node.ns, &node.host, node.port),
        node.status,
        node.weight,
        node.registered_weight,
        given("health", node.health_path.as_ref()),
        given("ttl", node.ttl_seconds),
        metadata(&node.metadata),
        node.created_at.unix_ms(),
        node.updated_at.unix_ms(),
        node.mod_revision
    )
}

fn place(ns: &NamespaceName, host: &Host, port: Port) -> String {
    format!("{ns}/{}", host.authority(port))
}

fn metadata(metadata: &Metadata) -> String {
    metadata.iter().map(|(key, value)| format!(" {key}:{value}")).collect()
}

fn given<T: std::fmt::Display>(name: &str, value: Option<T>) -> String {
    value.map(|value| format!(" {name}={value}")).unwrap_or_default()
}
