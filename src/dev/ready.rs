//! Waits until a stage of the start is done, by asking the parts what anybody can ask them.

use std::time::Duration;

use kenger_sdk::{Client, NodeQuery};
use kenger_types::{MemberId, NodeStatus};

use super::parts::Stage;
use super::ports::{MEMBERS, Ports, SERVICES};
use super::{NAMESPACE, TOKEN};

/// Between two questions.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// Waits until what the stage starts is ready. Whoever calls it gives it a time limit.
pub(super) async fn wait(stage: Stage, ports: Ports) {
    while !is_ready(stage, ports).await {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Who leads, if a member knows.
pub(super) async fn leader(ports: Ports) -> Option<MemberId> {
    client((1..=MEMBERS).map(|id| ports.api(id).to_string()))?.cluster_status().await.ok()?.data.leader_id
}

async fn is_ready(stage: Stage, ports: Ports) -> bool {
    match stage {
        Stage::Members => members_are_ready(ports).await,
        Stage::Services => services_are_registered(ports).await.unwrap_or(false),
        Stage::Gateway => super::healthcheck::is_healthy(&format!("http://{}/", ports.gateway())).await,
    }
}

async fn members_are_ready(ports: Ports) -> bool {
    for id in 1..=MEMBERS {
        let Some(client) = client([ports.api(id).to_string()]) else { return false };
        if client.readyz(client.preferred()).await.is_err() {
            return false;
        }
    }
    true
}

/// Whether the registry says that every service is online, and each says that it has registered since
/// it was started: a directory that is used again may hold the nodes of the last time.
async fn services_are_registered(ports: Ports) -> Option<bool> {
    for place in (0..).take(SERVICES.len()) {
        if !super::healthcheck::is_healthy(&format!("http://{}/ready", ports.service(place))).await {
            return Some(false);
        }
    }
    let query = NodeQuery { ns: Some(NAMESPACE.parse().ok()?), ..NodeQuery::default() };
    let nodes = client((1..=MEMBERS).map(|id| ports.api(id).to_string()))?.nodes(&query).await.ok()?.data;
    let online =
        |port: u16| nodes.iter().any(|node| node.port.get() == port && node.status == NodeStatus::Online);
    Some((0..).take(SERVICES.len()).all(|place| online(ports.service(place).port())))
}

fn client(endpoints: impl IntoIterator<Item = String>) -> Option<Client> {
    let builder = Client::builder().endpoints(endpoints).token(TOKEN).attempt_timeout(ATTEMPT_TIMEOUT);
    builder.timeout(ATTEMPT_TIMEOUT).build().ok()
}
