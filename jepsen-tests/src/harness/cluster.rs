//! A cluster of real members, each a process with a data directory of its own.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use kenger_types::cluster::MemberRole;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::api::Api;
use super::binary::kenger_command;
use super::process::Process;
use super::settings::{MemberId, Settings};
use super::wait::{eventually, eventually_some};

/// Members are ready within this time after they were started, also on a busy machine.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// A member that was asked to stop does so within this time.
const STOP_LIMIT: Duration = Duration::from_secs(15);

// Whoever has an address has these ports on it, too.
const API_PORT: u16 = 5000;
const PEER_PORT: u16 = 5001;
const PROXY_PORT: u16 = 5002;

/// How a member is made to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// SIGKILL: whatever was not synced may be gone from the process, not from the machine.
    Killed,
    /// SIGTERM.
    Asked,
}

/// Where one member lives.
#[derive(Debug, Clone)]
pub(super) struct Home {
    /// Its address.
    pub(super) ip: Ipv4Addr,
    /// Port of the API.
    pub(super) api_port: u16,
    /// Port for other members.
    pub(super) peer_port: u16,
    /// The port that the member list says instead, if there is a proxy on it.
    pub(super) proxy_port: Option<u16>,
    /// The member's process, for as long as it runs; 0: none.
    pub(super) pid: Arc<AtomicU32>,
    /// Its network namespace, if it is not the test's.
    pub(super) network: Option<Arc<OwnedFd>>,
}

impl Home {
    /// With the usual ports.
    pub(super) fn new(ip: Ipv4Addr, network: Option<Arc<OwnedFd>>) -> Self {
        Self { ip, api_port: API_PORT, peer_port: PEER_PORT, proxy_port: None, pid: Arc::default(), network }
    }

    /// Where it listens for other members.
    pub(super) fn peer_address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.ip, self.peer_port)
    }

    /// Where other members look for it.
    pub(super) fn peer_front(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.ip, self.proxy_port.unwrap_or(self.peer_port))
    }

    /// The same with a proxy in between.
    pub(super) fn behind_a_proxy(self) -> Self {
        Self { proxy_port: Some(PROXY_PORT), ..self }
    }
}

#[derive(Debug)]
struct Member {
    home: Home,
    process: Option<Process>,
    /// SIGSTOPped.
    is_paused: bool,
}

/// A cluster of `kenger serve` processes. Dropping it kills them.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Member>,
    settings: Settings,
    // Declared last: the processes are gone before their directory is.
    folder: TempDir,
}

impl Cluster {
    /// Starts all members on loopback addresses of their own and waits for a leader.
    ///
    /// # Panics
    /// They do not come up.
    pub async fn start(settings: Settings) -> Self {
        let homes = loopback_homes(settings.members);
        Self::start_in(homes, settings).await
    }

    pub(super) async fn start_in(homes: Vec<Home>, settings: Settings) -> Self {
        let folder = tempfile::Builder::new().prefix("kenger-test-").tempdir().unwrap();
        let members =
            homes.into_iter().map(|home| Member { home, process: None, is_paused: false }).collect();
        let mut cluster = Self { members, settings, folder };
        for id in cluster.ids() {
            cluster.start_member(id);
        }
        cluster.wait_for_all().await;
        cluster
    }

    /// All member ids.
    pub fn ids(&self) -> Vec<MemberId> {
        (1..=self.members.len() as u64).collect()
    }

    /// The members that are running and not stopped.
    pub fn running(&self) -> Vec<MemberId> {
        let is_running = |id: &MemberId| {
            let member = &self.members[Self::index(*id)];
            member.process.is_some() && !member.is_paused
        };
        self.ids().into_iter().filter(is_running).collect()
    }

    /// How the members were started.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A client of a member.
    pub fn api(&self, id: MemberId) -> Api {
        Api::new(id, &self.api_address(id), Some(&self.settings.token))
    }

    /// A client of each member.
    pub fn apis(&self) -> Vec<Api> {
        self.ids().into_iter().map(|id| self.api(id)).collect()
    }

    /// `host:port` of a member's API.
    pub fn api_address(&self, id: MemberId) -> String {
        let home = &self.members[Self::index(id)].home;
        format!("{}:{}", home.ip, home.api_port)
    }

    /// A member's data directory.
    pub fn data_dir(&self, id: MemberId) -> PathBuf {
        match &self.settings.disks {
            Some(disks) => disks.data_dir(id),
            None => self.folder.path().join(format!("member-{id}")),
        }
    }

    /// A directory for other things of the test; it goes with the cluster.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process of a member that runs.
    pub fn pid(&self, id: MemberId) -> Option<u32> {
        self.members[Self::index(id)].process.as_ref().map(Process::pid)
    }

    /// What the kernel says that a member does, see [`Process::state`]; `None` if it does not run.
    pub fn process_state(&self, id: MemberId) -> Option<char> {
        self.members[Self::index(id)].process.as_ref()?.state()
    }

    /// How a member that was started ended by itself, if it has; it counts as not running after that.
    pub fn ended(&mut self, id: MemberId) -> Option<(ExitStatus, String)> {
        let status = self.members[Self::index(id)].process.as_mut()?.ended()?;
        Some((status, self.take(id).log_tail()))
    }

    /// Starts a member that does not run.
    pub fn start_member(&mut self, id: MemberId) {
        let member_list = self.member_list();
        let (name, log) = (format!("member {id}"), self.log(id));
        let data_dir = self.data_dir(id);
        let member = &mut self.members[Self::index(id)];
        assert!(member.process.is_none(), "{name} runs already");
        let home = &member.home;
        let mut command = kenger_command();
        command
            .arg("serve")
            .args(["--member-id", &id.to_string(), "--members", &member_list])
            .args(["--listen-api", &format!("{}:{}", home.ip, home.api_port)])
            .args(["--listen-peer", &format!("{}:{}", home.ip, home.peer_port)])
            .arg("--data-dir")
            .arg(data_dir);
        for (flag, value) in self.settings.flags() {
            command.args([flag, &value]);
        }
        command
            .env("KENGER_TOKEN", &self.settings.token)
            .env("KENGER_PEER_SECRET", &self.settings.peer_secret);
        command.envs(self.settings.environment.iter().map(|(name, value)| (name, value)));
        command.envs(self.settings.clocks.iter().flat_map(|clocks| clocks.of(id).environment()));
        let process = Process::start(&name, &mut command, &log, home.network.as_deref());
        home.pid.store(process.pid(), Ordering::Relaxed);
        member.process = Some(process);
        member.is_paused = false;
    }

    fn member_list(&self) -> String {
        let entry = |(id, member): (u64, &Member)| {
            let home = &member.home;
            format!("{id}={}@{}:{}", home.peer_front(), home.ip, home.api_port)
        };
        (1..).zip(&self.members).map(entry).collect::<Vec<_>>().join(",")
    }

    /// Ends a member that runs.
    ///
    /// # Panics
    /// It was asked to stop and did not do so in time, or not with success.
    pub async fn end(&mut self, id: MemberId, ending: Ending) {
        match ending {
            Ending::Killed => self.kill(id),
            Ending::Asked => {
                let mut process = self.take(id);
                process.signal(Signal::SIGTERM);
                let status = process.wait(STOP_LIMIT).await;
                assert!(status.success(), "member {id} was asked to stop and ended with {status}");
            }
        }
    }

    /// Kills a member that runs.
    pub fn kill(&mut self, id: MemberId) {
        self.take(id).kill();
    }

    /// Waits until a member ends by itself; answers how, and the end of its output.
    ///
    /// # Panics
    /// It still runs after `limit`.
    pub async fn ends_by_itself(&mut self, id: MemberId, limit: Duration) -> (ExitStatus, String) {
        let mut process = self.take(id);
        let status = process.wait(limit).await;
        (status, process.log_tail())
    }

    /// Where a member's output goes.
    pub fn log(&self, id: MemberId) -> PathBuf {
        let folder = self.settings.logs.as_deref().unwrap_or(self.folder.path());
        folder.join(format!("member-{id}.log"))
    }

    /// Stops a member's process where it stands, as a machine that is out of breath does.
    pub fn pause(&mut self, id: MemberId) {
        self.signal(id, Signal::SIGSTOP);
        self.members[Self::index(id)].is_paused = true;
    }

    /// Lets it go on.
    pub fn resume(&mut self, id: MemberId) {
        self.signal(id, Signal::SIGCONT);
        self.members[Self::index(id)].is_paused = false;
    }

    /// Ends all members, then starts them again, and waits for a leader.
    pub async fn restart_all(&mut self, ending: Ending) {
        // All at once: none of them is to see the others go and take over.
        match ending {
            Ending::Killed => self.running().into_iter().for_each(|id| self.kill(id)),
            Ending::Asked => {
                let running = self.running();
                running.iter().for_each(|id| self.signal(*id, Signal::SIGTERM));
                for id in running {
                    let (status, _) = self.ends_by_itself(id, STOP_LIMIT).await;
                    assert!(status.success(), "member {id} was asked to stop and ended with {status}");
                }
            }
        }
        for id in self.ids() {
            self.start_member(id);
        }
        self.wait_for_all().await;
    }

    /// Waits until every running member is ready, and answers who leads.
    pub async fn wait_for_all(&mut self) -> MemberId {
        for id in self.running() {
            self.wait_until_ready(id).await;
        }
        self.wait_for_leader().await
    }

    /// Waits until a member has a leader and has caught up.
    ///
    /// # Panics
    /// It ends, or is not ready in time.
    pub async fn wait_until_ready(&mut self, id: MemberId) {
        let api = self.api(id).with_limit(Duration::from_secs(2));
        eventually(&format!("member {id} is ready"), READY_LIMIT, async || {
            let process = self.members[Self::index(id)].process.as_mut().expect("it was started");
            if let Some(status) = process.ended() {
                panic!("member {id} ended: {status}");
            }
            api.is_ready().await
        })
        .await;
    }

    /// Waits until one of the running members leads and the others know it; answers who.
    pub async fn wait_for_leader(&self) -> MemberId {
        eventually_some("a leader is known to all", READY_LIMIT, async || self.leader().await).await
    }

    /// Who leads, if all running members agree.
    pub async fn leader(&self) -> Option<MemberId> {
        let mut leaders = Vec::new();
        for id in self.running() {
            let status = self.api(id).with_limit(Duration::from_secs(2)).status().await?;
            leaders.push(status.leader_id?.0);
        }
        let leader = *leaders.first()?;
        (leaders.iter().all(|other| *other == leader) && self.running().contains(&leader)).then_some(leader)
    }

    /// Whether this member itself says that it leads.
    pub async fn claims_to_lead(&self, id: MemberId) -> bool {
        let status = self.api(id).with_limit(Duration::from_secs(2)).status().await;
        status.is_some_and(|status| {
            let own = status.members.iter().find(|member| member.id.0 == id);
            own.is_some_and(|own| own.role == MemberRole::Leader)
        })
    }

    fn signal(&mut self, id: MemberId, signal: Signal) {
        let member = &mut self.members[Self::index(id)];
        member.process.as_mut().unwrap_or_else(|| panic!("member {id} does not run")).signal(signal);
    }

    fn take(&mut self, id: MemberId) -> Process {
        let member = &mut self.members[Self::index(id)];
        member.is_paused = false;
        member.home.pid.store(0, Ordering::Relaxed);
        member.process.take().unwrap_or_else(|| panic!("member {id} does not run"))
    }

    fn index(id: MemberId) -> usize {
        usize::try_from(id).unwrap() - 1
    }
}

/// Addresses in 127.0.0.0/8 that no other test of this machine has: outgoing connections come from
/// 127.0.0.1, so none of them can take the port of a member that is being restarted.
pub(super) fn loopback_homes(members: u64) -> Vec<Home> {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    for _ in 0..u8::MAX {
        // A process id has up to 22 bits; two that share these 16 meet in `bind`, and one moves on.
        let third = NEXT.fetch_add(1, Ordering::Relaxed);
        let ip = |member: u64| {
            let host = third.wrapping_mul(8).wrapping_add(u8::try_from(member).unwrap());
            Ipv4Addr::new(127, 1 | high, low, host)
        };
        let homes: Option<Vec<Home>> = (1..=members).map(|member| loopback_home(ip(member))).collect();
        if let Some(homes) = homes {
            return homes;
        }
    }
    panic!("no free loopback addresses");
}

/// The free ports of an address; none if somebody else uses the address.
fn loopback_home(ip: Ipv4Addr) -> Option<Home> {
    for port in [API_PORT, PEER_PORT, PROXY_PORT] {
        TcpListener::bind((ip, port)).ok()?;
    }
    Some(Home::new(ip, None))
}
