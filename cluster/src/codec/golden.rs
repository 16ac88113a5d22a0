//! The bytes of everything that is stored, as files in `tests/golden`. A difference means that this
//! release cannot read what the last one wrote: give it a new schema version and a decoder for the
//! old one. `KENGER_GOLDEN=rewrite` writes the files anew, for a value that is new.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

use kenger_state::{Command, NamespaceKey, Proposal, Seen, State};
use kenger_types::api::NodeAddress;
use kenger_types::{Incarnation, Metadata, NamespaceId, NamespaceName, NodeId, Revision, TtlSeconds, Weight};
use openraft::alias::{EntryOf, LogIdOf, SnapshotMetaOf, StoredMembershipOf, VoteOf};
use openraft::vote::RaftVote;
use openraft::{EntryPayload, Membership};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Kind, decode, decode_stream, encode, write_stream};
use crate::raft::types::{MemberNode, TypeConfig};

fn golden(name: &str, bytes: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.hex"));
    let mut text = String::new();
    for line in bytes.chunks(32) {
        text.extend(line.iter().map(|byte| format!("{byte:02x}")));
        text.push('\n');
    }
    if std::env::var_os("KENGER_GOLDEN").is_some_and(|what| what == "rewrite") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
    }
    let stored = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; KENGER_GOLDEN=rewrite makes it", path.display()));
    assert_eq!(stored, text, "{name}: what earlier releases stored cannot be read any more");
}

pub(crate) fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, kind: Kind, value: &T) {
    let bytes = encode(kind, value).unwrap();
    golden(name, &bytes);
    assert_eq!(&decode::<T>(kind, &bytes).unwrap(), value);
}

pub(crate) fn log_id(term: u64, node: u64, index: u64) -> LogIdOf<TypeConfig> {
    LogIdOf::<TypeConfig>::new(openraft::impls::leader_id_adv::LeaderId { term, node_id: node }, index)
}

fn members() -> Membership<u64, MemberNode> {
    let node = |id: u64| MemberNode {
        peer: format!("192.0.2.{id}:5001"),
        api: format!("192.0.2.{id}:5000"),
        incarnation: Incarnation(u128::from(id) << 100),
    };
    let nodes: BTreeMap<u64, MemberNode> = (1..=3).map(|id| (id, node(id))).collect();
    Membership::new(vec![nodes.keys().copied().collect()], nodes).unwrap()
}

fn address() -> NodeAddress {
    NodeAddress {
        ns: "shop.prod".parse().unwrap(),
        host: "192.0.2.7".parse().unwrap(),
        port: 8080.try_into().unwrap(),
    }
}

fn metadata() -> Metadata {
    let pairs = [("version", "v2"), ("zone", "a")];
    BTreeMap::from(pairs.map(|(key, value)| (key.to_owned(), value.to_owned()))).try_into().unwrap()
}

fn commands() -> Vec<Command> {
    let name = |text: &str| text.parse::<NamespaceName>().unwrap();
    let weight = |weight: i64| Weight::try_from(weight).unwrap();
    let ttl = |seconds: i64| TtlSeconds::try_from(seconds).unwrap();
    vec![
        Command::AddNamespace {
            name: name("shop.prod"),
            description: "the shop".parse().unwrap(),
            health_path: "/healthz".parse().unwrap(),
        },
        Command::UpdateNamespace {
            key: NamespaceKey::Name(name("shop.prod")),
            new_name: Some(name("shop")),
            description: None,
            health_path: Some("/live".parse().unwrap()),
            if_revision: Some(Revision(300)),
        },
        Command::DeleteNamespace { key: NamespaceKey::Id(NamespaceId(70_000)), if_revision: None },
        Command::Register {
            key: address(),
            weight: weight(100),
            health_path: Some("/status".parse().unwrap()),
            metadata: metadata(),
            ttl_seconds: Some(ttl(30)),
            create_namespace: true,
            if_revision: Some(Revision(0)),
        },
        Command::Deregister { key: address(), if_revision: Some(Revision(9)) },
        Command::SetWeight { key: address(), weight: Some(weight(0)), if_revision: None },
        Command::UpdateNode {
            id: NodeId(12),
            weight: Some(None),
            health_path: Some(Some("/ok".parse().unwrap())),
            metadata: Some(metadata()),
            ttl_seconds: Some(Some(ttl(86_400))),
            if_revision: Some(Revision(1 << 40)),
        },
        Command::DeleteNode { id: NodeId(12), if_revision: None },
        Command::Expire {
            offline: vec![Seen { id: NodeId(1), epoch: 2 }, Seen { id: NodeId(300), epoch: 4_000_000_000 }],
            delete: vec![Seen { id: NodeId(5), epoch: 6 }],
        },
        Command::Return { nodes: vec![NodeId(1), NodeId(251), NodeId(70_000)] },
    ]
}

/// Position in [`commands`]. A new variant does not compile until it has a place there.
fn position(command: &Command) -> usize {
    match command {
        Command::AddNamespace { .. } => 0,
        Command::UpdateNamespace { .. } => 1,
        Command::DeleteNamespace { .. } => 2,
        Command::Register { .. } => 3,
        Command::Deregister { .. } => 4,
        Command::SetWeight { .. } => 5,
        Command::UpdateNode { .. } => 6,
        Command::DeleteNode { .. } => 7,
        Command::Expire { .. } => 8,
        Command::Return { .. } => 9,
    }
}

#[test]
fn entries_with_each_command_keep_their_bytes() {
    for (place, command) in commands().into_iter().enumerate() {
        assert_eq!(position(&command), place);
        let name = format!("entry_{}", command.name());
        let proposal = Proposal { proposed_at_ms: 1_700_000_000_123, command };
        let entry =
            EntryOf::<TypeConfig> { log_id: log_id(7, 2, 1_000), payload: EntryPayload::Normal(proposal) };
        check(&name, Kind::LogEntry, &entry);
    }
}

#[test]
fn entries_that_are_raft_s_own_keep_their_bytes() {
    let blank = EntryOf::<TypeConfig> { log_id: log_id(3, 1, 0), payload: EntryPayload::Blank };
    check("entry_blank", Kind::LogEntry, &blank);
    let membership =
        EntryOf::<TypeConfig> { log_id: log_id(3, 1, 1), payload: EntryPayload::Membership(members()) };
    check("entry_membership", Kind::LogEntry, &membership);
}

#[test]
fn vote_and_log_id_keep_their_bytes() {
    let leader = openraft::impls::leader_id_adv::LeaderId { term: 9, node_id: 3 };
    check("vote", Kind::Vote, &VoteOf::<TypeConfig>::from_leader_id(leader, true));
    check("log_id", Kind::LogId, &log_id(9, 3, 123_456_789));
    check("store_mark", Kind::StoreMark, &123_456_789_u64);
}

#[test]
fn a_snapshot_keeps_its_bytes() {
    let meta = SnapshotMetaOf::<TypeConfig> {
        last_log_id: Some(log_id(9, 3, 1_000)),
        last_membership: StoredMembershipOf::<TypeConfig>::new(Some(log_id(3, 1, 1)), members()),
    };
    check("snapshot_head", Kind::SnapshotHead, &meta);

    let mut state = State::default();
    for command in commands() {
        state.apply(&Proposal { proposed_at_ms: 1_700_000_000_123, command });
    }
    let mut body = Vec::new();
    write_stream(Kind::SnapshotBody, &state, &mut body).unwrap();
    golden("snapshot_body", &body);
    let read: State = decode_stream(Kind::SnapshotBody, body.len() as u64, body.as_slice()).unwrap();
    assert_eq!(read, state);
}
