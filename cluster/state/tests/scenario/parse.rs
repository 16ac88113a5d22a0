//! The commands of a scenario file: `@TIME COMMAND ARGUMENT…`, with arguments by position first and
//! then `name=value`; a value of `null` is a given nothing.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::str::FromStr;

use kenger_state::{Command, NamespaceKey, Proposal, Seen};
use kenger_types::api::NodeAddress;
use kenger_types::{Metadata, NamespaceId, NodeId, Revision};

struct Arguments<'a> {
    line: &'a str,
    positional: Vec<&'a str>,
    named: BTreeMap<&'a str, &'a str>,
}

impl<'a> Arguments<'a> {
    fn position(&self, index: usize) -> &'a str {
        self.positional.get(index).unwrap_or_else(|| panic!("{:?} lacks an argument", self.line))
    }

    /// Not given: `None`.
    fn named<T: FromStr<Err: Debug>>(&mut self, name: &str) -> Option<T> {
        self.named.remove(name).map(parsed)
    }

    /// Not given: `None`; given as `null`: `Some(None)`.
    fn nullable<T: FromStr<Err: Debug>>(&mut self, name: &str) -> Option<Option<T>> {
        self.named.remove(name).map(|text| (text != "null").then(|| parsed(text)))
    }

    fn metadata(&mut self) -> Option<Metadata> {
        let text = self.named.remove("meta")?;
        let pairs: BTreeMap<_, _> = text.split(',').filter(|pair| !pair.is_empty()).map(pair).collect();
        Some(pairs.try_into().unwrap())
    }

    fn seen(&mut self, name: &str) -> Vec<Seen> {
        let text = self.named.remove(name).unwrap_or_default();
        text.split(',')
            .filter(|seen| !seen.is_empty())
            .map(|seen| {
                let (id, epoch) = seen.split_once('@').expect("a node that was seen is ID@EPOCH");
                Seen { id: parsed(id), epoch: parsed(epoch) }
            })
            .collect()
    }
}

fn parsed<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().unwrap_or_else(|error| panic!("{text:?}: {error:?}"))
}

fn pair(text: &str) -> (String, String) {
    let (key, value) = text.split_once(':').expect("a pair of metadata is KEY:VALUE");
    (key.to_owned(), value.to_owned())
}

fn address(text: &str) -> NodeAddress {
    let (ns, rest) = text.split_once('/').expect("a node is NAMESPACE/HOST:PORT");
    let (host, port) = rest.rsplit_once(':').expect("a node is NAMESPACE/HOST:PORT");
    let host = host.trim_start_matches('[').trim_end_matches(']');
    NodeAddress { ns: parsed(ns), host: parsed(host), port: parsed(port) }
}

fn node_id(text: &str) -> NodeId {
    parsed(text.strip_prefix('#').expect("a number is #N"))
}

fn namespace_key(text: &str) -> NamespaceKey {
    match text.strip_prefix('#') {
        Some(id) => NamespaceKey::Id(NamespaceId(parsed(id))),
        None => NamespaceKey::Name(parsed(text)),
    }
}

/// Reads one command; a mistake in the file is a panic that shows it.
pub(crate) fn proposal(line: &str) -> Proposal {
    let mut words = line.split_whitespace();
    let time = words.next().and_then(|word| word.strip_prefix('@')).expect("a command begins with @TIME");
    let name = words.next().expect("a command has a name");
    let (named, positional) = words.partition::<Vec<_>, _>(|word| word.contains('='));
    let named = named.into_iter().filter_map(|word| word.split_once('=')).collect();
    let mut arguments = Arguments { line, positional, named };
    let command = command(name, &mut arguments);
    assert!(arguments.named.is_empty(), "{line:?} has unknown arguments: {:?}", arguments.named.keys());
    Proposal { proposed_at_ms: parsed(time), command }
}

fn command(name: &str, from: &mut Arguments<'_>) -> Command {
    let if_revision: Option<Revision> = from.named("if");
    match name {
        "add-namespace" => Command::AddNamespace {
            name: parsed(from.position(0)),
            description: from.named("description").unwrap_or_default(),
            health_path: from.named("health").unwrap_or_default(),
        },
        "update-namespace" => Command::UpdateNamespace {
            key: namespace_key(from.position(0)),
            new_name: from.named("name"),
            description: from.named("description"),
            health_path: from.named("health"),
            if_revision,
        },
        "delete-namespace" => Command::DeleteNamespace { key: namespace_key(from.position(0)), if_revision },
        "register" => Command::Register {
            key: address(from.position(0)),
            weight: from.named("weight").unwrap_or_default(),
            health_path: from.named("health"),
            metadata: from.metadata().unwrap_or_default(),
            ttl_seconds: from.named("ttl"),
            create_namespace: !from.positional.contains(&"no-create"),
            if_revision,
        },
        "deregister" => Command::Deregister { key: address(from.position(0)), if_revision },
        "set-weight" => Command::SetWeight {
            key: address(from.position(0)),
            weight: from.nullable("weight").expect("set-weight needs weight="),
            if_revision,
        },
        "update-node" => Command::UpdateNode {
            id: node_id(from.position(0)),
            weight: from.nullable("weight"),
            health_path: from.nullable("health"),
            metadata: from.metadata(),
            ttl_seconds: from.nullable("ttl"),
            if_revision,
        },
        "delete-node" => Command::DeleteNode { id: node_id(from.position(0)), if_revision },
        "expire" => Command::Expire { offline: from.seen("offline"), delete: from.seen("delete") },
        "return" => Command::Return { nodes: from.positional.iter().map(|id| node_id(id)).collect() },
        _ => panic!("there is no command {name:?}"),
    }
}
