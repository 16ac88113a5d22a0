//! What the tests ask of a running system: the gateway for answers, members for what they know.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::PATIENCE;

const TOKEN: &str = "defaultToken";
const NAMESPACE: &str = "demo";
/// As long as anybody would wait for a page; a request that takes longer counts as failed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_INTERVAL: Duration = Duration::from_millis(5);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Asks so many times and counts the answers; what went wrong counts as an answer of its own.
pub(crate) async fn ask(url: &str, times: u32) -> BTreeMap<String, u32> {
    let client = client();
    let mut answers = BTreeMap::new();
    for _ in 0..times {
        *answers.entry(ask_once(&client, url).await).or_default() += 1;
    }
    answers
}

async fn ask_once(client: &reqwest::Client, url: &str) -> String {
    match client.get(url).send().await {
        Ok(answer) => {
            let status = answer.status().as_u16();
            let text = answer.text().await.unwrap_or_else(|error| error.to_string());
            if status == 200 { text.trim().to_owned() } else { format!("{status}: {text}") }
        }
        Err(error) => format!("{error:?}"),
    }
}

/// A client that asks all the time.
pub(crate) struct Traffic {
    count: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    client: JoinHandle<BTreeMap<String, u32>>,
}

impl Traffic {
    pub(crate) fn start(url: String) -> Self {
        let (count, stop) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (Arc::clone(&count), Arc::clone(&stop));
        let client = tokio::spawn(async move {
            let client = client();
            let mut answers = BTreeMap::new();
            while !stopped.load(Ordering::Relaxed) {
                *answers.entry(ask_once(&client, &url).await).or_default() += 1;
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(REQUEST_INTERVAL).await;
            }
            answers
        });
        Self { count, stop, client }
    }

    /// Answers so far.
    pub(crate) fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until there have been so many answers.
    pub(crate) async fn wait_for(&self, count: u32) {
        let wait = async {
            while self.count() < count {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the client gets answers");
    }

    pub(crate) async fn stop(self) -> BTreeMap<String, u32> {
        self.stop.store(true, Ordering::Relaxed);
        self.client.await.unwrap()
    }
}

/// Waits until all of these members have a leader and have caught up.
pub(crate) async fn wait_until_ready(members: &[String]) {
    let client = client();
    for member in members {
        let wait = async {
            let url = format!("{member}/readyz");
            while !client.get(&url).send().await.is_ok_and(|answer| answer.status() == 200) {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "{member} is not ready");
    }
}

/// How many nodes of the demo the member says are online.
pub(crate) async fn online_nodes(member: &str) -> usize {
    nodes(member, NAMESPACE).await.iter().filter(|node| node["status"] == "online").count()
}

/// The ports of a namespace's nodes, as the member knows them.
pub(crate) async fn ports_of_nodes(member: &str, namespace: &str) -> Vec<u16> {
    let nodes = nodes(member, namespace).await;
    nodes.iter().map(|node| node["port"].as_u64().unwrap().try_into().unwrap()).collect()
}

async fn nodes(member: &str, namespace: &str) -> Vec<Value> {
    let url = format!("{member}/api/upstream/node/list?ns={namespace}");
    let answer = client().get(url).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await.unwrap();
    body["data"].as_array().unwrap().clone()
}

/// Registers a node that nobody connects to, with a time to live that outlasts the test.
pub(crate) async fn register_silent_node(member: &str, namespace: &str, port: u16) {
    let body = json!({"ns": namespace, "host": "192.0.2.1", "port": port, "ttl_seconds": 3_600});
    let url = format!("{member}/api/upstream/node/register");
    let answer = client().post(url).bearer_auth(TOKEN).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

/// Gives a node of this machine another weight.
pub(crate) async fn set_weight(member: &str, namespace: &str, port: u16, weight: u16) {
    let body = json!({"ns": namespace, "host": "127.0.0.1", "port": port, "weight": weight});
    let url = format!("{member}/api/upstream/node/weight");
    let answer = client().post(url).bearer_auth(TOKEN).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(REQUEST_TIMEOUT).build().unwrap()
}
