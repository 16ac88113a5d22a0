//! `/api/upstream/heartbeat`: one node, or many at once. The busiest path: it parses once, and makes
//! one call.

use axum::extract::State;
use axum::response::Response;
use kenger_cluster::HeartbeatOutcome;
use kenger_types::api::{HeartbeatAck, HeartbeatBatchAck, HeartbeatBatchItem, NodeAddress};
use kenger_types::limits::HEARTBEAT_BATCH_MAX_NODES;
use kenger_types::{ErrorCode, Host, NamespaceName, Port};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::auth::Caller;
use super::body::Json;
use super::error::Failure;
use super::{Api, answer, cluster};

/// Both forms of the body in one, so that it is parsed once and a wrong field is named in either.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Heartbeat {
    #[serde(alias = "namespace")]
    ns: Option<NamespaceName>,
    host: Option<Host>,
    port: Option<Port>,
    nodes: Option<Vec<AddressObject>>,
}

/// A [`NodeAddress`] that is written as an object; serde alone would take an array, too.
#[derive(Debug)]
struct AddressObject(NodeAddress);

impl<'de> Deserialize<'de> for AddressObject {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = AddressObject;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object with ns, host and port")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AddressObject, A::Error> {
                NodeAddress::deserialize(MapAccessDeserializer::new(map)).map(AddressObject)
            }
        }
        from.deserialize_map(Object)
    }
}

/// Who was heard from.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    One(NodeAddress),
    Many(Vec<NodeAddress>),
}

impl Heartbeat {
    fn into_heard(self) -> Result<Heard, Failure> {
        let missing = |field| Failure::invalid(field, format!("missing field `{field}`"));
        match self {
            Self { ns, host, port, nodes: None } => Ok(Heard::One(NodeAddress {
                ns: ns.ok_or_else(|| missing("ns"))?,
                host: host.ok_or_else(|| missing("host"))?,
                port: port.ok_or_else(|| missing("port"))?,
            })),
            Self { ns: None, host: None, port: None, nodes: Some(nodes) } => {
                if nodes.len() > HEARTBEAT_BATCH_MAX_NODES {
                    let bound = format!("has at most {HEARTBEAT_BATCH_MAX_NODES} nodes, not {}", nodes.len());
                    return Err(Failure::invalid("nodes", bound));
                }
                Ok(Heard::Many(nodes.into_iter().map(|node| node.0).collect()))
            }
            Self { nodes: Some(_), .. } => {
                Err(Failure::invalid("nodes", "give either nodes, or ns, host and port, not both"))
            }
        }
    }
}

/// Hands heartbeats to the leader.
pub(super) async fn heartbeat(
    State(api): State<Api>,
    caller: Caller,
    Json(body): Json<Heartbeat>,
) -> Result<Response, Failure> {
    match body.into_heard()? {
        Heard::One(node) => {
            caller.check(&node.ns)?;
            let outcomes = api.member().heartbeat(vec![node.clone()]).await?;
            match outcomes.first() {
                Some(HeartbeatOutcome::Alive { status, ttl_seconds }) => {
                    Ok(answer::ok(HeartbeatAck { status: *status, ttl_seconds: *ttl_seconds }))
                }
                Some(HeartbeatOutcome::NotFound) => Err(not_found(&node)),
                None => Err(cluster::unexpected(&outcomes)),
            }
        }
        Heard::Many(nodes) if nodes.is_empty() => Ok(answer::ok(HeartbeatBatchAck { nodes: Vec::new() })),
        Heard::Many(nodes) => {
            nodes.iter().try_for_each(|node| caller.check(&node.ns))?;
            let outcomes = api.member().heartbeat(nodes).await?;
            Ok(answer::ok(HeartbeatBatchAck { nodes: outcomes.into_iter().map(item).collect() }))
        }
    }
}

fn item(outcome: HeartbeatOutcome) -> HeartbeatBatchItem {
    match outcome {
        HeartbeatOutcome::Alive { status, ttl_seconds } => {
            HeartbeatBatchItem::Ok(HeartbeatAck { status, ttl_seconds })
        }
        HeartbeatOutcome::NotFound => HeartbeatBatchItem::NodeNotFound,
    }
}

fn not_found(NodeAddress { ns, host, port }: &NodeAddress) -> Failure {
    let message = format!("there is no node {} in {ns:?}; register it again", host.authority(*port));
    Failure::new(ErrorCode::NodeNotFound, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::body::parse;

    fn heard(body: &str) -> Result<Heard, String> {
        parse::<Heartbeat>(body.as_bytes())
            .and_then(Heartbeat::into_heard)
            .map_err(|failure| failure.error().field.clone().unwrap())
    }

    fn node(port: &str) -> NodeAddress {
        NodeAddress { ns: "a".parse().unwrap(), host: "h".parse().unwrap(), port: port.parse().unwrap() }
    }

    #[test]
    fn a_body_is_one_node_or_many() {
        assert_eq!(heard(r#"{"ns":"a","host":"h","port":1}"#), Ok(Heard::One(node("1"))));
        assert_eq!(heard(r#"{"namespace":"a","host":"h","port":1}"#), Ok(Heard::One(node("1"))));
        assert_eq!(
            heard(r#"{"nodes":[{"ns":"a","host":"h","port":1},{"namespace":"a","host":"h","port":2}]}"#),
            Ok(Heard::Many(vec![node("1"), node("2")]))
        );
        assert_eq!(heard(r#"{"nodes":[]}"#), Ok(Heard::Many(Vec::new())));
    }

    #[test]
    fn what_is_wrong_is_named_in_either_form() {
        for (body, field) in [
            ("{}", "ns"),
            (r#"{"ns":"a"}"#, "host"),
            (r#"{"ns":"a","host":"h"}"#, "port"),
            (r#"{"ns":"a","host":"h","port":0}"#, "port"),
            (r#"{"ns":"a","host":"h","port":1,"weight":1}"#, "weight"),
            (r#"{"ns":"a","host":"h","port":1,"nodes":[]}"#, "nodes"),
            (r#"{"nodes":{}}"#, "nodes"),
            (r#"{"nodes":[["a","h",1]]}"#, "nodes[0]"),
            (
                r#"{"nodes":[{"ns":"a","host":"h","port":1},{"ns":"a","host":"h","port":70000}]}"#,
                "nodes[1].port",
            ),
            (r#"{"nodes":[{"ns":"a","host":"h"}]}"#, "nodes[0].port"),
            (r#"{"nodes":[{"ns":"a","host":"h","port":1,"x":1}]}"#, "nodes[0].x"),
        ] {
            assert_eq!(heard(body), Err(field.to_owned()), "{body}");
        }
    }

    #[test]
    fn a_batch_is_bounded() {
        let one = r#"{"ns":"a","host":"h","port":1}"#;
        let batch = |n| format!(r#"{{"nodes":[{}]}}"#, vec![one; n].join(","));
        assert!(heard(&batch(HEARTBEAT_BATCH_MAX_NODES)).is_ok());
        assert_eq!(heard(&batch(HEARTBEAT_BATCH_MAX_NODES + 1)), Err("nodes".to_owned()));
    }
}
