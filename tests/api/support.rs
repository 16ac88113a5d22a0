//! Members in this process, with their API on a free port, and a client that shows what they answer.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kenger::api::{self, Api, ApiConfig};
use kenger::token::{Role, Token, TokenHash};
use kenger_cluster::config::{Compaction, LeaseTimes, StaticMember, Timing};
use kenger_cluster::{Env, Member, MemberConfig, StoreKind};
use kenger_types::MemberId;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Whatever is waited for comes within this time, or the test has failed.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The token that may do everything.
pub(crate) const ADMIN: &str = "admin-token";

/// A token with a role, for some namespaces; its text is its name.
pub(crate) fn token(text: &str, role: Role, namespaces: &[&str]) -> Arc<Token> {
    Arc::new(Token {
        name: text.to_owned(),
        role,
        namespaces: namespaces.iter().map(|ns| ns.parse().unwrap()).collect::<BTreeSet<_>>(),
        hash: TokenHash::of(text.as_bytes()),
    })
}

/// What a test wants to be otherwise.
pub(crate) struct Options {
    pub(crate) tokens: Vec<Arc<Token>>,
    pub(crate) auto_create_namespace: bool,
    pub(crate) metrics_without_token: bool,
    pub(crate) lease: LeaseTimes,
    pub(crate) feed_ring_revisions: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tokens: vec![token(ADMIN, Role::Admin, &[])],
            auto_create_namespace: true,
            metrics_without_token: false,
            lease: LeaseTimes::default(),
            feed_ring_revisions: 1_000,
        }
    }
}

/// A member that serves.
pub(crate) struct Server {
    pub(crate) member: Member,
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
    client: reqwest::Client,
    _data_dir: TempDir,
}

/// Starts this many members of one cluster and waits until each has a leader and has caught up.
pub(crate) async fn cluster(members: usize, options: Options) -> Vec<Server> {
    let servers = launch(members, members, options).await;
    for server in &servers {
        until("every member is ready", || async { server.get("/readyz").await.status == 200 }).await;
    }
    servers
}

/// One of three members of which the others have never been there.
pub(crate) async fn never_started(options: Options) -> Server {
    launch(3, 1, options).await.remove(0)
}

/// Starts the first `started` of the members of a cluster.
async fn launch(members: usize, started: usize, options: Options) -> Vec<Server> {
    let mut sockets = Vec::new();
    for _ in 0..members {
        let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = TcpListener::bind("127.0.0.1:0").await.unwrap();
        sockets.push((peer, api));
    }
    let list: Vec<StaticMember> = (1..)
        .zip(&sockets)
        .map(|(id, (peer, api))| StaticMember {
            id: MemberId(id),
            peer: peer.local_addr().unwrap().to_string(),
            api: api.local_addr().unwrap().to_string(),
        })
        .collect();
    let starting = list.clone().into_iter().zip(sockets).take(started).map(|(own, (peer, api))| {
        let data_dir = TempDir::new().unwrap();
        let config = MemberConfig {
            id: own.id,
            members: list.clone(),
            data_dir: data_dir.path().to_owned(),
            store: StoreKind::Sled,
            peer_secret: b"a secret of the test's".to_vec(),
            // Requests without a leader fail soon.
            timing: Timing { leader_wait: Duration::from_millis(500), ..Timing::default() },
            compaction: Compaction::default(),
            lease: options.lease,
            feed_ring_revisions: options.feed_ring_revisions,
        };
        let api_config = ApiConfig {
            tokens: options.tokens.clone(),
            auto_create_namespace: options.auto_create_namespace,
            metrics_without_token: options.metrics_without_token,
        };
        Server::start(config, api_config, peer, api, data_dir)
    });
    let servers = futures_util::future::join_all(starting.map(tokio::spawn)).await;
    servers.into_iter().map(Result::unwrap).collect()
}

/// Starts a cluster of one.
pub(crate) async fn one(options: Options) -> Server {
    cluster(1, options).await.remove(0)
}

/// Waits until something is so.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("not within {SOON:?}: {what}"));
}

/// What a member answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
    /// Null if the body is not JSON.
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn data(&self) -> &Value {
        assert_eq!((self.status, &self.json["code"]), (200, &Value::from(0)), "{}", self.text);
        &self.json["data"]
    }

    /// The error's code, after checking that it is a complete envelope.
    pub(crate) fn error(&self) -> &str {
        assert_eq!(self.json["code"], self.status, "{}", self.text);
        assert_eq!(self.json["data"], Value::Null);
        assert!(self.json.as_object().unwrap().contains_key("data"), "{}", self.text);
        assert!(!self.json["message"].as_str().unwrap().is_empty());
        self.json["error"].as_str().unwrap()
    }

    pub(crate) fn field(&self) -> &str {
        assert_eq!((self.status, self.error()), (400, "invalid_argument"), "{}", self.text);
        self.json["field"].as_str().unwrap_or_else(|| panic!("no field: {}", self.text))
    }
}

impl Server {
    async fn start(
        config: MemberConfig,
        api: ApiConfig,
        peer: TcpListener,
        listener: TcpListener,
        data_dir: TempDir,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let member = Member::start(config, Env::system(), Box::new(peer)).await.unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(api::serve(listener, Api::new(member.clone(), api, stop.clone())));
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self { member, address, stop, serving: Some(serving), client, _data_dir: data_dir }
    }

    /// A request without a token.
    pub(crate) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    /// A request with the token that may do everything.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).bearer_auth(ADMIN)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        answer(self.request(Method::POST, path).json(&body)).await
    }

    /// Ends the API as `kenger serve` does, then the member.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        let serving = self.serving.take().unwrap();
        tokio::time::timeout(SOON, serving).await.expect("the API ends").unwrap();
        tokio::time::timeout(SOON, self.member.shutdown()).await.expect("the member ends");
    }
}

pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response = request.timeout(SOON).send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    let json = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { status, headers, text, json }
}

pub(crate) mod events {
    //! Server-sent events, read as a browser would.

    use std::collections::VecDeque;

    use reqwest::{RequestBuilder, Response};
    use serde_json::Value;

    use super::SOON;

    #[derive(Debug, Clone, PartialEq)]
    pub(crate) struct Event {
        pub(crate) name: String,
        pub(crate) id: Option<u64>,
        pub(crate) data: Value,
    }

    pub(crate) struct Events {
        response: Response,
        buffer: Vec<u8>,
        ready: VecDeque<Event>,
    }

    impl Events {
        pub(crate) async fn open(request: RequestBuilder) -> Self {
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["content-type"], "text/event-stream");
            Self { response, buffer: Vec::new(), ready: VecDeque::new() }
        }

        /// The next event; `None` at the end of the stream.
        pub(crate) async fn next(&mut self) -> Option<Event> {
            tokio::time::timeout(SOON, self.read()).await.expect("an event or the end")
        }

        /// The next event, which has this name.
        pub(crate) async fn expect(&mut self, name: &str) -> Event {
            let event = self.next().await.unwrap_or_else(|| panic!("the stream ended, without {name}"));
            assert_eq!(event.name, name, "{event:?}");
            event
        }

        /// The snapshot with which a stream begins, and right after it who tells and who leads.
        pub(crate) async fn snapshot(&mut self) -> Event {
            let snapshot = self.expect("snapshot").await;
            let bookmark = self.expect("bookmark").await;
            assert_eq!((bookmark.id, &bookmark.data["revision"]), (snapshot.id, &snapshot.data["revision"]));
            assert_eq!(bookmark.data["cluster_id"], snapshot.data["cluster_id"]);
            assert!(bookmark.data["member_id"].is_u64(), "{bookmark:?}");
            snapshot
        }

        async fn read(&mut self) -> Option<Event> {
            loop {
                if let Some(event) = self.ready.pop_front() {
                    return Some(event);
                }
                let chunk = self.response.chunk().await.unwrap()?;
                self.buffer.extend_from_slice(&chunk);
                while let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                    let event: Vec<u8> = self.buffer.drain(..end + 2).collect();
                    self.ready.push_back(parse(std::str::from_utf8(&event).unwrap()));
                }
            }
        }
    }

    fn parse(text: &str) -> Event {
        let mut event = Event { name: String::new(), id: None, data: Value::Null };
        for line in text.trim_end().lines() {
            match line.split_once(": ").unwrap() {
                ("event", name) => event.name = name.to_owned(),
                ("id", id) => event.id = Some(id.parse().unwrap()),
                ("data", data) => event.data = serde_json::from_str(data).unwrap(),
                other => panic!("{other:?}"),
            }
        }
        event
    }
}
