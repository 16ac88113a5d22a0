//! Subscribers of the feed that do not read for a while, one or many of them, and then read on. The member
//! must not slow down for them, must not keep what they do not take, and what they read in the end must be
//! without a gap: they note it as watchers do.

use std::io;
use std::ops::RangeInclusive;
use std::os::fd::AsRawFd;
use std::time::Duration;

use futures_util::future::{LocalBoxFuture, join_all};
use kenger_types::api::{header, path};
use nix::libc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::victims::{self, Whom};
use super::{Nemesis, Struck};
use crate::harness::{MemberId, SseParser};
use crate::history::{FeedItem, FeedRecord, PASSING_WATCHERS_FROM, Record, Timers};
use crate::run::{Arena, feed_item};

/// How many of them there are when there are many.
const MANY: usize = 32;
/// So many of them note what they read in the end; they would all note the same.
const NOTED_MAX: usize = 3;
/// What the system may keep for one of them, in bytes; the rest stays with the member.
const RECEIVE_BUFFER_BYTES: u32 = 4 << 10;
/// A member answers within this time.
const ANSWER_LIMIT: Duration = Duration::from_millis(1_500);
/// In the end they read for so long, or until nothing came for a while.
const READ_LIMIT: Duration = Duration::from_secs(2);
const QUIET: Duration = Duration::from_millis(250);

nix::ioctl_read_bad!(
    /// How many bytes have arrived that nobody has read.
    unread, libc::FIONREAD, libc::c_int
);

/// See the module.
#[derive(Default)]
pub(super) struct SlowWatcher {
    next: u32,
    streams: Vec<(MemberId, TcpStream)>,
}

impl SlowWatcher {
    pub(super) fn boxed() -> Box<dyn Nemesis> {
        Box::<Self>::default()
    }
}

impl Nemesis for SlowWatcher {
    fn hold(&self, _timers: &Timers) -> RangeInclusive<Duration> {
        Duration::from_secs(3)..=Duration::from_secs(9)
    }

    fn begin<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Result<Struck, String>> {
        Box::pin(async {
            let whom = if arena.rng.bool() { Whom::Leader } else { Whom::Some };
            let members = whom.choose(arena).await?;
            let count = if arena.rng.bool() { MANY } else { 1 };
            let arena = &*arena;
            let opening = members.iter().flat_map(|id| (0..count).map(|_| open(arena, *id)));
            self.streams = join_all(opening).await.into_iter().flatten().collect();
            if self.streams.is_empty() {
                return Err(format!("{} serve no feed now", victims::list(&members)));
            }
            let waiting: Vec<_> =
                self.streams.iter().filter_map(|(_, stream)| bytes_unread(stream)).collect();
            let all_wait = waiting.len() == self.streams.len() && waiting.iter().all(|bytes| *bytes > 0);
            let evidence = all_wait.then(|| {
                let least = waiting.iter().min().copied().unwrap_or_default();
                format!(
                    "for each of {} subscribers {least} bytes or more have arrived that it does not read",
                    waiting.len()
                )
            });
            let detail = format!("{} at members {}", self.streams.len(), victims::list(&members));
            Ok(Struck { members, evidence, detail })
        })
    }

    fn end<'a>(&'a mut self, arena: &'a mut Arena) -> LocalBoxFuture<'a, Option<String>> {
        Box::pin(async {
            let mut streams = std::mem::take(&mut self.streams);
            streams.truncate(NOTED_MAX);
            let first = PASSING_WATCHERS_FROM + self.next;
            self.next += u32::try_from(streams.len()).expect("a few");
            let arena = &*arena;
            let reading =
                (first..).zip(streams).map(|(number, (id, stream))| read_on(arena, number, id, stream));
            let events: usize = join_all(reading).await.into_iter().sum();
            Some(format!("they were closed, after some of them had read {events} events"))
        })
    }
}

/// Subscribes and reads nothing; `None` if the member does not serve the feed now.
async fn open(arena: &Arena, id: MemberId) -> Option<(MemberId, TcpStream)> {
    let address = arena.cluster.api_address(id);
    let token = &arena.cluster.settings().token;
    let open = async {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
        let mut stream = socket.connect(address.parse().expect("an address")).await?;
        // HTTP/1.0: the body comes as it is, up to the end of the connection.
        let (path, name) = (path::WATCH, header::API_TOKEN);
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n{name}: {token}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut start = [0; 12];
        while stream.peek(&mut start).await? < start.len() {
            sleep(Duration::from_millis(5)).await;
        }
        Ok::<_, io::Error>((start.ends_with(b" 200"), stream))
    };
    let (is_served, stream) = timeout(ANSWER_LIMIT, open).await.ok()?.ok()?;
    is_served.then_some((id, stream))
}

fn bytes_unread(stream: &TcpStream) -> Option<libc::c_int> {
    let mut bytes = 0;
    // SAFETY: the request writes one integer, which outlives the call.
    unsafe { unread(stream.as_raw_fd(), &raw mut bytes) }.ok()?;
    Some(bytes)
}

/// Reads what there is, and notes it; answers how many events that were.
async fn read_on(arena: &Arena, watcher: u32, member: MemberId, mut stream: TcpStream) -> usize {
    let note = |item| {
        let at = arena.recorder.now();
        arena.recorder.note(Record::Feed(FeedRecord { at, watcher, member, item }));
    };
    note(FeedItem::Opened { after: None, namespaces: Vec::new() });
    let (mut parser, mut head, mut buffer) = (SseParser::default(), Some(Vec::new()), vec![0; 16 << 10]);
    let deadline = Instant::now() + READ_LIMIT;
    let mut events = 0;
    let reason = loop {
        if Instant::now() > deadline {
            break "it has read for long enough";
        }
        match timeout(QUIET, stream.read(&mut buffer)).await {
            Err(_) => break "nothing more came",
            Ok(Ok(0) | Err(_)) => break "the stream ended",
            Ok(Ok(length)) => body(&mut head, &buffer[..length], &mut parser),
        }
        while let Some(event) = parser.events.pop_front() {
            events += 1;
            if let Some(item) = feed_item(event) {
                note(item);
            }
        }
    };
    note(FeedItem::Ended { reason: reason.to_owned() });
    events
}

/// Hands on what comes after the head of the answer.
fn body(head: &mut Option<Vec<u8>>, bytes: &[u8], parser: &mut SseParser) {
    const END: &[u8] = b"\r\n\r\n";
    let Some(so_far) = head else { return parser.feed(bytes) };
    so_far.extend_from_slice(bytes);
    if let Some(end) = so_far.windows(END.len()).position(|window| window == END) {
        parser.feed(&so_far[end + END.len()..]);
        *head = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_an_answer_is_passed_over_wherever_it_is_split() {
        let text = b"HTTP/1.0 200 OK\r\na: b\r\n\r\nid: 7\ndata: x\n\n";
        for split in 0..text.len() {
            let (mut parser, mut head) = (SseParser::default(), Some(Vec::new()));
            body(&mut head, &text[..split], &mut parser);
            body(&mut head, &text[split..], &mut parser);
            assert_eq!(parser.events.iter().map(|event| event.id).collect::<Vec<_>>(), [Some(7)]);
        }
    }
}
