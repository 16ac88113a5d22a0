//! Three members of Kenger as processes of their own, with default timers, and gateways.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::cluster::{Cluster, POLL_LIMIT, WRITE_LIMIT};
use super::http::Server;
use super::lab::{Lab, Process, free_addresses};

pub(super) const TOKEN: &str = "token-of-the-benchmark";
const SECRET: &str = "a peer secret of the benchmark's";
const START_LIMIT: Duration = Duration::from_secs(60);

/// The members.
pub(super) struct Members<'a> {
    lab: &'a Lab,
    /// API and peer address of each.
    addresses: Vec<(SocketAddr, SocketAddr)>,
    processes: Vec<Process>,
}

impl<'a> Members<'a> {
    /// Starts all and waits until they serve.
    ///
    /// # Errors
    /// They do not come to serve.
    pub(super) fn start(lab: &'a Lab) -> Result<Self, String> {
        let [a, b, c, d, e, f] = free_addresses()?;
        let mut members = Self { lab, addresses: vec![(a, b), (c, d), (e, f)], processes: Vec::new() };
        for place in 0..members.addresses.len() {
            let process = members.spawn(place)?;
            members.processes.push(process);
        }
        for place in 0..members.addresses.len() {
            members.wait_ready(place, START_LIMIT)?;
        }
        Ok(members)
    }

    fn spawn(&self, place: usize) -> Result<Process, String> {
        let (api, peer) = self.addresses[place];
        let list: Vec<String> =
            (1..).zip(&self.addresses).map(|(id, (api, peer))| format!("{id}={peer}@{api}")).collect();
        let name = format!("member-{}", place + 1);
        let mut command = Command::new(&self.lab.kenger);
        command.args(["serve", "--member-id", &(place + 1).to_string(), "--members", &list.join(",")]);
        command.args(["--listen-api", &api.to_string(), "--listen-peer", &peer.to_string()]);
        command.args(["--peer-secret", SECRET, "--data-dir"]).arg(self.lab.path(&name));
        command.env("KENGER_TOKEN", TOKEN);
        self.lab.start(&name, &mut command)
    }

    /// The URLs of all, for `--endpoints`.
    pub(super) fn endpoints(&self) -> Vec<String> {
        self.addresses.iter().map(|(api, _)| format!("http://{api}")).collect()
    }

    pub(super) fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(Process::pid).collect()
    }

    /// Stops a member in order.
    ///
    /// # Errors
    /// It does not end.
    pub(super) fn stop(&mut self, place: usize) -> Result<(), String> {
        self.processes[place].stop()
    }

    /// A gateway of one worker for one namespace, and where it listens.
    ///
    /// # Errors
    /// It does not come to listen.
    pub(super) fn gateway(
        &self,
        name: &str,
        ns: &str,
        command: Command,
    ) -> Result<(Process, SocketAddr), String> {
        let [listen, admin] = free_addresses()?;
        let mut command = command;
        command.args(["gateway", "--registry", &self.endpoints().join(","), "--workers", "1"]);
        command.args(["--listen", &format!("{listen}={ns}"), "--admin", &admin.to_string(), "--cache-file"]);
        command.arg(self.lab.path(&format!("{name}.cache"))).env("KENGER_GATEWAY_TOKEN", TOKEN);
        let process = self.lab.start(name, &mut command)?;
        super::clock::wait_until(&format!("{name} listens"), START_LIMIT, || {
            std::net::TcpStream::connect(listen).is_ok()
        })
        .map_err(|why| format!("{why}\n{}", self.lab.last_words(name)))?;
        Ok((process, listen))
    }
}

impl Cluster for Members<'_> {
    fn servers(&self) -> Vec<Server> {
        self.addresses.iter().map(|(api, _)| Server { address: *api, token: Some(TOKEN) }).collect()
    }

    fn leader(&self) -> Option<usize> {
        let leaders = self.servers().iter().find_map(|server| {
            let answer = server.get("/api/cluster/status", POLL_LIMIT).ok()?.json();
            answer["data"]["leader_id"].as_u64()
        });
        usize::try_from(leaders?).ok()?.checked_sub(1)
    }

    fn is_ready(&self, place: usize) -> bool {
        self.servers()[place].get("/readyz", POLL_LIMIT).is_ok_and(|answer| answer.status == 200)
    }

    fn write(server: &Server, n: u64) -> bool {
        let body =
            json!({ "ns": "failover", "host": "127.0.0.1", "port": 1 + n % 60_000, "ttl_seconds": 3_600 });
        let answer = server.post("/api/upstream/node/register", &body, WRITE_LIMIT);
        answer.is_ok_and(|answer| answer.status == 200)
    }

    fn kill(&mut self, place: usize) {
        self.processes[place].kill();
    }

    fn restart(&mut self, place: usize) -> Result<(), String> {
        self.processes[place] = self.spawn(place)?;
        Ok(())
    }
}
