//! A project of its own for each run: named apart from everybody else's, on free ports, and taken down
//! with everything it made, however the test ends.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

pub(crate) const TOKEN: &str = "token-of-the-docker-test";
const PEER_SECRET: &str = "peer-secret-of-the-docker-test";
/// The longest that everything may take to be well again after a fault.
const WELL_TIMEOUT: Duration = Duration::from_secs(90);
const POLL_INTERVAL: Duration = Duration::from_millis(200);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of each container's log a failed test shows.
const LOG_LINES: &str = "40";

pub(crate) const MEMBERS: [Member; 3] = [Member(1), Member(2), Member(3)];

/// A member, by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member(pub(crate) u16);

impl Member {
    /// Its name in the compose file.
    pub(crate) fn service(self) -> String {
        format!("member-{}", self.0)
    }

    pub(crate) fn others(self) -> Vec<Member> {
        MEMBERS.into_iter().filter(|&member| member != self).collect()
    }
}

/// The running containers.
pub(crate) struct Project {
    name: String,
    image: String,
    /// Of the members, the gateway and its admin API, on loopback.
    ports: [u16; 5],
    client: reqwest::Client,
}

impl Project {
    /// Starts everything that the compose file names.
    pub(crate) fn up(image: &str) -> Self {
        let client = reqwest::Client::builder().no_proxy().timeout(REQUEST_TIMEOUT).build().unwrap();
        let name = format!("kenger-test-{}", std::process::id());
        let project = Self { name, image: image.to_owned(), ports: free_ports(), client };
        project.compose(&["up", "--detach", "--no-build"]);
        project
    }

    /// Runs a command of the Compose tool, which must succeed.
    pub(crate) fn compose(&self, arguments: &[&str]) {
        let output = self.run_compose(arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "compose {}: {text}", arguments.join(" "));
    }

    fn run_compose(&self, arguments: &[&str]) -> Output {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let plugin = Command::new("docker").args(["compose", "version"]).output();
        let mut command = if plugin.is_ok_and(|output| output.status.success()) {
            let mut command = Command::new("docker");
            command.arg("compose");
            command
        } else {
            Command::new("docker-compose")
        };
        let names = ["MEMBER_1", "MEMBER_2", "MEMBER_3", "GATEWAY", "ADMIN"];
        for (name, port) in names.iter().zip(self.ports) {
            command.env(format!("KENGER_{name}_PORT"), port.to_string());
        }
        command.env("KENGER_IMAGE", &self.image).env("KENGER_TOKEN", TOKEN);
        command.env("KENGER_PEER_SECRET", PEER_SECRET);
        command.args(["--project-name", &self.name]).args(arguments).current_dir(root);
        command.output().expect("a Compose tool is installed")
    }

    /// Pulls a member's plug out of the network.
    pub(crate) fn disconnect(&self, member: Member) {
        docker(&["network", "disconnect", &self.network(), &self.container(&member.service())]);
    }

    /// Puts it back, under the name that the others know it by.
    pub(crate) fn connect(&self, member: Member) {
        let (network, service) = (self.network(), member.service());
        docker(&["network", "connect", "--alias", &service, &network, &self.container(&service)]);
    }

    /// No process in any container runs as root.
    pub(crate) fn check_nobody_is_root(&self) {
        for service in ["member-1", "member-2", "member-3", "demo-v1", "demo-v2", "gateway"] {
            let users = docker(&["top", &self.container(service), "-eo", "pid,uid,comm"]);
            assert!(
                users.lines().skip(1).all(|line| line.split_whitespace().nth(1) != Some("0")),
                "{service}: {users}"
            );
            assert!(users.lines().count() > 1, "{service} runs nothing: {users}");
        }
    }

    fn network(&self) -> String {
        format!("{}_default", self.name)
    }

    fn container(&self, service: &str) -> String {
        let output = self.run_compose(&["ps", "--quiet", service]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub(crate) fn gateway_url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.ports[3])
    }

    pub(crate) fn member_url(&self, member: Member) -> String {
        format!("http://127.0.0.1:{}", self.ports[usize::from(member.0) - 1])
    }

    pub(crate) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    pub(crate) async fn wait_until_all_is_well(&self) {
        self.wait_until_members_are_ready(&MEMBERS).await;
        self.wait_for(&self.gateway_url()).await;
    }

    pub(crate) async fn wait_until_members_are_ready(&self, members: &[Member]) {
        for &member in members {
            self.wait_for(&format!("{}/readyz", self.member_url(member))).await;
        }
    }

    async fn wait_for(&self, url: &str) {
        let wait = async {
            while !self.client.get(url).send().await.is_ok_and(|answer| answer.status() == 200) {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        let waited = tokio::time::timeout(WELL_TIMEOUT, wait).await;
        assert!(waited.is_ok(), "{url} did not answer 200 within {WELL_TIMEOUT:?}");
    }

    /// Who leads, asked of the members until one knows.
    pub(crate) async fn leader(&self) -> Member {
        for member in MEMBERS.into_iter().cycle().take(100) {
            let url = format!("{}/api/cluster/status", self.member_url(member));
            if let Ok(answer) = self.client.get(url).bearer_auth(TOKEN).send().await
                && let Ok(body) = answer.json::<Value>().await
                && let Some(leader) = body["data"]["leader_id"].as_u64()
            {
                return Member(u16::try_from(leader).unwrap());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        panic!("no member knows a leader");
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = self.run_compose(&["logs", "--no-color", "--tail", LOG_LINES]);
            eprintln!("{}", String::from_utf8_lossy(&logs.stdout));
        }
        self.run_compose(&["down", "--volumes", "--remove-orphans", "--timeout", "5"]);
    }
}

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().expect("docker is installed");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker {}: {text}", arguments.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Ports that nobody listens on now. All are held until all are known, so that each is another.
fn free_ports() -> [u16; 5] {
    let holders = [(); 5].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    holders.map(|holder| holder.local_addr().unwrap().port())
}
