//! `kengerctl watch`: one line for each change, for as long as somebody reads.

use kenger_sdk::{Client, DisconnectReason, Disconnected, Error, WatchEvent, WatchOptions};
use kenger_types::feed::{Change, ChangeEvent, NodeCause, SnapshotEvent};
use kenger_types::{ErrorCode, Revision};
use serde::Serialize;

use crate::args::WatchArgs;
use crate::failure::Failure;
use crate::output::Output;

/// A line for programs: an event of the feed, with its name.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line<'a> {
    Snapshot(&'a SnapshotEvent),
    Change(&'a ChangeEvent),
}

pub(super) async fn run(client: &Client, args: WatchArgs, output: Output) -> Result<(), Failure> {
    let mut watch = client.watch(WatchOptions {
        namespaces: args.ns,
        from_leader: args.from_leader,
        last_revision: args.since,
        stale: args.stale.stale,
        ..WatchOptions::default()
    })?;
    let mut connection = Connection::default();
    let mut changes_left = args.count.unwrap_or(u64::MAX);
    while changes_left > 0 {
        match watch.next().await {
            WatchEvent::Connected(connected) => connection.made(&connected.endpoint.to_string(), output),
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Disconnected(disconnected) => connection.lost(&disconnected, output)?,
            WatchEvent::Snapshot(snapshot) if output.is_json() => {
                output.line(&Line::Snapshot(&snapshot), String::new)?;
            }
            WatchEvent::Snapshot(snapshot) => {
                let (nodes, namespaces) = (snapshot.nodes.len(), snapshot.namespaces.len());
                let revision = snapshot.revision;
                output.remark(&format!("at revision {revision}: {nodes} nodes in {namespaces} namespaces"));
            }
            WatchEvent::Change(event) => {
                for line in lines(&event, output.is_json()) {
                    output.line(&Line::Change(&event), || line)?;
                }
                changes_left -= 1;
            }
        }
    }
    Ok(())
}

/// One line for each change; for programs one for all, because they belong together.
fn lines(event: &ChangeEvent, json: bool) -> Vec<String> {
    if json {
        vec![String::new()]
    } else {
        event.changes.iter().map(|change| line(event.revision, change)).collect()
    }
}

fn line(revision: Revision, change: &Change) -> String {
    let (sign, ns, what) = match change {
        Change::NamespacePut { namespace } => {
            let sign = if namespace.mod_revision == revision && namespace.created_at == namespace.updated_at {
                '+'
            } else {
                '~'
            };
            (sign, &namespace.name, format!("namespace, health path {}", namespace.health_path))
        }
        Change::NamespaceDeleted { name, .. } => ('-', name, "namespace".to_owned()),
        Change::NodePut { cause, node } => {
            let sign = if node.created_at == node.updated_at { '+' } else { '~' };
            let version =
                node.metadata.version().map_or_else(String::new, |version| format!(", version {version}"));
            let (address, cause) = (node.host.authority(node.port), cause_text(*cause));
            (sign, &node.ns, format!("{address} {}, weight {}{version} ({cause})", node.status, node.weight))
        }
        Change::NodeDeleted { cause, ns, host, port, .. } => {
            ('-', ns, format!("{} ({})", host.authority(*port), cause_text(*cause)))
        }
    };
    format!("{revision:>8} {sign} {ns:<16} {what}")
}

fn cause_text(cause: NodeCause) -> &'static str {
    match cause {
        NodeCause::Registered => "registered",
        NodeCause::Deregistered => "deregistered",
        NodeCause::Weight => "weight set",
        NodeCause::Updated => "updated",
        NodeCause::Deleted => "deleted",
        NodeCause::Expired => "expired",
        NodeCause::Returned => "returned",
        NodeCause::NamespaceRenamed => "namespace renamed",
    }
}

/// What is said about the connection: each failure once, until it is made again.
#[derive(Default)]
struct Connection {
    reported: Vec<String>,
}

impl Connection {
    fn made(&mut self, endpoint: &str, output: Output) {
        self.reported.clear();
        output.remark(&format!("watching {endpoint}"));
    }

    fn lost(&mut self, lost: &Disconnected, output: Output) -> Result<(), Failure> {
        if let DisconnectReason::Refused(error) = &lost.reason
            && !matches!(error.error, ErrorCode::PathNotFound)
        {
            let (endpoint, error) = (lost.endpoint.clone(), error.clone());
            return Err(Failure::Registry(Error::Refused { endpoint, error }));
        }
        let report = format!("{}: {}; trying again", lost.endpoint, lost.reason);
        if !self.reported.contains(&report) {
            output.remark(&report);
            self.reported.push(report);
        }
        Ok(())
    }
}
