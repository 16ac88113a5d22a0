//! Connections over real sockets, with a service that does what the test wants.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kenger_types::{ClusterId, Incarnation, MemberId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    Admission, BoxAnswer, BoxDecision, CallError, Hello, PeerAddress, PeerIdentity, Peers, Purpose, Request,
    Response, Server, Service,
};
use crate::config::{Compaction, LeaseTimes, MemberConfig, StaticMember, StoreKind, Timing};
use crate::env::Env;
use crate::error::ReadError;
use crate::identity::LocalIdentity;

pub(crate) const SECRET: &[u8] = b"secret";
const LIMIT: Duration = Duration::from_secs(20);
const SERVING: PeerIdentity =
    PeerIdentity { cluster: Some(ClusterId(1)), member: MemberId(2), incarnation: Incarnation(22) };

/// Answers reads of the index with the number of calls before, after what the test lets through.
#[derive(Default)]
struct Counting {
    calls: AtomicU64,
    names: Mutex<Vec<&'static str>>,
    /// Calls with these numbers wait for the notification.
    held: Mutex<BTreeMap<u64, Arc<Notify>>>,
}

struct Admitting(Arc<Counting>);
struct Serving(Arc<Counting>);

impl Admission for Admitting {
    fn identity(&self) -> PeerIdentity {
        SERVING
    }

    fn admit<'a>(&'a self, hello: &'a Hello) -> BoxDecision<'a> {
        Box::pin(async move {
            match hello.from.member {
                MemberId(9) => Err("member 9 is not wanted".to_owned()),
                _ => Ok(Box::new(Serving(Arc::clone(&self.0))) as Box<dyn Service>),
            }
        })
    }
}

impl Service for Serving {
    fn call(&mut self, request: Request) -> BoxAnswer {
        let counting = Arc::clone(&self.0);
        Box::pin(async move {
            counting.names.lock().unwrap().push(request.name());
            let number = counting.calls.fetch_add(1, Ordering::SeqCst);
            let held = counting.held.lock().unwrap().get(&number).cloned();
            if let Some(held) = held {
                held.notified().await;
            }
            Response::ReadIndex(Ok(number))
        })
    }
}

pub(crate) struct Side {
    pub(crate) peers: Peers,
    _directory: tempfile::TempDir,
}

/// A member that calls others.
pub(crate) fn caller(member: u64, secret: &[u8]) -> Side {
    let directory = tempfile::tempdir().unwrap();
    let id = MemberId(member);
    let config = MemberConfig {
        id,
        members: vec![StaticMember { id, peer: "192.0.2.1:5001".into(), api: "192.0.2.1:5000".into() }],
        data_dir: directory.path().to_owned(),
        store: StoreKind::Redb,
        peer_secret: secret.to_vec(),
        timing: Timing::default(),
        compaction: Compaction::default(),
        lease: LeaseTimes::default(),
        feed_ring_revisions: 1,
    };
    let env = Env::system();
    let identity = Arc::new(LocalIdentity::open(&config, &env).unwrap());
    Side { peers: Peers::new(env, secret, identity, CancellationToken::new()), _directory: directory }
}

/// A member that answers.
async fn serving() -> (PeerAddress, Arc<Counting>, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (counting, stop) = (Arc::new(Counting::default()), CancellationToken::new());
    let admitting = Arc::new(Admitting(Arc::clone(&counting)));
    tokio::spawn(Server::new(Env::system(), SECRET, admitting, stop.clone()).run(Box::new(listener)));
    (PeerAddress { member: SERVING.member, address, incarnation: Some(SERVING.incarnation) }, counting, stop)
}

async fn index(side: &Side, to: &PeerAddress, limit: Duration) -> Result<u64, CallError> {
    match side.peers.call(to, Purpose::Client, &Request::ReadIndex, limit).await? {
        Response::ReadIndex(Ok(number)) => Ok(number),
        other => panic!("{other:?}"),
    }
}

fn hold(counting: &Counting, numbers: impl IntoIterator<Item = u64>) -> Vec<Arc<Notify>> {
    let mut held = counting.held.lock().unwrap();
    numbers.into_iter().map(|number| Arc::clone(held.entry(number).or_default())).collect()
}

#[tokio::test]
async fn answers_come_in_any_order_to_those_who_asked() {
    let (to, counting, _stop) = serving().await;
    let side = Arc::new(caller(1, SECRET));
    let held = hold(&counting, 0..3);
    let mut asked = Vec::new();
    for expected in 0..3 {
        let (side, to) = (Arc::clone(&side), to.clone());
        asked.push(tokio::spawn(async move { index(&side, &to, LIMIT).await.unwrap() }));
        while counting.calls.load(Ordering::SeqCst) == expected {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    for (number, task) in asked.into_iter().enumerate().rev() {
        held[number].notify_one();
        assert_eq!(task.await.unwrap(), number as u64);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_are_begun_in_the_order_in_which_they_were_sent() {
    let (to, counting, _stop) = serving().await;
    let side = caller(1, SECRET);
    let mut answers = Vec::new();
    for number in 0..500 {
        let request = if number % 2 == 0 { Request::ReadIndex } else { Request::Status };
        answers.push(side.peers.send(&to, Purpose::Client, &request).await.unwrap());
    }
    for (mut answer, number) in answers.into_iter().zip(0..) {
        let Response::ReadIndex(Ok(found)) = answer.wait().await.unwrap() else { panic!("another answer") };
        assert_eq!(found, number);
    }
    let names = counting.names.lock().unwrap();
    assert!(names.chunks(2).all(|pair| pair == ["read index", "status"]));
}

#[tokio::test]
async fn whoever_gives_up_gets_no_answer_and_takes_none_from_others() {
    let (to, counting, _stop) = serving().await;
    let side = caller(1, SECRET);
    let held = hold(&counting, [0]);
    let limit = Duration::from_millis(50);
    assert_eq!(index(&side, &to, limit).await, Err(CallError::TimedOut(limit)));
    assert!(!CallError::TimedOut(limit).nothing_happened());
    held[0].notify_one();
    for number in 1..100 {
        assert_eq!(index(&side, &to, LIMIT).await, Ok(number));
    }
}

#[tokio::test]
async fn what_was_not_sent_is_told_apart_from_what_was_not_answered() {
    let (to, counting, stop) = serving().await;
    let side = Arc::new(caller(1, SECRET));
    let _held = hold(&counting, [0]);
    let asked = {
        let (side, to) = (Arc::clone(&side), to.clone());
        tokio::spawn(async move { index(&side, &to, LIMIT).await })
    };
    while counting.calls.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.cancel();
    let lost = asked.await.unwrap().unwrap_err();
    assert!(matches!(lost, CallError::Lost(_)) && !lost.nothing_happened(), "{lost:?}");
    let unsent = index(&side, &to, LIMIT).await.unwrap_err();
    assert!(matches!(unsent, CallError::NotSent(_)) && unsent.nothing_happened(), "{unsent:?}");
}

#[tokio::test]
async fn without_the_secret_nobody_is_let_in_and_nobody_is_believed() {
    let (to, counting, _stop) = serving().await;
    let error = index(&caller(1, b"a guess"), &to, LIMIT).await.unwrap_err().to_string();
    assert!(error.contains("does not know the peer secret"), "{error}");
    assert_eq!(counting.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn another_member_or_directory_than_expected_is_refused_by_whoever_calls() {
    let (to, counting, _stop) = serving().await;
    let side = caller(1, SECRET);
    let other = PeerAddress { member: MemberId(3), ..to.clone() };
    let error = index(&side, &other, LIMIT).await.unwrap_err().to_string();
    assert!(error.contains("member 2 answers where member 3 is expected"), "{error}");
    let other = PeerAddress { incarnation: Some(Incarnation(7)), ..to.clone() };
    let error = index(&side, &other, LIMIT).await.unwrap_err().to_string();
    assert!(error.contains("another data directory"), "{error}");
    assert_eq!(counting.calls.load(Ordering::SeqCst), 0);
    assert_eq!(index(&side, &to, LIMIT).await, Ok(0));
}

#[tokio::test]
async fn a_refusal_is_told_with_its_reason() {
    let (to, _counting, _stop) = serving().await;
    let error = index(&caller(9, SECRET), &to, LIMIT).await.unwrap_err();
    assert!(error.nothing_happened() && error.to_string().contains("member 9 is not wanted"), "{error:?}");
}

#[tokio::test]
async fn whoever_proves_nothing_gets_neither_memory_nor_time() {
    let (to, _counting, _stop) = serving().await;
    // A frame of 1 MiB is announced: closed before it is read.
    let mut large = TcpStream::connect(&to.address).await.unwrap();
    large.write_all(&(1_u32 << 20).to_be_bytes()).await.unwrap();
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(1), large.read_to_end(&mut rest)).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
    // As many silent ones as there are places: others are turned away, and come in when time is up.
    let mut silent = Vec::new();
    for _ in 0..super::server::HANDSHAKES_MAX {
        silent.push(TcpStream::connect(&to.address).await.unwrap());
    }
    let mut turned_away = TcpStream::connect(&to.address).await.unwrap();
    let closed = tokio::time::timeout(LIMIT, turned_away.read_to_end(&mut rest)).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
    for mut stream in silent {
        let closed = tokio::time::timeout(LIMIT, stream.read_to_end(&mut rest)).await;
        assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
    }
    assert_eq!(index(&caller(1, SECRET), &to, LIMIT).await, Ok(0));
}

#[tokio::test]
async fn a_connection_carries_only_what_it_is_for() {
    for purpose in [Purpose::Probe, Purpose::Control, Purpose::Log, Purpose::Snapshot, Purpose::Lease] {
        assert!(!Request::ReadIndex.fits(purpose), "{purpose:?}");
    }
    assert!(Request::ReadIndex.fits(Purpose::Client));
    assert!(!Request::Status.fits(Purpose::Probe), "who belongs to no cluster may only probe");
}

#[tokio::test]
async fn errors_of_reads_travel_whole() {
    for error in
        [ReadError::NoLeader("why".into()), ReadError::Behind(5), ReadError::TooMany(7), ReadError::Stopping]
    {
        let sent = super::frame::seal(
            crate::codec::Kind::PeerResponse,
            &(1_u64, Response::ReadIndex(Err(error.clone()))),
        );
        let (id, response): (u64, Response) =
            super::frame::unseal(crate::codec::Kind::PeerResponse, &sent.unwrap()).unwrap();
        assert_eq!(id, 1);
        assert!(matches!(response, Response::ReadIndex(Err(found)) if found == error));
    }
}
