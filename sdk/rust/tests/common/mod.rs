//! A member that does what a test tells it to do, over a real socket.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code: a panic is a failed test")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kenger_sdk::{Client, ClientBuilder};
use kenger_types::{ApiError, ErrorCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What the member does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// These bytes, and the connection goes on.
    Bytes(Vec<u8>),
    /// These bytes, then the connection is closed.
    BytesAndClose(Vec<u8>),
    /// These bytes one by one with a pause between them; the connection stays open, silent.
    Dribble(Vec<u8>, Duration),
    /// Nothing, ever.
    Hang,
    /// The connection is reset.
    Reset,
}

/// An answer with a JSON body.
pub(crate) fn json_reply(status: u16, body: &Value) -> Reply {
    raw_reply(status, "content-type: application/json\r\n", body.to_string().as_bytes())
}

/// An answer with these header lines.
pub(crate) fn raw_reply(status: u16, headers: &str, body: &[u8]) -> Reply {
    let mut bytes =
        format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    Reply::Bytes(bytes)
}

/// A success with this `data`.
pub(crate) fn ok(data: &Value) -> Reply {
    json_reply(200, &json!({"code": 0, "message": "ok", "data": data}))
}

/// An error as a member writes it.
pub(crate) fn error(code: ErrorCode, message: &str) -> Reply {
    json_reply(code.status(), &serde_json::to_value(ApiError::new(code, message)).unwrap())
}

/// A running member. It ends with the value.
pub(crate) struct Member {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Member {
    /// `behave` is called for each request with its number, from 0 on.
    pub(crate) async fn start(behave: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, behave) = (Arc::clone(&seen), Arc::new(behave));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, Arc::clone(&log), Arc::clone(&behave)));
            }
        });
        Self { address, seen, task }
    }

    /// Always answers the same.
    pub(crate) async fn answering(reply: Reply) -> Self {
        Self::start(move |_, _| reply.clone()).await
    }

    /// Plays one reply after the other, and the last one again and again.
    pub(crate) async fn playing(replies: Vec<Reply>) -> Self {
        Self::start(move |n, _| replies[n.min(replies.len() - 1)].clone()).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    log: Arc<Mutex<Vec<Request>>>,
    behave: Arc<impl Fn(usize, &Request) -> Reply>,
) {
    while let Some(request) = read_request(&mut stream).await {
        let number = {
            let mut log = log.lock().unwrap();
            log.push(request.clone());
            log.len() - 1
        };
        match behave(number, &request) {
            Reply::Bytes(bytes) => stream.write_all(&bytes).await.unwrap_or_default(),
            Reply::BytesAndClose(bytes) => {
                stream.write_all(&bytes).await.unwrap_or_default();
                return;
            }
            Reply::Dribble(bytes, pause) => {
                for byte in bytes {
                    stream.write_all(&[byte]).await.unwrap_or_default();
                    tokio::time::sleep(pause).await;
                }
                std::future::pending::<()>().await;
            }
            Reply::Hang => std::future::pending::<()>().await,
            Reply::Reset => return stream.set_zero_linger().unwrap(),
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let (method, target) = (first.next().unwrap().to_owned(), first.next().unwrap().to_owned());
    let headers: HashMap<String, String> = lines
        .map(|line| line.split_once(':').unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = bytes[end + 4..].to_vec();
    while body.len() < length {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.ok().filter(|count| *count > 0)?;
        body.extend_from_slice(&piece[..count]);
    }
    Some(Request { method, target, headers, body })
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A client whose bounds are short enough for tests and far above what a loaded machine needs.
pub(crate) fn builder() -> ClientBuilder {
    Client::builder()
        .token("secret")
        .timeout(Duration::from_secs(5))
        .attempt_timeout(Duration::from_millis(500))
}

/// A client of these members.
pub(crate) fn client(members: &[&Member]) -> Client {
    builder().endpoints(members.iter().map(|member| member.url())).build().unwrap()
}

/// A node as a member answers it.
pub(crate) fn node_json(port: u16) -> Value {
    json!({
        "id": 1, "ns": "demo", "host": "127.0.0.1", "port": port, "weight": 100, "registered_weight": 100,
        "health_path": null, "status": "online", "metadata": {}, "created_at": "2026-01-02T03:04:05.678Z",
        "updated_at": "2026-01-02T03:04:05.678Z", "mod_revision": 7
    })
}
