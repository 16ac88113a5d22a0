//! How a [`State`] is written and read: namespaces with their nodes, and nothing that follows from
//! them. What is read is checked, because a snapshot comes from a disk or another member.

use std::collections::HashSet;
use std::sync::Arc;

use kenger_mutant::{self as mutant, Mutant};
use kenger_types::{
    HealthPath, Host, Metadata, NamespaceId, NodeId, NodeStatus, Port, Revision, TtlSeconds, Weight,
};
use serde::de::Error as _;
use serde::ser::{SerializeSeq, SerializeStruct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::record::{NamespaceRecord, NodeRecord};
use crate::state::State;

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("State", 5)?;
        fields.serialize_field("revision", &self.revision)?;
        fields.serialize_field("next_namespace_id", &self.next_namespace_id)?;
        fields.serialize_field("next_node_id", &self.next_node_id)?;
        fields.serialize_field("next_epoch", &self.next_epoch)?;
        fields.serialize_field("pools", &Pools(self))?;
        fields.end()
    }
}

/// All namespaces, written one by one so that no second copy of the state is made.
struct Pools<'a>(&'a State);

impl Serialize for Pools<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let state = self.0;
        let mut pools = serializer.serialize_seq(usize::try_from(state.namespace_count()).ok())?;
        for namespace in state.namespaces() {
            pools.serialize_element(&Pool { state, namespace })?;
        }
        pools.end()
    }
}

struct Pool<'a> {
    state: &'a State,
    namespace: &'a NamespaceRecord,
}

impl Serialize for Pool<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("StoredPool", 2)?;
        fields.serialize_field("namespace", self.namespace)?;
        fields.serialize_field("nodes", &Nodes { state: self.state, ns_id: self.namespace.id })?;
        fields.end()
    }
}

struct Nodes<'a> {
    state: &'a State,
    ns_id: NamespaceId,
}

impl Serialize for Nodes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (count, _) = self.state.counts(self.ns_id);
        let mut nodes = serializer.serialize_seq(usize::try_from(count).ok())?;
        for node in self.state.nodes_of(self.ns_id) {
            nodes.serialize_element(&StoredNode::from(&**node))?;
        }
        nodes.end()
    }
}

/// What [`State`] is read as.
#[derive(Deserialize)]
struct StoredState {
    revision: Revision,
    next_namespace_id: NamespaceId,
    next_node_id: NodeId,
    next_epoch: u64,
    pools: Vec<StoredPool>,
}

#[derive(Deserialize)]
struct StoredPool {
    namespace: NamespaceRecord,
    nodes: Vec<StoredNode>,
}

/// A [`NodeRecord`] without what its namespace tells. Fields are only ever added at the end.
#[derive(Serialize, Deserialize)]
struct StoredNode {
    id: NodeId,
    host: Host,
    port: Port,
    registered_weight: Weight,
    weight_override: Option<Weight>,
    health_path: Option<HealthPath>,
    status: NodeStatus,
    metadata: Metadata,
    ttl_seconds: Option<TtlSeconds>,
    epoch: u64,
    heard_at_ms: u64,
    created_at_ms: u64,
    updated_at_ms: u64,
    mod_revision: Revision,
}

impl From<&NodeRecord> for StoredNode {
    fn from(node: &NodeRecord) -> Self {
        Self {
            id: node.id,
            host: node.host.clone(),
            port: node.port,
            registered_weight: node.registered_weight,
            weight_override: node.weight_override.filter(|_| !mutant::is(Mutant::SnapshotWithoutOverrides)),
            health_path: node.health_path.clone(),
            status: node.status,
            metadata: node.metadata.clone(),
            ttl_seconds: node.ttl_seconds.filter(|_| !mutant::is(Mutant::SnapshotWithoutTtls)),
            epoch: node.epoch,
            heard_at_ms: node.heard_at_ms,
            created_at_ms: node.created_at_ms,
            updated_at_ms: node.updated_at_ms,
            mod_revision: node.mod_revision,
        }
    }
}

impl StoredNode {
    fn into_record(self, namespace: &NamespaceRecord) -> NodeRecord {
        NodeRecord {
            id: self.id,
            ns_id: namespace.id,
            ns: namespace.name.clone(),
            host: self.host,
            port: self.port,
            registered_weight: self.registered_weight,
            weight_override: self.weight_override,
            health_path: self.health_path,
            status: self.status,
            metadata: self.metadata,
            ttl_seconds: self.ttl_seconds,
            epoch: self.epoch,
            heard_at_ms: self.heard_at_ms,
            created_at_ms: self.created_at_ms,
            updated_at_ms: self.updated_at_ms,
            mod_revision: self.mod_revision,
        }
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Reader::default().read(StoredState::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Builds a state from what was stored and refuses what no sequence of commands could have made.
#[derive(Default)]
struct Reader {
    state: State,
    epochs: HashSet<u64>,
}

impl Reader {
    fn read(mut self, stored: StoredState) -> Result<State, String> {
        self.state.revision = stored.revision;
        self.state.next_namespace_id = stored.next_namespace_id;
        self.state.next_node_id = stored.next_node_id;
        self.state.next_epoch = stored.next_epoch;
        for pool in stored.pools {
            let namespace = Arc::new(pool.namespace);
            self.add_namespace(&namespace)?;
            for node in pool.nodes {
                self.add_node(node.into_record(&namespace))?;
            }
        }
        Ok(self.state)
    }

    fn add_namespace(&mut self, namespace: &Arc<NamespaceRecord>) -> Result<(), String> {
        let NamespaceRecord { id, name, mod_revision, .. } = &**namespace;
        let state = &self.state;
        if state.namespace_by_id(*id).is_some() || state.namespace(name).is_some() {
            return Err(format!("namespace {name} (id {id}) is there twice"));
        }
        if *id >= state.next_namespace_id || *mod_revision > state.revision {
            return Err(format!("namespace {name} (id {id}) is from a later state"));
        }
        self.state.put_namespace(Arc::clone(namespace));
        Ok(())
    }

    fn add_node(&mut self, node: NodeRecord) -> Result<(), String> {
        let state = &self.state;
        let NodeRecord { id, epoch, .. } = node;
        if state.node_by_id(id).is_some() || state.node(&node.ns, &node.host, node.port).is_some() {
            return Err(format!("node {id} ({}/{}) is there twice", node.ns, node.host.authority(node.port)));
        }
        if !self.epochs.insert(epoch) {
            return Err(format!("node {id} has the epoch {epoch} of another node"));
        }
        if id >= state.next_node_id || epoch >= state.next_epoch || node.mod_revision > state.revision {
            return Err(format!("node {id} is from a later state"));
        }
        self.state.put_node(Arc::new(node));
        Ok(())
    }
}
