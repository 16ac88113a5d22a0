//! Which process is at the other end of a connection on this machine, as `/proc` shows it.

use std::fs;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::Path;
use std::time::Duration;

use crate::harness::settings::MemberId;

/// How often it is looked: a process may have been started this very moment.
const LOOKS_MAX: u32 = 5;
/// Pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// Which of these members' processes has a connection from `source` to `target`; `None` if none has (it
/// may have given up, or ended).
pub(super) async fn find(
    source: SocketAddr,
    target: SocketAddr,
    pids: &[(MemberId, u32)],
) -> Option<MemberId> {
    let (SocketAddr::V4(source), SocketAddr::V4(target)) = (source, target) else { return None };
    for _ in 0..LOOKS_MAX {
        let socket = inode(source, target).map(|inode| format!("socket:[{inode}]"));
        let holder = socket.and_then(|socket| pids.iter().find(|(_, pid)| holds(*pid, &socket)));
        if let Some((member, _)) = holder {
            return Some(*member);
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    None
}

/// The inode of the socket that is bound to `local` and connected to `remote`.
fn inode(local: SocketAddrV4, remote: SocketAddrV4) -> Option<u64> {
    let table = fs::read_to_string("/proc/thread-self/net/tcp").ok()?;
    let (local, remote) = (in_table(local), in_table(remote));
    table.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let is_it = words.next()? == local && words.next()? == remote;
        is_it.then(|| words.nth(6)?.parse().ok()).flatten()
    })
}

/// An address as the table spells it: the address as the machine reads its four bytes, and the port.
fn in_table(address: SocketAddrV4) -> String {
    format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
}

fn holds(pid: u32, socket: &str) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|link| link == Path::new(socket)))
}
