//! The registry as one machine without faults, written down once more and as plainly as possible: what
//! legal histories are made with.

use std::collections::BTreeMap;

use jepsen_tests::history::{Action, Answer, Key, Micros, Observed, Outcome};
use kenger_types::feed::{Change, NodeCause};
use kenger_types::{Metadata, Namespace, NamespaceId, Node, NodeId, NodeStatus, Revision, Timestamp, Weight};

/// Namespaces, nodes and leases.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry {
    pub(crate) revision: u64,
    pub(crate) namespaces: BTreeMap<String, Namespace>,
    pub(crate) nodes: BTreeMap<Key, Entry>,
    next_id: u64,
}

/// A node, and what is not shown of it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) node: Node,
    weight_override: Option<Weight>,
    renewed: Micros,
}

impl Registry {
    /// Carries out a request at `now`.
    pub(crate) fn carry_out(&mut self, now: Micros, key: &Key, action: &Action) -> (Outcome, Vec<Change>) {
        let current = self.nodes.get(key).map(|entry| entry.node.mod_revision.0);
        let if_revision = match action {
            Action::Register { if_revision, .. }
            | Action::SetWeight { if_revision, .. }
            | Action::Deregister { if_revision } => *if_revision,
            Action::Read | Action::Heartbeat => None,
        };
        if current.is_none() && !matches!(action, Action::Register { .. } | Action::Read) {
            return (Outcome::Rejected(Answer::Absent), Vec::new());
        }
        if if_revision.is_some_and(|expected| expected != current.unwrap_or(0)) {
            return (Outcome::Rejected(Answer::Mismatch { current: Some(current.unwrap_or(0)) }), Vec::new());
        }
        let mut changes = Vec::new();
        match action {
            Action::Read => {}
            Action::Heartbeat => {
                self.renew(now, key, &mut changes);
                return (Outcome::Done(Answer::Nothing), changes);
            }
            Action::Register { weight, value, .. } => self.register(now, key, *weight, *value, &mut changes),
            Action::SetWeight { weight, .. } => {
                let revision = self.revision + 1;
                let entry = self.nodes.get_mut(key).unwrap();
                let weight = weight.map(weight_of);
                if entry.weight_override != weight {
                    entry.weight_override = weight;
                    entry.node.weight = weight.unwrap_or(entry.node.registered_weight);
                    entry.changed(revision, NodeCause::Weight, &mut changes);
                }
            }
            Action::Deregister { .. } => {
                changes.push(self.remove(key, NodeCause::Deregistered));
                self.revision += 1;
                return (Outcome::Done(Answer::Nothing), changes);
            }
        }
        self.revision += u64::from(!changes.is_empty());
        let shown = self.nodes.get(key).map(|entry| Answer::Node(entry.observed(self.revision)));
        (Outcome::Done(shown.unwrap_or(Answer::Absent)), changes)
    }

    fn register(&mut self, now: Micros, key: &Key, weight: u32, value: u64, changes: &mut Vec<Change>) {
        let revision = self.revision + 1;
        if !self.namespaces.contains_key(&key.ns) {
            let namespace = namespace(&key.ns, self.namespaces.len() as u64 + 1, revision);
            changes.push(Change::NamespacePut { namespace: namespace.clone() });
            self.namespaces.insert(key.ns.clone(), namespace);
        }
        let next_id = &mut self.next_id;
        let entry = self.nodes.entry(key.clone()).or_insert_with(|| {
            *next_id += 1;
            Entry { node: node(key, *next_id), weight_override: None, renewed: now }
        });
        entry.renewed = now;
        entry.node.registered_weight = weight_of(weight);
        entry.node.weight = entry.weight_override.unwrap_or(entry.node.registered_weight);
        entry.node.status = NodeStatus::Online;
        entry.node.metadata = BTreeMap::from([("value".to_owned(), value.to_string())]).try_into().unwrap();
        entry.changed(revision, NodeCause::Registered, changes);
    }

    fn renew(&mut self, now: Micros, key: &Key, changes: &mut Vec<Change>) {
        let revision = self.revision + 1;
        let entry = self.nodes.get_mut(key).unwrap();
        entry.renewed = now;
        if entry.node.status == NodeStatus::Offline {
            entry.node.status = NodeStatus::Online;
            entry.changed(revision, NodeCause::Returned, changes);
            self.revision = revision;
        }
    }

    fn remove(&mut self, key: &Key, cause: NodeCause) -> Change {
        let Node { id, ns, host, port, .. } = self.nodes.remove(key).unwrap().node;
        Change::NodeDeleted { cause, id, ns, host, port }
    }

    /// Takes silent nodes out of service, all at one revision.
    pub(crate) fn tick(&mut self, now: Micros, ttl: Micros, delete_after: Micros) -> Vec<Change> {
        let revision = self.revision + 1;
        let mut changes = Vec::new();
        let mut gone = Vec::new();
        for (key, entry) in &mut self.nodes {
            if entry.node.status == NodeStatus::Online && now >= entry.renewed + ttl {
                entry.node.status = NodeStatus::Offline;
                entry.changed(revision, NodeCause::Expired, &mut changes);
            } else if entry.node.status == NodeStatus::Offline && now >= entry.renewed + delete_after {
                gone.push(key.clone());
            }
        }
        changes.extend(gone.iter().map(|key| self.remove(key, NodeCause::Expired)));
        self.revision += u64::from(!changes.is_empty());
        changes
    }

    /// All nodes.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        self.nodes.values().map(|entry| entry.node.clone()).collect()
    }

    /// All namespaces.
    pub(crate) fn namespaces(&self) -> Vec<Namespace> {
        self.namespaces.values().cloned().collect()
    }
}

impl Entry {
    fn changed(&mut self, revision: u64, cause: NodeCause, changes: &mut Vec<Change>) {
        self.node.mod_revision = Revision(revision);
        self.node.updated_at = Timestamp::from_unix_ms(revision);
        changes.push(Change::NodePut { cause, node: self.node.clone() });
    }

    fn observed(&self, revision: u64) -> Observed {
        Observed {
            id: self.node.id.0,
            value: self.node.metadata.get("value").and_then(|value| value.parse().ok()),
            weight: self.node.weight.get().into(),
            registered_weight: self.node.registered_weight.get().into(),
            status: self.node.status,
            mod_revision: self.node.mod_revision.0,
            revision: Some(revision),
        }
    }
}

fn weight_of(weight: u32) -> Weight {
    i64::from(weight).try_into().unwrap()
}

fn namespace(name: &str, id: u64, revision: u64) -> Namespace {
    Namespace {
        id: NamespaceId(id),
        name: name.parse().unwrap(),
        description: Default::default(),
        health_path: Default::default(),
        created_at: Timestamp::from_unix_ms(revision),
        updated_at: Timestamp::from_unix_ms(revision),
        mod_revision: Revision(revision),
        node_count: None,
        online_count: None,
    }
}

fn node(key: &Key, id: u64) -> Node {
    Node {
        id: NodeId(id),
        ns: key.ns.parse().unwrap(),
        host: key.host.parse().unwrap(),
        port: i64::from(key.port).try_into().unwrap(),
        weight: Weight::default(),
        registered_weight: Weight::default(),
        health_path: None,
        status: NodeStatus::Online,
        metadata: Metadata::default(),
        ttl_seconds: None,
        last_heartbeat: None,
        created_at: Timestamp::from_unix_ms(id),
        updated_at: Timestamp::from_unix_ms(id),
        mod_revision: Revision(0),
    }
}
