//! `kengerctl node`

use std::collections::BTreeMap;

use kenger_sdk::{Client, NodeQuery};
use kenger_types::api::{NodeAddress, NodeDelete, NodeDeregister, NodeRegister, NodeUpdate, NodeWeight};
use kenger_types::{Invalid, Metadata, NamespaceName, Node, NodeStatus, Revision, Weight};

use super::{consistency, remark_staleness};
use crate::args::{Address, NodeCommand, NodeListArgs, NodeRegisterArgs, NodeUpdateArgs, OrDefault};
use crate::clock;
use crate::confirm::confirm;
use crate::failure::Failure;
use crate::output::{Output, Table, since};

pub(super) async fn run(client: &Client, command: NodeCommand, output: Output) -> Result<(), Failure> {
    match command {
        NodeCommand::List(args) => list(client, args, output).await,
        NodeCommand::Register(args) => register(client, args, output).await,
        NodeCommand::Deregister { ns, address: Address { host, port }, condition } => {
            let body = NodeDeregister { ns, host, port, if_revision: condition.if_revision };
            client.deregister(&body).await?;
            removed(&NodeAddress { ns: body.ns, host: body.host, port }, "deregistered", output)
        }
        NodeCommand::Weight { ns, address, weight, condition } => {
            set_weight(client, ns, address, weight, condition.if_revision, output).await
        }
        NodeCommand::Update(args) => update(client, args, output).await,
        NodeCommand::Delete { ns, address, condition, yes } => {
            delete(client, ns, address, condition.if_revision, yes, output).await
        }
    }
}

async fn list(client: &Client, args: NodeListArgs, output: Output) -> Result<(), Failure> {
    let NodeListArgs { ns, status, version, stale } = args;
    let query = NodeQuery { ns, status, version, consistency: consistency(stale.stale) };
    let answer = client.nodes(&query).await?;
    remark_staleness(&answer, stale.stale, output);
    if answer.data.is_empty() && !output.is_json() {
        output.remark(&nothing_found(&query));
        return Ok(());
    }
    output.answer(&answer.data, || text(&answer.data, query.ns.is_none(), output.is_wide()))
}

fn nothing_found(query: &NodeQuery) -> String {
    let status = query.status.map_or_else(String::new, |status| format!("{status} "));
    let version =
        query.version.as_ref().map_or_else(String::new, |version| format!(" of version {version:?}"));
    match &query.ns {
        Some(ns) => format!("no {status}nodes{version} in namespace {ns:?}"),
        None => format!("no {status}nodes{version}"),
    }
}

fn text(nodes: &[Node], with_namespace: bool, wide: bool) -> String {
    let mut titles = vec!["ADDRESS", "STATUS", ">WEIGHT", ">DECLARED", "VERSION", ">HEARD", ">AGE"];
    if with_namespace {
        titles.insert(0, "NAMESPACE");
    }
    if wide {
        titles.extend([">ID", ">REVISION", ">TTL", "HEALTH PATH", "METADATA"]);
    }
    let mut table = Table::new(&titles);
    let now = clock::now();
    for node in nodes {
        let mut row = vec![
            node.host.authority(node.port),
            node.status.to_string(),
            node.weight.to_string(),
            node.registered_weight.to_string(),
            node.metadata.version().unwrap_or_default().to_owned(),
            node.last_heartbeat.map_or_else(String::new, |heard| since(heard, now)),
            since(node.created_at, now),
        ];
        if with_namespace {
            row.insert(0, node.ns.to_string());
        }
        if wide {
            row.extend([
                node.id.to_string(),
                node.mod_revision.to_string(),
                node.ttl_seconds.map_or_else(String::new, |ttl| format!("{ttl}s")),
                node.health_path.as_ref().map_or_else(String::new, ToString::to_string),
                node.metadata
                    .iter()
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect::<Vec<_>>()
                    .join(","),
            ]);
        }
        table.row(row);
    }
    table.render()
}

async fn register(client: &Client, args: NodeRegisterArgs, output: Output) -> Result<(), Failure> {
    let body = NodeRegister {
        ns: args.ns,
        host: args.address.host,
        port: args.address.port,
        weight: args.weight,
        health_path: args.health_path,
        metadata: metadata(args.metadata)?,
        ttl_seconds: args.ttl,
        if_revision: args.condition.if_revision,
    };
    let node = client.register(&body).await?;
    output.done(&node, || {
        let kept = match node.weight == node.registered_weight {
            true => String::new(),
            false => format!(", declared {}", node.registered_weight),
        };
        let (address, ns) = (node.host.authority(node.port), &node.ns);
        format!(
            "{address} registered in {ns:?} (weight {}{kept}, revision {})",
            node.weight, node.mod_revision
        )
    })
}

async fn set_weight(
    client: &Client,
    ns: NamespaceName,
    address: Address,
    weight: OrDefault<Weight>,
    if_revision: Option<Revision>,
    output: Output,
) -> Result<(), Failure> {
    let Address { host, port } = address;
    let node = client.set_weight(&NodeWeight { ns, host, port, weight: weight.value(), if_revision }).await?;
    output.done(&node, || {
        let whose = match weight {
            OrDefault::Value(_) => format!("declared {}", node.registered_weight),
            OrDefault::Default => "as its service declares".to_owned(),
        };
        let (address, ns) = (node.host.authority(node.port), &node.ns);
        format!("{address} in {ns:?} has weight {} ({whose}, revision {})", node.weight, node.mod_revision)
    })
}

async fn update(client: &Client, args: NodeUpdateArgs, output: Output) -> Result<(), Failure> {
    let pairs = if args.no_meta || !args.metadata.is_empty() { Some(metadata(args.metadata)?) } else { None };
    let node = find(client, args.ns, &args.address).await?;
    let body = NodeUpdate {
        id: node.id,
        weight: args.weight.map(OrDefault::value),
        health_path: args.health_path.map(OrDefault::value),
        metadata: pairs,
        ttl_seconds: args.ttl.map(OrDefault::value),
        if_revision: args.condition.if_revision,
    };
    let node = client.update_node(&body).await?;
    output.done(&node, || {
        let (address, ns) = (node.host.authority(node.port), &node.ns);
        format!("{address} in {ns:?} updated (revision {})", node.mod_revision)
    })
}

async fn delete(
    client: &Client,
    ns: NamespaceName,
    address: Address,
    if_revision: Option<Revision>,
    yes: bool,
    output: Output,
) -> Result<(), Failure> {
    let node = find(client, ns, &address).await?;
    if node.status == NodeStatus::Online {
        confirm(&format!("{address} in {:?} is online", node.ns), "delete it nevertheless", yes)?;
    }
    client.delete_node(&NodeDelete { id: node.id, if_revision }).await?;
    removed(&NodeAddress { ns: node.ns, host: node.host, port: node.port }, "deleted", output)
}

fn removed(node: &NodeAddress, how: &str, output: Output) -> Result<(), Failure> {
    output.done(node, || format!("{} {how} from {:?}", node.host.authority(node.port), node.ns))
}

/// The node that listens there. Hosts are compared as they are written, as the registry does.
async fn find(client: &Client, ns: NamespaceName, address: &Address) -> Result<Node, Failure> {
    let query = NodeQuery { ns: Some(ns.clone()), ..NodeQuery::default() };
    let nodes = client.nodes(&query).await?.data;
    let found = nodes.into_iter().find(|node| node.host == address.host && node.port == address.port);
    found.ok_or_else(|| Failure::NotFound(format!("there is no node {address} in namespace {ns:?}")))
}

fn metadata(pairs: Vec<(String, String)>) -> Result<Metadata, Failure> {
    let mut map = BTreeMap::new();
    for (key, value) in pairs {
        if map.insert(key.clone(), value).is_some() {
            return Err(Failure::Usage(format!("--meta names {key:?} twice")));
        }
    }
    map.try_into().map_err(|Invalid(why)| Failure::Usage(format!("--meta: {why}")))
}
