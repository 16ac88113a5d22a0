//! Remembers every write that was acknowledged, and looks for all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::compose::{Member, Project, TOKEN};

const NAMESPACE: &str = "ledger";
/// The nodes are names; nobody connects to them.
const HOST: &str = "192.0.2.1";
/// Longer than the test: these nodes send no heartbeats.
const TTL_SECONDS: u32 = 3_600;
/// How often a write is tried; the cluster elects a new leader meanwhile.
const ATTEMPTS_MAX: usize = 60;
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

pub(crate) struct Ledger<'a> {
    project: &'a Project,
    /// Acknowledged nodes: port and weight.
    acknowledged: BTreeMap<u16, u16>,
}

impl<'a> Ledger<'a> {
    pub(crate) fn new(project: &'a Project) -> Self {
        Self { project, acknowledged: BTreeMap::new() }
    }

    /// Registers so many new nodes, by turns through each of these members.
    pub(crate) async fn write(&mut self, count: u16, members: &[Member]) {
        let first = 1 + u16::try_from(self.acknowledged.len()).unwrap();
        for port in first..first + count {
            let member = members[usize::from(port) % members.len()];
            let weight = 1 + port % 100;
            self.register(member, port, weight).await;
            self.acknowledged.insert(port, weight);
        }
    }

    /// Tries until it is acknowledged: registering is idempotent, so an unknown outcome may be repeated.
    async fn register(&self, member: Member, port: u16, weight: u16) {
        let url = format!("{}/api/upstream/node/register", self.project.member_url(member));
        let node = json!({"ns": NAMESPACE, "host": HOST, "port": port, "weight": weight, "ttl_seconds": TTL_SECONDS});
        let mut last = String::new();
        for _ in 0..ATTEMPTS_MAX {
            match self.project.client().post(&url).bearer_auth(TOKEN).json(&node).send().await {
                Ok(answer) if answer.status() == 200 => return,
                Ok(answer) => last = answer.text().await.unwrap_or_default(),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
        panic!("{} did not register port {port}: {last}", member.service());
    }

    /// Every acknowledged node is on each of these members, as it was acknowledged.
    pub(crate) async fn check_on(&self, members: &[Member]) {
        for &member in members {
            let found = self.read(member).await;
            assert_eq!(found, self.acknowledged, "{}", member.service());
        }
    }

    async fn read(&self, member: Member) -> BTreeMap<u16, u16> {
        let url = format!("{}/api/upstream/node/list?ns={NAMESPACE}", self.project.member_url(member));
        let mut last = String::new();
        for _ in 0..ATTEMPTS_MAX {
            match self.project.client().get(&url).bearer_auth(TOKEN).send().await {
                Ok(answer) if answer.status() == 200 => return nodes(&answer.json().await.unwrap()),
                Ok(answer) => last = answer.text().await.unwrap_or_default(),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
        panic!("{} does not list the nodes: {last}", member.service());
    }
}

fn nodes(body: &Value) -> BTreeMap<u16, u16> {
    let number = |node: &Value, key: &str| u16::try_from(node[key].as_u64().unwrap()).unwrap();
    let nodes = body["data"].as_array().unwrap();
    nodes.iter().map(|node| (number(node, "port"), number(node, "weight"))).collect()
}
