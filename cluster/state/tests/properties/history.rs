//! Random commands over a few names and places, so that they meet.

use kenger_state::{Command, NamespaceKey, Proposal, Seen, State};
use kenger_types::api::NodeAddress;
use kenger_types::{NamespaceId, NodeId, Revision, TtlSeconds, Weight};
use proptest::prelude::*;

const NAMES: [&str; 4] = ["a", "b", "b.c", "z"];
const HOSTS: [&str; 4] = ["10.0.0.1", "10.0.0.2", "::1", "node-1"];
const HEALTH_PATHS: [&str; 3] = ["/api/status", "/", "/ready"];

/// A command whose numbers are drawn before the state is known that it will meet.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    kind: Kind,
    name: usize,
    other_name: usize,
    host: usize,
    port: i64,
    weight: Option<i64>,
    ttl: Option<i64>,
    health_path: Option<usize>,
    version: Option<u8>,
    flag: bool,
    cas: Cas,
    /// Which of the present nodes are meant, by their place in the order; too large: none.
    picks: Vec<(usize, bool)>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    AddNamespace,
    UpdateNamespace,
    RenameNamespace,
    DeleteNamespace,
    Register,
    Deregister,
    SetWeight,
    UpdateNode,
    DeleteNode,
    Expire,
    Return,
}

/// What a command says about the revision of its object.
#[derive(Debug, Clone, Copy)]
enum Cas {
    None,
    Right,
    MustBeNew,
    Wrong,
}

impl Step {
    /// A node that no history has.
    pub(crate) fn register_anew() -> Self {
        Step {
            kind: Kind::Register,
            name: 0,
            other_name: 0,
            host: 0,
            port: 9999,
            weight: None,
            ttl: None,
            health_path: None,
            version: None,
            flag: true,
            cas: Cas::None,
            picks: Vec::new(),
        }
    }
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        2 => Just(Kind::AddNamespace),
        2 => Just(Kind::UpdateNamespace),
        2 => Just(Kind::RenameNamespace),
        1 => Just(Kind::DeleteNamespace),
        12 => Just(Kind::Register),
        3 => Just(Kind::Deregister),
        4 => Just(Kind::SetWeight),
        4 => Just(Kind::UpdateNode),
        2 => Just(Kind::DeleteNode),
        5 => Just(Kind::Expire),
        4 => Just(Kind::Return),
    ];
    let cas = prop_oneof![
        6 => Just(Cas::None),
        2 => Just(Cas::Right),
        1 => Just(Cas::MustBeNew),
        1 => Just(Cas::Wrong),
    ];
    let place = (0..NAMES.len(), 0..NAMES.len(), 0..HOSTS.len(), 80_i64..82);
    let declared = (
        proptest::option::of(0_i64..3),
        proptest::option::of(1_i64..3),
        proptest::option::of(0..HEALTH_PATHS.len()),
        proptest::option::of(0_u8..3),
    );
    let picks = proptest::collection::vec((0_usize..12, proptest::bool::weighted(0.8)), 0..5);
    (kind, place, declared, any::<bool>(), cas, picks).prop_map(
        |(kind, (name, other_name, host, port), (weight, ttl, health_path, version), flag, cas, picks)| {
            Step { kind, name, other_name, host, port, weight, ttl, health_path, version, flag, cas, picks }
        },
    )
}

/// The command that a step is in this state.
pub(crate) fn proposal(state: &State, step: &Step, at_ms: u64) -> Proposal {
    Proposal { proposed_at_ms: at_ms, command: Resolver { state, step }.command() }
}

struct Resolver<'a> {
    state: &'a State,
    step: &'a Step,
}

impl Resolver<'_> {
    fn command(&self) -> Command {
        let step = self.step;
        let health_path = step.health_path.map(|index| HEALTH_PATHS[index].parse().unwrap());
        let weight = step.weight.map(|weight| Weight::try_from(weight).unwrap());
        let ttl_seconds = step.ttl.map(|ttl| TtlSeconds::try_from(ttl).unwrap());
        match step.kind {
            Kind::AddNamespace => Command::AddNamespace {
                name: NAMES[step.name].parse().unwrap(),
                description: "what it is for".parse().unwrap(),
                health_path: health_path.unwrap_or_default(),
            },
            Kind::UpdateNamespace => Command::UpdateNamespace {
                key: self.namespace_key(),
                new_name: None,
                description: step.flag.then(|| "something else".parse().unwrap()),
                health_path,
                if_revision: self.namespace_revision(),
            },
            Kind::RenameNamespace => Command::UpdateNamespace {
                key: self.namespace_key(),
                new_name: Some(NAMES[step.other_name].parse().unwrap()),
                description: None,
                health_path,
                if_revision: self.namespace_revision(),
            },
            Kind::DeleteNamespace => {
                Command::DeleteNamespace { key: self.namespace_key(), if_revision: self.namespace_revision() }
            }
            Kind::Register => Command::Register {
                key: self.address(),
                weight: weight.unwrap_or_default(),
                health_path,
                metadata: self.metadata(),
                ttl_seconds,
                create_namespace: step.flag,
                if_revision: self.node_revision(),
            },
            Kind::Deregister => {
                Command::Deregister { key: self.address(), if_revision: self.node_revision() }
            }
            Kind::SetWeight => {
                Command::SetWeight { key: self.address(), weight, if_revision: self.node_revision() }
            }
            Kind::UpdateNode => Command::UpdateNode {
                id: self.seen().first().map_or(NodeId(1), |seen| seen.id),
                weight: step.flag.then_some(weight),
                health_path: step.health_path.is_some().then_some(health_path),
                metadata: step.version.is_some().then(|| self.metadata()),
                ttl_seconds: (!step.flag).then_some(ttl_seconds),
                if_revision: None,
            },
            Kind::DeleteNode => Command::DeleteNode {
                id: self.seen().first().map_or(NodeId(1), |seen| seen.id),
                if_revision: None,
            },
            Kind::Expire => {
                let seen = self.seen();
                let (offline, delete) = seen.split_at(seen.len() / 2);
                Command::Expire { offline: offline.to_vec(), delete: delete.to_vec() }
            }
            Kind::Return => Command::Return { nodes: self.seen().into_iter().map(|seen| seen.id).collect() },
        }
    }

    fn address(&self) -> NodeAddress {
        NodeAddress {
            ns: NAMES[self.step.name].parse().unwrap(),
            host: HOSTS[self.step.host].parse().unwrap(),
            port: self.step.port.try_into().unwrap(),
        }
    }

    fn metadata(&self) -> kenger_types::Metadata {
        let version = self.step.version.map(|version| ("version".to_owned(), format!("v{version}")));
        version.into_iter().collect::<std::collections::BTreeMap<_, _>>().try_into().unwrap()
    }

    fn namespace_key(&self) -> NamespaceKey {
        if self.step.flag {
            NamespaceKey::Name(NAMES[self.step.name].parse().unwrap())
        } else {
            NamespaceKey::Id(NamespaceId(self.step.name as u64 + 1))
        }
    }

    fn namespace_revision(&self) -> Option<Revision> {
        let namespace = match self.namespace_key() {
            NamespaceKey::Name(name) => self.state.namespace(&name),
            NamespaceKey::Id(id) => self.state.namespace_by_id(id),
        };
        self.revision(namespace.map(|namespace| namespace.mod_revision))
    }

    fn node_revision(&self) -> Option<Revision> {
        let NodeAddress { ns, host, port } = self.address();
        self.revision(self.state.node(&ns, &host, port).map(|node| node.mod_revision))
    }

    fn revision(&self, current: Option<Revision>) -> Option<Revision> {
        match self.step.cas {
            Cas::None => None,
            Cas::Right => Some(current.unwrap_or_default()),
            Cas::MustBeNew => Some(Revision(0)),
            Cas::Wrong => Some(Revision(current.unwrap_or_default().0 + 1)),
        }
    }

    /// Nodes as a proposer saw them, some of them some time ago.
    fn seen(&self) -> Vec<Seen> {
        let nodes: Vec<_> = self.state.nodes().collect();
        let picked = self.step.picks.iter().filter_map(|(index, fresh)| {
            let node = nodes.get(*index)?;
            Some(Seen { id: node.id, epoch: if *fresh { node.epoch } else { node.epoch - 1 } })
        });
        picked.collect()
    }
}
