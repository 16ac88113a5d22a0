//! Partitions: each member in a network namespace of its own, joined by a bridge, with packets dropped
//! at the receiving end. One direction can be cut alone, which no proxy can do truly.
//!
//! Nothing here has a name that could outlive the test: a namespace lasts as long as the processes in
//! it, and a holder process of each member's ends with the test. The test itself moves into the
//! namespace of the bridge, so that it reaches members that cannot reach each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::Arc;

use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

use super::cluster::{Cluster, Home};
use super::links::{Faults, LinkId, Probed};
use super::probe::Inbox;
use super::process::Process;
use super::settings::{MemberId, Settings};
use super::skip::skip;

/// What tests of links are sent to.
const PROBE_PORT: u16 = 5009;
/// How much a link whose rate is limited takes at once: the largest that the kernel hands on in one piece.
const RATE_BURST_BYTES: u64 = 64 << 10;

/// Runs `test` where network namespaces can be made; says so where they cannot.
///
/// # Panics
/// The test does, or the namespaces cannot be made although everything needed is there.
pub fn within_namespaces(name: &str, members: u64, test: impl AsyncFnOnce(Namespaces) + Send + 'static) {
    if let Some(reason) = missing() {
        return skip(name, &reason);
    }
    // A thread of its own, because its network namespace is changed for good.
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let namespaces = Namespaces::enter(members);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test(namespaces));
    });
    if let Err(panic) = thread.unwrap().join() {
        std::panic::resume_unwind(panic);
    }
}

/// What this machine lacks.
fn missing() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("network namespaces need root".to_owned());
    }
    for program in [&["ip", "-V"][..], &["nft", "-v"], &["nsenter", "--version"]] {
        let mut command = Command::new(program[0]);
        let found = command.args(&program[1..]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if found.is_err() {
            return Some(format!("there is no program {}", program[0]));
        }
    }
    // A container may be root and still not be allowed to; tried on a thread that ends at once.
    let allowed = std::thread::spawn(|| unshare(CloneFlags::CLONE_NEWNET)).join().unwrap();
    allowed.err().map(|error| format!("network namespaces are not allowed here: {error}"))
}

/// The network of the members.
#[derive(Debug)]
pub struct Namespaces {
    members: Vec<MemberNetwork>,
    /// Which packets are dropped now: from the first member to the second.
    cuts: BTreeSet<LinkId>,
    /// What else is wrong with the links.
    faults: Faults,
    inbox: Inbox,
    folder: TempDir,
}

#[derive(Debug)]
struct MemberNetwork {
    namespace: Arc<OwnedFd>,
    /// Keeps the namespace while the member is being restarted.
    holder: Process,
    /// A socket in the namespace.
    probe: UdpSocket,
}

impl Namespaces {
    /// What this machine lacks for it.
    pub fn missing() -> Option<String> {
        missing()
    }

    /// Moves this thread into a network namespace of its own, for good, and makes those of the members.
    ///
    /// # Panics
    /// They cannot be made.
    pub fn enter(members: u64) -> Self {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace of the test's own");
        Self::new(members)
    }

    fn new(members: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        ip("link set lo up");
        ip("link add bridge type bridge");
        ip("link set bridge up");
        ip(&format!("address add {}/24 dev bridge", address(254)));
        let members = (1..=members).map(|id| MemberNetwork::new(id, &folder)).collect();
        Self { members, cuts: BTreeSet::new(), faults: Faults::default(), inbox: Inbox::default(), folder }
    }

    /// Starts a cluster in this network.
    pub async fn start(&self, settings: Settings) -> Cluster {
        assert_eq!(settings.members, self.members.len() as u64);
        let homes = (1..)
            .zip(&self.members)
            .map(|(id, member)| Home::new(address(id), Some(Arc::clone(&member.namespace))));
        Cluster::start_in(homes.collect(), settings).await
    }

    /// From now on nothing that `from` sends reaches `to`.
    pub fn cut(&mut self, from: MemberId, to: MemberId) {
        self.cuts.insert((from, to));
        self.apply(to);
    }

    /// Neither reaches the other.
    pub fn cut_both_ways(&mut self, one: MemberId, other: MemberId) {
        self.cut(one, other);
        self.cut(other, one);
    }

    /// Cuts a member off from all others; clients still reach it.
    pub fn isolate(&mut self, id: MemberId) {
        for other in (1..=self.members.len() as u64).filter(|other| *other != id) {
            self.cut_both_ways(id, other);
        }
    }

    /// Everybody reaches everybody again.
    pub fn heal(&mut self) {
        let receivers: BTreeSet<_> = self.cuts.iter().map(|(_, to)| *to).collect();
        self.cuts.clear();
        receivers.into_iter().for_each(|to| self.apply(to));
    }

    /// Changes what is wrong with the links.
    pub(super) fn change<T>(&mut self, change: impl FnOnce(&mut Faults) -> T) -> T {
        let before = self.all_rules();
        let changed = change(&mut self.faults);
        for (to, rules) in self.all_rules() {
            if before.get(&to) != Some(&rules) {
                self.apply(to);
            }
        }
        changed
    }

    /// Replaces the rules in a member's namespace by those that `cuts` says.
    fn apply(&self, to: MemberId) {
        let rules = self.rules(to);
        let chain = format!("chain input {{\ntype filter hook input priority 0;\n{rules}}}\n");
        let ruleset = format!("flush ruleset\ntable ip cut {{\n{chain}}}\n");
        let file = self.folder.path().join(format!("member-{to}.nft"));
        std::fs::write(&file, ruleset).unwrap();
        let pid = self.members[usize::try_from(to).unwrap() - 1].holder.pid();
        run(&format!("nsenter --target {pid} --net nft --file {}", file.display()));
    }

    fn all_rules(&self) -> BTreeMap<MemberId, String> {
        (1..=self.members.len() as u64).map(|to| (to, self.rules(to))).collect()
    }

    /// What happens to packets that arrive at a member.
    fn rules(&self, to: MemberId) -> String {
        let cuts: BTreeSet<LinkId> =
            self.faults.cuts().into_keys().chain(self.cuts.iter().copied()).collect();
        let mut rules = String::new();
        for (from, _) in cuts.iter().filter(|(_, receiver)| *receiver == to) {
            rules += &format!("ip saddr {} drop\n", address(*from));
        }
        for ((from, receiver), bad) in self.faults.impairments() {
            if receiver != to {
                continue;
            }
            let from = address(from);
            if bad.loss_per_mille > 0 {
                rules += &format!("ip saddr {from} numgen random mod 1000 < {} drop\n", bad.loss_per_mille);
            }
            if let Some(rate) = bad.bytes_per_second {
                let limit = format!("limit rate over {rate} bytes/second burst {RATE_BURST_BYTES} bytes");
                rules += &format!("ip saddr {from} {limit} drop\n");
            }
        }
        rules
    }

    /// Sends `packets` from the namespace of one member to that of another.
    pub async fn probe(&self, from: MemberId, to: MemberId, packets: u32) -> Probed {
        let of = |id: MemberId| &self.members[usize::try_from(id).unwrap() - 1].probe;
        let target = (of(to), SocketAddr::from((address(to), PROBE_PORT)));
        self.inbox.test(of(from), target, packets).await
    }
}

impl MemberNetwork {
    fn new(id: MemberId, folder: &TempDir) -> Self {
        // Made on a thread of its own, so that this one stays where it is.
        let namespace = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PROBE_PORT)).unwrap();
            probe.set_nonblocking(true).unwrap();
            (OwnedFd::from(File::open("/proc/thread-self/ns/net").unwrap()), probe)
        });
        let (namespace, probe) = namespace.join().unwrap();
        let log = folder.path().join(format!("holder-{id}.log"));
        let name = format!("holder of the network of member {id}");
        let holder = Process::start(&name, Command::new("sleep").arg("infinity"), &log, Some(&namespace));
        let pid = holder.pid();
        assert_inside(pid, &namespace);
        ip(&format!("link add port{id} type veth peer name eth0 netns {pid}"));
        ip(&format!("link set port{id} master bridge up"));
        let inside = |command: &str| run(&format!("nsenter --target {pid} --net ip {command}"));
        inside("link set lo up");
        inside("link set eth0 up");
        inside(&format!("address add {}/24 dev eth0", address(id)));
        Self { namespace: Arc::new(namespace), holder, probe }
    }
}

/// A process moves itself between `fork` and `exec`, and `spawn` returns after `exec`: it is there.
fn assert_inside(pid: u32, namespace: &OwnedFd) {
    let inside = nix::sys::stat::stat(format!("/proc/{pid}/ns/net").as_str()).unwrap();
    let wanted = nix::sys::stat::fstat(namespace).unwrap();
    assert_eq!(inside.st_ino, wanted.st_ino, "the holder is not in its network namespace");
}

/// An address that is set aside for examples: nothing outside can have it.
fn address(host: u64) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, u8::try_from(host).unwrap())
}

fn ip(arguments: &str) {
    run(&format!("ip {arguments}"));
}

/// Runs a command in this thread's network namespace.
fn run(command: &str) {
    let mut words = command.split(' ');
    let output = Command::new(words.next().unwrap()).args(words).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{command}: {e}"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {error}");
}
