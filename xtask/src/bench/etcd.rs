//! Three members of etcd on loopback, with its default timers: what a user would take instead.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::cluster::{Cluster, POLL_LIMIT, WRITE_LIMIT};
use super::http::Server;
use super::lab::{Lab, Process, free_addresses};

const START_LIMIT: Duration = Duration::from_secs(60);
const GRANT_LIMIT: Duration = Duration::from_secs(5);

/// The members.
pub(super) struct Etcd<'a> {
    lab: &'a Lab,
    /// Client and peer address of each.
    addresses: Vec<(SocketAddr, SocketAddr)>,
    processes: Vec<Process>,
}

impl<'a> Etcd<'a> {
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
        let (client, peer) = self.addresses[place];
        let list: Vec<String> =
            (1..).zip(&self.addresses).map(|(id, (_, peer))| format!("etcd-{id}=http://{peer}")).collect();
        let name = format!("etcd-{}", place + 1);
        let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
        let mut command = Command::new("etcd");
        command.args([
            "--name",
            &name,
            "--initial-cluster",
            &list.join(","),
            "--initial-cluster-state",
            "new",
        ]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer, "--data-dir"]);
        command.arg(self.lab.path(&name));
        self.lab.start(&name, &mut command)
    }

    /// The URLs of all.
    pub(super) fn targets(&self) -> Vec<String> {
        self.addresses.iter().map(|(client, _)| format!("http://{client}")).collect()
    }

    pub(super) fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(Process::pid).collect()
    }

    /// A lease of this number.
    ///
    /// # Errors
    /// It is not granted.
    pub(super) fn grant(&self, id: u64) -> Result<(), String> {
        let body = json!({ "ID": id.to_string(), "TTL": "3600" });
        let answer = self.servers()[0].post("/v3/lease/grant", &body, GRANT_LIMIT);
        match answer {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(format!("etcd grants no lease: {}", answer.body)),
            Err(error) => Err(format!("etcd grants no lease: {error}")),
        }
    }
}

impl Cluster for Etcd<'_> {
    fn servers(&self) -> Vec<Server> {
        self.addresses.iter().map(|(client, _)| Server { address: *client, token: None }).collect()
    }

    fn leader(&self) -> Option<usize> {
        self.servers().iter().position(|server| {
            let answer = server.post("/v3/maintenance/status", &json!({}), POLL_LIMIT);
            let answer = answer.map(|answer| answer.json()).unwrap_or_default();
            answer["leader"].is_string() && answer["leader"] == answer["header"]["member_id"]
        })
    }

    fn is_ready(&self, place: usize) -> bool {
        let answer = self.servers()[place].get("/health", POLL_LIMIT);
        answer.is_ok_and(|answer| answer.json()["health"] == "true")
    }

    fn write(server: &Server, n: u64) -> bool {
        // Digits are Base64, too, four by four.
        let body = json!({ "key": format!("{n:012}"), "value": "YQ==" });
        server.post("/v3/kv/put", &body, WRITE_LIMIT).is_ok_and(|answer| answer.status == 200)
    }

    fn kill(&mut self, place: usize) {
        self.processes[place].kill();
    }

    fn restart(&mut self, place: usize) -> Result<(), String> {
        self.processes[place] = self.spawn(place)?;
        Ok(())
    }
}
