//! A registry as a gateway sees it: one member that leads and tells its feed over SSE. What it tells
//! is what the test says, also what a real one never would.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use kenger_types::cluster::MemberAddress;
use kenger_types::feed::{BookmarkEvent, Change, ChangeEvent, EventName, NodeCause, SnapshotEvent};
use kenger_types::{ClusterId, MemberId, Namespace, NamespaceId, Node, Revision, Timestamp};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) const CLUSTER: ClusterId = ClusterId(7);

/// What every stream can see.
struct State {
    cluster_id: ClusterId,
    revision: Revision,
    namespaces: Vec<Namespace>,
    nodes: Vec<Node>,
    /// Raw texts that streams tell after what they told before, with the revision after each.
    log: Vec<(Revision, String)>,
    /// Where `/watch` sends everybody.
    leader: Option<SocketAddr>,
    watches: u64,
    last_event_ids: Vec<Option<String>>,
}

/// The fake; it ends when it is dropped.
pub(crate) struct Registry {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// Wakes the streams; its value is the number of cuts: a stream of an earlier one ends.
    wake: watch::Sender<u64>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Registry {
    /// A registry with the namespace `demo` and these nodes.
    pub(crate) async fn start(nodes: Vec<Node>) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), nodes).await
    }

    /// The same at a certain address.
    pub(crate) async fn at(address: SocketAddr, nodes: Vec<Node>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            cluster_id: CLUSTER,
            revision: Revision(10),
            namespaces: vec![namespace("demo")],
            nodes,
            log: Vec::new(),
            leader: None,
            watches: 0,
            last_event_ids: Vec::new(),
        }));
        let wake = watch::Sender::new(0);
        let (shared, waker) = (Arc::clone(&state), wake.clone());
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (state, wake) = (Arc::clone(&shared), waker.subscribe());
                connections.spawn(async move {
                    let _ = serve(stream, address, &state, wake).await;
                });
            }
        });
        Self { address, state, wake, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn revision(&self) -> Revision {
        self.state.lock().unwrap().revision
    }

    /// How many times the feed was asked for.
    pub(crate) fn watches(&self) -> u64 {
        self.state.lock().unwrap().watches
    }

    /// The `Last-Event-ID` of each time.
    pub(crate) fn last_event_ids(&self) -> Vec<Option<String>> {
        self.state.lock().unwrap().last_event_ids.clone()
    }

    /// A node is new or different.
    pub(crate) fn put(&self, node: Node) {
        self.change(|state| {
            state.nodes.retain(|other| (&other.host, other.port) != (&node.host, node.port));
            state.nodes.push(node.clone());
            vec![Change::NodePut { cause: NodeCause::Updated, node }]
        });
    }

    /// A node is gone.
    pub(crate) fn delete(&self, node: &Node) {
        self.change(|state| {
            state.nodes.retain(|other| other.id != node.id);
            let (id, ns, host, port) = (node.id, node.ns.clone(), node.host.clone(), node.port);
            vec![Change::NodeDeleted { cause: NodeCause::Deregistered, id, ns, host, port }]
        });
    }

    /// Tells raw text on every stream.
    pub(crate) fn tell(&self, text: impl Into<String>) {
        let mut state = self.state.lock().unwrap();
        let revision = state.revision;
        state.log.push((revision, text.into()));
        drop(state);
        self.wake.send_modify(|_| ());
    }

    /// Ends all streams; with what changed in between, if anything.
    pub(crate) fn cut(&self) {
        self.wake.send_modify(|cuts| *cuts += 1);
    }

    /// Becomes another cluster with other content, and ends all streams.
    pub(crate) fn become_foreign(&self) {
        let mut state = self.state.lock().unwrap();
        (state.cluster_id, state.revision) = (ClusterId(99), Revision(1_000));
        (state.nodes, state.log) = (Vec::new(), Vec::new());
        drop(state);
        self.cut();
    }

    /// Becomes its own cluster again, with what it was.
    pub(crate) fn become_own(&self, nodes: Vec<Node>, revision: Revision) {
        let mut state = self.state.lock().unwrap();
        (state.cluster_id, state.revision, state.nodes) = (CLUSTER, revision, nodes);
        drop(state);
        self.cut();
    }

    /// Sends everybody to this member from now on.
    pub(crate) fn redirect_to(&self, leader: SocketAddr) {
        self.state.lock().unwrap().leader = Some(leader);
        self.cut();
    }

    /// Everything as it is, as a snapshot at a revision.
    pub(crate) fn snapshot_at(&self, cluster_id: ClusterId, revision: Revision, nodes: Vec<Node>) -> String {
        let namespaces = self.state.lock().unwrap().namespaces.clone();
        encode(EventName::Snapshot, revision, &SnapshotEvent { cluster_id, revision, namespaces, nodes })
    }

    /// An event that skips revisions or is otherwise made by hand.
    pub(crate) fn change_at(revision: Revision, changes: Vec<Change>) -> String {
        encode(EventName::Change, revision, &ChangeEvent { revision, changes })
    }

    fn change(&self, change: impl FnOnce(&mut State) -> Vec<Change>) {
        let mut state = self.state.lock().unwrap();
        let changes = change(&mut state);
        state.revision = Revision(state.revision.0 + 1);
        let revision = state.revision;
        state.log.push((revision, encode(EventName::Change, revision, &ChangeEvent { revision, changes })));
        drop(state);
        self.wake.send_modify(|_| ());
    }
}

/// A namespace with the default health path.
pub(crate) fn namespace(name: &str) -> Namespace {
    Namespace {
        id: NamespaceId(1),
        name: name.parse().unwrap(),
        description: Default::default(),
        health_path: Default::default(),
        created_at: Timestamp::from_unix_ms(0),
        updated_at: Timestamp::from_unix_ms(0),
        mod_revision: Revision(1),
        node_count: None,
        online_count: None,
    }
}

fn encode<T: serde::Serialize>(name: EventName, revision: Revision, body: &T) -> String {
    let data = serde_json::to_string(body).unwrap();
    format!("event: {}\nid: {revision}\ndata: {data}\n\n", name.as_str())
}

/// Serves one request: the feed, as it is asked for.
async fn serve(
    stream: TcpStream,
    own: SocketAddr,
    state: &Mutex<State>,
    mut wake: watch::Receiver<u64>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut last_event_id = None;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some(id) = line.to_ascii_lowercase().strip_prefix("last-event-id:") {
            last_event_id = Some(id.trim().to_owned());
        }
    }
    let cuts = *wake.borrow_and_update();
    let (beginning, mut told) = {
        let mut state = state.lock().unwrap();
        state.watches += 1;
        state.last_event_ids.push(last_event_id.clone());
        if let Some(leader) = state.leader {
            let answer = format!(
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{leader}/api/upstream/watch?from=leader\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            (answer, None)
        } else {
            let (text, told) = beginning(&state, own, last_event_id.as_deref());
            (text, Some(told))
        }
    };
    stream.write_all(beginning.as_bytes()).await?;
    while let Some(from) = told {
        let (news, length) = {
            let state = state.lock().unwrap();
            let news: String = state.log.iter().skip(from).map(|(_, text)| text.as_str()).collect();
            (news, state.log.len())
        };
        told = Some(length.max(from));
        stream.write_all(news.as_bytes()).await?;
        if wake.changed().await.is_err() || *wake.borrow() != cuts {
            return Ok(());
        }
    }
    Ok(())
}

/// The head of the answer, and who speaks: first if the feed can be continued, else after a snapshot.
fn beginning(state: &State, own: SocketAddr, last_event_id: Option<&str>) -> (String, usize) {
    let bookmark = BookmarkEvent {
        cluster_id: state.cluster_id,
        revision: state.revision,
        member_id: MemberId(1),
        leader: Some(MemberAddress { id: MemberId(1), api: own.to_string() }),
    };
    let mut text =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n".to_owned();
    let bookmark = encode(EventName::Bookmark, state.revision, &bookmark);
    let known =
        last_event_id.and_then(|id| id.parse().ok()).map(Revision).filter(|known| *known <= state.revision);
    let oldest = state.log.first().map_or(state.revision.0, |(revision, _)| revision.0 - 1);
    match known {
        Some(known) if known.0 >= oldest => {
            let told = state.log.iter().take_while(|(revision, _)| *revision <= known).count();
            (text + &bookmark, told)
        }
        _ => {
            let snapshot = SnapshotEvent {
                cluster_id: state.cluster_id,
                revision: state.revision,
                namespaces: state.namespaces.clone(),
                nodes: state.nodes.clone(),
            };
            text += &encode(EventName::Snapshot, state.revision, &snapshot);
            (text + &bookmark, state.log.len())
        }
    }
}
