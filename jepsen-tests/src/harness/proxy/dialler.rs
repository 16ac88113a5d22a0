//! Which process is at the other end of a connection on this machine, as `/proc` shows it.
//!
//! To look costs some milliseconds, and after a cut all members dial all others at once: all who want to know
//! share a look. Each looking for himself, a busy machine never came to an end with it, because whoever was
//! found too late had given up and dialled again.

use std::collections::HashMap;
use std::fs;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::harness::settings::MemberId;

/// How often it is looked for one connection: a process may have been started this very moment.
const LOOKS_MAX: u32 = 5;
/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// Connections and who holds them.
#[derive(Debug, Default)]
pub(super) struct Diallers(Mutex<Look>);

/// What a look showed.
#[derive(Debug, Default)]
struct Look {
    began: Option<Instant>,
    /// The dialler of each connection, by its ends as the table spells them: local, remote.
    diallers: HashMap<(String, String), MemberId>,
}

impl Diallers {
    /// Which of these members' processes has a connection from `source` to `target`; `None` if none has (it
    /// may have given up, or ended).
    pub(super) async fn find(
        &self,
        source: SocketAddr,
        target: SocketAddr,
        pids: impl Fn() -> Vec<(MemberId, u32)>,
    ) -> Option<MemberId> {
        let (SocketAddr::V4(source), SocketAddr::V4(target)) = (source, target) else { return None };
        let ends = (in_table(source), in_table(target));
        for _ in 0..LOOKS_MAX {
            let asked = Instant::now();
            let mut look = self.0.lock().await;
            if look.began.is_none_or(|began| began < asked) {
                if let Some(before) = look.began {
                    sleep_until(before + LOOK_PAUSE).await;
                }
                *look = Look::new(&pids());
            }
            if let Some(member) = look.diallers.get(&ends) {
                return Some(*member);
            }
        }
        None
    }
}

impl Look {
    fn new(pids: &[(MemberId, u32)]) -> Self {
        let began = Some(Instant::now());
        let holders: HashMap<u64, MemberId> =
            pids.iter().flat_map(|(member, pid)| sockets(*pid).map(|inode| (inode, *member))).collect();
        let table = fs::read_to_string("/proc/thread-self/net/tcp").unwrap_or_default();
        let dialler = |line: &str| {
            let mut words = line.split_whitespace().skip(1);
            let ends = (words.next()?.to_owned(), words.next()?.to_owned());
            let inode = words.nth(6)?.parse().ok()?;
            Some((ends, *holders.get(&inode)?))
        };
        Self { began, diallers: table.lines().filter_map(dialler).collect() }
    }
}

/// An address as the table spells it: the address as the machine reads its four bytes, and the port.
fn in_table(address: SocketAddrV4) -> String {
    format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
}

/// The sockets that a process holds; none if it has ended.
fn sockets(pid: u32) -> impl Iterator<Item = u64> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let link = fs::read_link(entry.path()).ok()?;
        link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    })
}
