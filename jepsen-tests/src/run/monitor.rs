//! What each member says about itself while clients and nemeses are at work: who leads, whether it is
//! ready, what its state is.

use std::time::Duration;

use kenger_types::api::path;
use kenger_types::{Namespace, Node};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::arena::process;
use super::recorder::Recorder;
use crate::harness::{Api, Outcome};
use crate::history::{Happened, Lead, Record, StateRecord};

/// Between two looks at a member.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A member that does not answer within this time is looked at again later.
const ANSWER_LIMIT: Duration = Duration::from_millis(1_500);
/// One of so many looks reads the whole state.
const STATE_ONCE_IN: u32 = 12;
/// Namespaces and nodes are two requests; they are tried so often until both are of one revision.
const STATE_TRIES: u32 = 8;

/// Looks at one member until it is told to stop.
pub async fn look_after(api: Api, recorder: Recorder, stop: CancellationToken) {
    let api = api.with_limit(ANSWER_LIMIT);
    let mut last = None;
    for turn in (0..STATE_ONCE_IN).cycle() {
        tokio::select! {
            () = look(&api, &recorder, &mut last, turn == 0) => {}
            () = stop.cancelled() => return,
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn look(api: &Api, recorder: &Recorder, last: &mut Option<(u64, Option<u64>)>, with_state: bool) {
    if recorder.awaits_ready(api.member) && api.is_ready().await {
        recorder.note_life(&process(api.member), Happened::Ready);
    }
    let Some(status) = api.status().await else { return };
    let (term, leader) = (status.term, status.leader_id.map(|id| id.0));
    if *last != Some((term, leader)) {
        *last = Some((term, leader));
        recorder.note(Record::Lead(Lead { at: recorder.now(), member: api.member, term, leader }));
    }
    if with_state && let Some(state) = state(api, recorder).await {
        recorder.note(Record::State(state));
    }
}

/// All that a member has applied; `None` if it does not say, or moves on faster than it can be read.
pub async fn state(api: &Api, recorder: &Recorder) -> Option<StateRecord> {
    for _ in 0..STATE_TRIES {
        let asked = recorder.now();
        let namespaces =
            api.get_seen::<Vec<Namespace>>(&format!("{}?consistency=stale", path::NAMESPACE_LIST)).await;
        let nodes = api.get_seen::<Vec<Node>>(&format!("{}?consistency=stale", path::NODE_LIST)).await;
        let at = recorder.now();
        let (Outcome::Acknowledged(of_namespaces), Outcome::Acknowledged(of_nodes)) =
            (namespaces.outcome, nodes.outcome)
        else {
            return None;
        };
        let (Some(before), Some(revision)) = (namespaces.revision, nodes.revision) else { return None };
        if before == revision {
            let namespaces = of_namespaces.into_iter().map(uncounted).collect();
            let nodes = of_nodes.into_iter().map(unheard).collect();
            return Some(StateRecord {
                asked,
                at,
                member: api.member,
                revision,
                namespaces,
                nodes,
                is_final: false,
            });
        }
    }
    None
}

fn uncounted(namespace: Namespace) -> Namespace {
    Namespace { node_count: None, online_count: None, ..namespace }
}

/// When a node was last heard from is the leader's knowledge alone.
fn unheard(node: Node) -> Node {
    Node { last_heartbeat: None, ..node }
}
