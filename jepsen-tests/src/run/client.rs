//! One client, which asks one thing at a time and notes what became of it.

use std::collections::BTreeMap;
use std::time::Duration;

use kenger_types::api::{NodeAddress, NodeDeregister, NodeRegister, NodeWeight, path};
use kenger_types::limits;
use kenger_types::{ApiError, ErrorCode, Metadata, Node, Revision, TtlSeconds, Weight};

use super::recorder::Recorder;
use crate::harness::{Api, Outcome as Told, Seen, read_answer};
use crate::history::{Action, Answer, Key, Observed, Operation, Outcome, Record};

/// A member that has not answered within this time is given up, and the outcome is unknown.
pub const ANSWER_LIMIT: Duration = Duration::from_millis(2_500);
/// One of so many requests goes to another member although the last one answered.
const WANDER_ONCE_IN: u32 = 12;
/// The metadata key that tells registrations apart.
const VALUE: &str = "value";
/// What comes before the revision in the message of a mismatch.
const CURRENT: &str = "mod_revision is ";

/// A client. It stays at a member while that answers, as clients do, but moves on now and then.
#[derive(Debug)]
pub struct Client {
    process: u32,
    apis: Vec<Api>,
    at: usize,
    recorder: Recorder,
    rng: fastrand::Rng,
    is_bulky: bool,
}

impl Client {
    pub(super) fn new(process: u32, apis: &[Api], recorder: Recorder, mut rng: fastrand::Rng) -> Self {
        let apis: Vec<_> = apis.iter().map(|api| api.with_limit(ANSWER_LIMIT)).collect();
        let at = rng.usize(..apis.len());
        Self { process, apis, at, recorder, rng, is_bulky: false }
    }

    /// The same client, giving up on a member after `limit`.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.apis = self.apis.iter().map(|api| api.with_limit(limit)).collect();
        self
    }

    /// The same client, whose registrations say as much as they may, so that a few of them fill the
    /// buffers between two processes.
    #[must_use]
    pub fn bulky(self) -> Self {
        Self { is_bulky: true, ..self }
    }

    /// Whatever is done by chance for this client.
    pub fn rng(&mut self) -> &mut fastrand::Rng {
        &mut self.rng
    }

    /// Registers a node; its metadata says `value`.
    pub async fn register(
        &mut self,
        key: &Key,
        weight: u32,
        value: u64,
        if_revision: Option<u64>,
        ttl: Option<TtlSeconds>,
    ) -> Outcome {
        let NodeAddress { ns, host, port } = address(key);
        let body = NodeRegister {
            ns,
            host,
            port,
            weight: to_weight(weight),
            health_path: None,
            metadata: metadata(value, self.is_bulky),
            ttl_seconds: ttl,
            if_revision: if_revision.map(Revision),
        };
        self.write(path::NODE_REGISTER, &body, key, Action::Register { weight, value, if_revision }).await
    }

    /// Overrides a node's weight, or gives the declared one back.
    pub async fn set_weight(&mut self, key: &Key, weight: Option<u32>, if_revision: Option<u64>) -> Outcome {
        let NodeAddress { ns, host, port } = address(key);
        let (weight_, revision) = (weight.map(to_weight), if_revision.map(Revision));
        let body = NodeWeight { ns, host, port, weight: weight_, if_revision: revision };
        self.write(path::NODE_WEIGHT, &body, key, Action::SetWeight { weight, if_revision }).await
    }

    /// Removes a node.
    pub async fn deregister(&mut self, key: &Key, if_revision: Option<u64>) -> Outcome {
        let NodeAddress { ns, host, port } = address(key);
        let body = NodeDeregister { ns, host, port, if_revision: if_revision.map(Revision) };
        self.write(path::NODE_DEREGISTER, &body, key, Action::Deregister { if_revision }).await
    }

    async fn write(
        &mut self,
        path: &str,
        body: &impl serde::Serialize,
        key: &Key,
        action: Action,
    ) -> Outcome {
        let (api, called) = self.begin();
        let seen = api.post_seen::<Node>(path, body).await;
        let outcome = outcome_of_write(&action, seen);
        self.note(called, key, action, outcome)
    }

    /// Reads a node, linearizable.
    pub async fn read(&mut self, key: &Key) -> Outcome {
        let (api, called) = self.begin();
        let seen = api.get_seen::<Vec<Node>>(&format!("{}?ns={}", path::NODE_LIST, key.ns)).await;
        let outcome = outcome_of_read(key, seen);
        self.note(called, key, Action::Read, outcome)
    }

    /// Says that a node is alive.
    pub async fn heartbeat(&mut self, key: &Key) -> Outcome {
        let (api, called) = self.begin();
        let seen = api.post_seen::<serde_json::Value>(path::HEARTBEAT, &address(key)).await;
        let outcome = outcome_of_heartbeat(seen.outcome);
        self.note(called, key, Action::Heartbeat, outcome)
    }

    /// Whom to ask now, and the time.
    fn begin(&mut self) -> (Api, u64) {
        if self.rng.u32(..WANDER_ONCE_IN) == 0 {
            self.move_on();
        }
        (self.apis[self.at].clone(), self.recorder.now())
    }

    fn move_on(&mut self) {
        let others = self.apis.len() - 1;
        if others > 0 {
            self.at = (self.at + 1 + self.rng.usize(..others)) % self.apis.len();
        }
    }

    fn note(&mut self, called: u64, key: &Key, action: Action, outcome: Outcome) -> Outcome {
        self.recorder.note(Record::Operation(Operation {
            process: self.process,
            member: self.apis[self.at].member,
            key: key.clone(),
            action,
            called,
            returned: self.recorder.now(),
            outcome: outcome.clone(),
        }));
        if !matches!(outcome, Outcome::Done(_) | Outcome::Rejected(_)) {
            self.move_on();
        }
        outcome
    }
}

/// Where a key says that its node listens.
///
/// # Panics
/// The workload made up a key that no node can have.
pub fn address(key: &Key) -> NodeAddress {
    NodeAddress {
        ns: key.ns.parse().unwrap(),
        host: key.host.parse().unwrap(),
        port: i64::from(key.port).try_into().unwrap(),
    }
}

fn to_weight(weight: u32) -> Weight {
    i64::from(weight).try_into().expect("workloads use weights that are allowed")
}

/// `value` under its key, and if it is to be bulky, ballast under all others that there may be.
fn metadata(value: u64, is_bulky: bool) -> Metadata {
    let ballast = if is_bulky { 1..limits::METADATA_MAX_PAIRS } else { 0..0 };
    let ballast =
        ballast.map(|pair| (format!("ballast-{pair}"), "x".repeat(limits::METADATA_VALUE_MAX_BYTES)));
    let pairs = ballast.chain([(VALUE.to_owned(), value.to_string())]);
    pairs.collect::<BTreeMap<_, _>>().try_into().unwrap()
}

fn observed(node: &Node, revision: Option<u64>) -> Observed {
    Observed {
        id: node.id.0,
        value: node.metadata.get(VALUE).and_then(|value| value.parse().ok()),
        weight: u32::from(node.weight.get()),
        registered_weight: u32::from(node.registered_weight.get()),
        status: node.status,
        mod_revision: node.mod_revision.0,
        revision,
    }
}

fn outcome_of_write(action: &Action, seen: Seen<Node>) -> Outcome {
    let revision = seen.revision;
    settle(seen.outcome, |node| match action {
        // Answers the node as it was, which is not what it is.
        Action::Deregister { .. } => Answer::Nothing,
        _ => Answer::Node(observed(&node, revision)),
    })
}

fn outcome_of_read(key: &Key, seen: Seen<Vec<Node>>) -> Outcome {
    let revision = seen.revision;
    let outcome = settle(seen.outcome, |nodes| {
        let is_it = |node: &&Node| node.host.as_str() == key.host && node.port.get() == key.port;
        nodes.iter().find(is_it).map_or(Answer::Absent, |node| Answer::Node(observed(node, revision)))
    });
    match outcome {
        // A read of a namespace that is not there has been answered as well as any other.
        Outcome::Rejected(Answer::Absent) => Outcome::Done(Answer::Absent),
        other => other,
    }
}

fn outcome_of_heartbeat(outcome: Told) -> Outcome {
    settle(outcome, |_| Answer::Nothing)
}

/// What came of a request about one node that somebody else made, of which the whole answer has come.
///
/// # Panics
/// It was a read: those are of whole lists.
pub fn outcome_of(action: &Action, status: u16, revision: Option<u64>, body: &str) -> Outcome {
    match action {
        Action::Register { .. } | Action::SetWeight { .. } | Action::Deregister { .. } => {
            outcome_of_write(action, Seen { outcome: read_answer(status, body), revision })
        }
        Action::Heartbeat => outcome_of_heartbeat(read_answer(status, body)),
        Action::Read => panic!("a read is of no single node"),
    }
}

/// The same registration, whose metadata says `value`.
pub fn valued(node: NodeRegister, value: u64) -> NodeRegister {
    NodeRegister { metadata: metadata(value, false), ..node }
}

/// What is known after an answer, or after none.
fn settle<T>(told: Told<T>, answer: impl FnOnce(T) -> Answer) -> Outcome {
    match told {
        Told::Acknowledged(data) => Outcome::Done(answer(data)),
        Told::Unreached => Outcome::NotDone { reason: "no connection".to_owned() },
        Told::Unknown(reason) => Outcome::Unknown { reason },
        Told::Foreign(what) => Outcome::Foreign { what },
        Told::Refused(error) => refused(error),
    }
}

fn refused(error: ApiError) -> Outcome {
    match error.error {
        ErrorCode::NamespaceNotFound | ErrorCode::NodeNotFound => Outcome::Rejected(Answer::Absent),
        ErrorCode::RevisionMismatch => Outcome::Rejected(mismatch(&error.message)),
        ErrorCode::NoLeader | ErrorCode::NotReady | ErrorCode::TooManyRequests => {
            Outcome::NotDone { reason: error.message }
        }
        ErrorCode::OutcomeUnknown | ErrorCode::Internal => Outcome::Unknown { reason: error.message },
        // The clients have the right token and say what the API says: none of these can be deserved.
        ErrorCode::InvalidArgument
        | ErrorCode::Unauthenticated
        | ErrorCode::PermissionDenied
        | ErrorCode::PathNotFound
        | ErrorCode::MethodNotAllowed
        | ErrorCode::NamespaceExists
        | ErrorCode::PayloadTooLarge
        | ErrorCode::UnsupportedMediaType => {
            Outcome::Foreign { what: format!("{:?}: {}", error.error, error.message) }
        }
    }
}

/// What a 409 tells: the revision that the node has, or that there is none.
fn mismatch(message: &str) -> Answer {
    let after = message.split_once(CURRENT).map(|(_, after)| after);
    let digits = after.map(|text| text.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default());
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(0) => Answer::Absent,
        current => Answer::Mismatch { current },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: ErrorCode, message: &str) -> Told<Node> {
        Told::Refused(ApiError::new(code, message))
    }

    fn write(told: Told<Node>) -> Outcome {
        let action = Action::SetWeight { weight: Some(1), if_revision: None };
        outcome_of_write(&action, Seen { outcome: told, revision: Some(9) })
    }

    fn node() -> Node {
        serde_json::from_value(serde_json::json!({
            "id": 3, "ns": "a", "host": "h", "port": 1, "weight": 5, "registered_weight": 100,
            "health_path": null, "status": "online", "metadata": {"value": "77"},
            "created_at": "2026-01-02T03:04:05.678Z", "updated_at": "2026-01-02T03:04:05.678Z",
            "mod_revision": 8
        }))
        .unwrap()
    }

    fn key() -> Key {
        Key { ns: "a".to_owned(), host: "h".to_owned(), port: 1 }
    }

    #[test]
    fn only_what_certainly_was_not_done_counts_as_not_done() {
        assert!(matches!(write(Told::Unreached), Outcome::NotDone { .. }));
        for code in [ErrorCode::NoLeader, ErrorCode::NotReady, ErrorCode::TooManyRequests] {
            assert!(matches!(write(refusal(code, "x")), Outcome::NotDone { .. }), "{code:?}");
        }
        for code in [ErrorCode::OutcomeUnknown, ErrorCode::Internal] {
            assert!(matches!(write(refusal(code, "x")), Outcome::Unknown { .. }), "{code:?}");
        }
        assert!(matches!(write(Told::Unknown("timed out".to_owned())), Outcome::Unknown { .. }));
    }

    #[test]
    fn what_no_member_may_answer_is_foreign() {
        assert!(matches!(write(Told::Foreign("<html>".to_owned())), Outcome::Foreign { .. }));
        for code in [ErrorCode::InvalidArgument, ErrorCode::Unauthenticated, ErrorCode::NamespaceExists] {
            assert!(matches!(write(refusal(code, "x")), Outcome::Foreign { .. }), "{code:?}");
        }
    }

    #[test]
    fn a_refusal_that_the_state_decided_tells_the_state() {
        let absent = Outcome::Rejected(Answer::Absent);
        assert_eq!(write(refusal(ErrorCode::NodeNotFound, "x")), absent);
        assert_eq!(write(refusal(ErrorCode::NamespaceNotFound, "x")), absent);
        let message = "if_revision is 4, but mod_revision is 12; read it again and decide anew";
        let mismatch = Outcome::Rejected(Answer::Mismatch { current: Some(12) });
        assert_eq!(write(refusal(ErrorCode::RevisionMismatch, message)), mismatch);
        let message = "if_revision is 4, but mod_revision is 0; read it again and decide anew";
        assert_eq!(write(refusal(ErrorCode::RevisionMismatch, message)), absent);
        let untold = Outcome::Rejected(Answer::Mismatch { current: None });
        assert_eq!(write(refusal(ErrorCode::RevisionMismatch, "it differs")), untold);
    }

    #[test]
    fn an_acknowledged_write_tells_the_node_and_a_removal_nothing() {
        let Outcome::Done(Answer::Node(seen)) = write(Told::Acknowledged(node())) else { panic!() };
        assert_eq!((seen.id, seen.value, seen.weight, seen.registered_weight), (3, Some(77), 5, 100));
        assert_eq!((seen.mod_revision, seen.revision), (8, Some(9)));
        let seen = Seen { outcome: Told::Acknowledged(node()), revision: Some(9) };
        let removal = outcome_of_write(&Action::Deregister { if_revision: None }, seen);
        assert_eq!(removal, Outcome::Done(Answer::Nothing));
    }

    #[test]
    fn a_read_finds_the_node_or_that_there_is_none() {
        let read = |told| outcome_of_read(&key(), Seen { outcome: told, revision: None });
        assert!(matches!(read(Told::Acknowledged(vec![node()])), Outcome::Done(Answer::Node(_))));
        assert_eq!(read(Told::Acknowledged(Vec::new())), Outcome::Done(Answer::Absent));
        let no_namespace = Told::Refused(ApiError::new(ErrorCode::NamespaceNotFound, "x"));
        assert_eq!(read(no_namespace), Outcome::Done(Answer::Absent));
    }
}
