//! The HTTP API of one member, as a client meets it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use kenger_types::api::{NodeAddress, NodeRegister, header, path};
use kenger_types::cluster::ClusterStatus;
use kenger_types::{ApiError, Envelope, ErrorCode, Metadata, Namespace, Node, TtlSeconds, Weight};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::settings::MemberId;
use super::transport::{Arriving, Failed, Sockets, Transport};

/// A request that takes longer has been lost.
const REQUEST_LIMIT: Duration = Duration::from_secs(8);

/// What is known about a request after it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T = Value> {
    /// `code: 0`.
    Acknowledged(T),
    /// An answer that says that nothing was done.
    Refused(ApiError),
    /// Nobody was there to take it: nothing was done.
    Unreached,
    /// It may have been done, or may yet be.
    Unknown(String),
    /// An answer that no member gives.
    Foreign(String),
}

/// What is known about a request, and from which revision it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen<T> {
    /// What is known about it.
    pub outcome: Outcome<T>,
    /// `X-Kenger-Revision`, if the answer had it.
    pub revision: Option<u64>,
}

impl<T> Outcome<T> {
    /// Whether it is known that it was done.
    pub fn is_acknowledged(&self) -> bool {
        matches!(self, Outcome::Acknowledged(_))
    }

    /// The answer.
    ///
    /// # Panics
    /// It was not acknowledged.
    pub fn acknowledged(self) -> T
    where
        T: std::fmt::Debug,
    {
        match self {
            Outcome::Acknowledged(answer) => answer,
            other => panic!("not acknowledged: {other:?}"),
        }
    }

    /// The error code of a refusal.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Outcome::Refused(error) => Some(error.error),
            _ => None,
        }
    }
}

/// A client of one member. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Api {
    /// Which member.
    pub member: MemberId,
    /// `http://host:port`
    pub url: String,
    transport: Arc<dyn Transport>,
    limit: Duration,
    token: Option<String>,
}

impl Api {
    /// A client that shows this token.
    pub fn new(member: MemberId, address: &str, token: Option<&str>) -> Self {
        Self::over(Arc::new(Sockets::new()), member, address, token)
    }

    /// The same over a transport of another kind.
    pub fn over(transport: Arc<dyn Transport>, member: MemberId, address: &str, token: Option<&str>) -> Self {
        let (url, token) = (format!("http://{address}"), token.map(str::to_owned));
        Self { member, url, transport, limit: REQUEST_LIMIT, token }
    }

    /// The same with another token.
    #[must_use]
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self { token: token.map(str::to_owned), ..self.clone() }
    }

    /// The same, giving up on requests after `limit`.
    #[must_use]
    pub fn with_limit(&self, limit: Duration) -> Self {
        Self { limit, ..self.clone() }
    }

    /// Sends a body.
    ///
    /// # Panics
    /// The answer is foreign.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Outcome<T> {
        known(self.post_seen(path, body).await.outcome)
    }

    /// Asks for something; `path` may have a query.
    ///
    /// # Panics
    /// The answer is foreign.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Outcome<T> {
        known(self.get_seen(path).await.outcome)
    }

    /// Sends a body; a foreign answer is an outcome like any other.
    pub async fn post_seen<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Seen<T> {
        let body = serde_json::to_vec(body).unwrap();
        self.exchange(Method::POST, path, body).await
    }

    /// Asks for something; a foreign answer is an outcome like any other.
    pub async fn get_seen<T: DeserializeOwned>(&self, path: &str) -> Seen<T> {
        self.exchange(Method::GET, path, Vec::new()).await
    }

    async fn exchange<T: DeserializeOwned>(&self, method: Method, path: &str, body: Vec<u8>) -> Seen<T> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let exchange = async {
            let answer = self.transport.send(request.body(Bytes::from(body)).unwrap()).await?;
            let (status, revision) = (answer.status, revision_of(&answer));
            let text = answer.text().await.map_err(Failed::Lost)?;
            Ok(Seen { outcome: read_answer(status, &text), revision })
        };
        let unseen = |outcome| Seen { outcome, revision: None };
        match tokio::time::timeout(self.limit, exchange).await {
            Ok(Ok(seen)) => seen,
            Ok(Err(Failed::Unreached)) => unseen(Outcome::Unreached),
            Ok(Err(Failed::Lost(reason))) => unseen(Outcome::Unknown(reason)),
            Err(_) => unseen(Outcome::Unknown(format!("no answer within {:?}", self.limit))),
        }
    }

    /// Whether the member says that it has a leader and has caught up.
    pub async fn is_ready(&self) -> bool {
        let request = Request::get(format!("{}{}", self.url, path::READYZ)).body(Bytes::new()).unwrap();
        let answer = tokio::time::timeout(self.limit, self.transport.send(request)).await;
        answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status == 200))
    }

    /// The cluster as this member sees it.
    pub async fn status(&self) -> Option<ClusterStatus> {
        match self.get(path::CLUSTER_STATUS).await {
            Outcome::Acknowledged(status) => Some(status),
            _ => None,
        }
    }

    /// Registers a node.
    pub async fn register(&self, node: &NodeAddress, metadata: Metadata) -> Outcome<Node> {
        self.register_with(node, metadata, None).await
    }

    /// Registers a node that asks for a time to live of its own.
    pub async fn register_with(
        &self,
        node: &NodeAddress,
        metadata: Metadata,
        ttl_seconds: Option<TtlSeconds>,
    ) -> Outcome<Node> {
        let body = NodeRegister {
            ns: node.ns.clone(),
            host: node.host.clone(),
            port: node.port,
            weight: Weight::default(),
            health_path: None,
            metadata,
            ttl_seconds,
            if_revision: None,
        };
        self.post(path::NODE_REGISTER, &body).await
    }

    /// Says that a node is alive.
    pub async fn heartbeat(&self, node: &NodeAddress) -> Outcome {
        self.post(path::HEARTBEAT, node).await
    }

    /// Sets a node's weight.
    pub async fn set_weight(&self, node: &NodeAddress, weight: u16) -> Outcome<Node> {
        let body = json!({"ns": node.ns, "host": node.host, "port": node.port, "weight": weight});
        self.post(path::NODE_WEIGHT, &body).await
    }

    /// Removes a node.
    pub async fn deregister(&self, node: &NodeAddress) -> Outcome {
        self.post(path::NODE_DEREGISTER, node).await
    }

    /// All nodes, as of now; `None` if the member cannot say.
    pub async fn nodes(&self) -> Option<Vec<Node>> {
        self.nodes_by(path::NODE_LIST).await
    }

    /// All nodes that this member knows, in the order of the list.
    pub async fn nodes_stale(&self) -> Option<Vec<Node>> {
        self.nodes_by(&format!("{}?consistency=stale", path::NODE_LIST)).await
    }

    async fn nodes_by(&self, path: &str) -> Option<Vec<Node>> {
        match self.get::<Vec<Node>>(path).await {
            Outcome::Acknowledged(nodes) => Some(nodes),
            _ => None,
        }
    }

    /// All namespaces, as of now.
    pub async fn namespaces(&self) -> Option<Vec<Namespace>> {
        match self.get(path::NAMESPACE_LIST).await {
            Outcome::Acknowledged(namespaces) => Some(namespaces),
            _ => None,
        }
    }

    /// One node, as of now.
    pub async fn node(&self, node: &NodeAddress) -> Option<Node> {
        let nodes: Vec<Node> = match self.get(&format!("{}?ns={}", path::NODE_LIST, node.ns)).await {
            Outcome::Acknowledged(nodes) => nodes,
            _ => return None,
        };
        nodes.into_iter().find(|found| found.host == node.host && found.port == node.port)
    }

    /// Opens the feed. `after` is the revision to resume from.
    ///
    /// # Errors
    /// The member does not serve it at the moment.
    pub async fn watch(&self, after: Option<u64>, query: &str) -> Result<Arriving, String> {
        let mut request = Request::get(format!("{}{}?{query}", self.url, path::WATCH));
        if let Some(token) = &self.token {
            request = request.header(header::API_TOKEN, token);
        }
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let opening = self.transport.send(request.body(Bytes::new()).unwrap());
        let opened = tokio::time::timeout(self.limit, opening).await.map_err(|e| e.to_string())?;
        let answer = opened.map_err(|failed| format!("{failed:?}"))?;
        if answer.status == 200 { Ok(answer) } else { Err(format!("status {}", answer.status)) }
    }
}

fn revision_of(answer: &Arriving) -> Option<u64> {
    answer.headers.get(header::REVISION)?.to_str().ok()?.parse().ok()
}

fn known<T>(outcome: Outcome<T>) -> Outcome<T> {
    match outcome {
        Outcome::Foreign(what) => panic!("{what}"),
        other => other,
    }
}

/// What an answer says that came as a whole.
pub(crate) fn read_answer<T: DeserializeOwned>(status: u16, text: &str) -> Outcome<T> {
    if status == 200 {
        return match serde_json::from_str::<Envelope<T>>(text) {
            Ok(answer) if answer.code == 0 => Outcome::Acknowledged(answer.data),
            Ok(answer) => Outcome::Foreign(format!("status 200 with code {}: {text}", answer.code)),
            Err(error) => Outcome::Foreign(format!("a foreign answer, {error}: {text}")),
        };
    }
    match serde_json::from_str::<ApiError>(text) {
        Ok(error) if error.code != status || error.error.status() != status => {
            Outcome::Foreign(format!("status {status} with {text}"))
        }
        Ok(ApiError { error: ErrorCode::OutcomeUnknown | ErrorCode::Internal, message, .. }) => {
            Outcome::Unknown(message)
        }
        Ok(error) => Outcome::Refused(error),
        Err(error) => Outcome::Foreign(format!("a foreign error {status}, {error}: {text}")),
    }
}
