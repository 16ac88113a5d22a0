//! `kengerctl ns`

use kenger_sdk::{Client, Consistency};
use kenger_types::api::{NamespaceAdd, NamespaceDelete, NamespaceUpdate};
use kenger_types::{Namespace, NamespaceName, Revision};
use serde_json::json;

use super::{consistency, remark_staleness};
use crate::args::{NsCommand, NsUpdateArgs};
use crate::clock;
use crate::confirm::confirm;
use crate::failure::Failure;
use crate::output::{Output, Table, since};

pub(super) async fn run(client: &Client, command: NsCommand, output: Output) -> Result<(), Failure> {
    match command {
        NsCommand::List { stale } => list(client, stale.stale, output).await,
        NsCommand::Add { name, description, health_path } => {
            let made = client.add_namespace(&NamespaceAdd { name, description, health_path }).await?;
            output.done(&made, || format!("namespace {:?} added (revision {})", made.name, made.mod_revision))
        }
        NsCommand::Update(args) => update(client, args, output).await,
        NsCommand::Delete { name, condition, yes } => {
            delete(client, name, condition.if_revision, yes, output).await
        }
    }
}

async fn list(client: &Client, stale: bool, output: Output) -> Result<(), Failure> {
    let answer = client.namespaces(consistency(stale)).await?;
    remark_staleness(&answer, stale, output);
    if answer.data.is_empty() && !output.is_json() {
        output.remark("no namespaces; the first node that registers makes one, or `kengerctl ns add NAME`");
        return Ok(());
    }
    output.answer(&answer.data, || text(&answer.data, output.is_wide()))
}

fn text(namespaces: &[Namespace], wide: bool) -> String {
    let mut titles = vec!["NAMESPACE", ">NODES", ">ONLINE", "HEALTH PATH", ">AGE", "DESCRIPTION"];
    if wide {
        titles.splice(5..5, [">ID", ">REVISION", ">UPDATED"]);
    }
    let mut table = Table::new(&titles);
    let now = clock::now();
    for namespace in namespaces {
        let count = |count: Option<u64>| count.map_or_else(String::new, |count| count.to_string());
        let mut row = vec![
            namespace.name.to_string(),
            count(namespace.node_count),
            count(namespace.online_count),
            namespace.health_path.to_string(),
            since(namespace.created_at, now),
            namespace.description.to_string(),
        ];
        if wide {
            let (id, revision) = (namespace.id.to_string(), namespace.mod_revision.to_string());
            row.splice(5..5, [id, revision, since(namespace.updated_at, now)]);
        }
        table.row(row);
    }
    table.render()
}

async fn update(client: &Client, args: NsUpdateArgs, output: Output) -> Result<(), Failure> {
    let NsUpdateArgs { name, rename, description, health_path, condition } = args;
    let body = NamespaceUpdate {
        id: None,
        name: Some(name.clone()),
        new_name: rename,
        description,
        health_path,
        if_revision: condition.if_revision,
    };
    let now = client.update_namespace(&body).await?;
    output.done(&now, || match now.name == name {
        true => format!("namespace {name:?} updated (revision {})", now.mod_revision),
        false => format!("namespace {name:?} is now {:?} (revision {})", now.name, now.mod_revision),
    })
}

async fn delete(
    client: &Client,
    name: NamespaceName,
    if_revision: Option<Revision>,
    yes: bool,
    output: Output,
) -> Result<(), Failure> {
    if !yes {
        let all = client.namespaces(Consistency::Linearizable).await?.data;
        let found = all.iter().find(|namespace| namespace.name == name);
        let namespace = found.ok_or_else(|| Failure::NotFound(format!("there is no namespace {name:?}")))?;
        let (nodes, online) = (namespace.node_count.unwrap_or(0), namespace.online_count.unwrap_or(0));
        if nodes > 0 {
            let plural = if nodes == 1 { "node" } else { "nodes" };
            let fact = format!("namespace {name:?} has {nodes} {plural}, {online} online");
            confirm(&fact, "delete it with all of them", yes)?;
        }
    }
    let body = NamespaceDelete { id: None, name: Some(name.clone()), if_revision };
    client.delete_namespace(&body).await?;
    output.done(&json!({ "name": name }), || format!("namespace {name:?} deleted"))
}
