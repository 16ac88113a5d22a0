//! A record in one line, for people.

use super::text::{clean, count, list, moment};
use crate::history::{Action, Answer, FeedItem, Happened, Observed, Operation, Outcome, Phase, Record};

/// Longest piece of a run's own text within such a line, in characters.
const TEXT_MAX: usize = 140;

/// What was asked for: `register v17 w100 if r3`.
pub(super) fn action(action: &Action) -> String {
    let condition = |if_revision: &Option<u64>| match if_revision {
        None => String::new(),
        Some(0) => " if absent".to_owned(),
        Some(revision) => format!(" if r{revision}"),
    };
    match action {
        Action::Register { weight, value, if_revision } => {
            format!("register v{value} w{weight}{}", condition(if_revision))
        }
        Action::SetWeight { weight: Some(weight), if_revision } => {
            format!("weight {weight}{}", condition(if_revision))
        }
        Action::SetWeight { weight: None, if_revision } => {
            format!("weight declared{}", condition(if_revision))
        }
        Action::Deregister { if_revision } => format!("deregister{}", condition(if_revision)),
        Action::Read => "read".to_owned(),
        Action::Heartbeat => "heartbeat".to_owned(),
    }
}

/// What became of it, short enough for a label: `→ r45`.
pub(super) fn result(operation: &Operation) -> String {
    match &operation.outcome {
        Outcome::Done(answer) if operation.action.is_write() => match answer {
            Answer::Node(node) => format!("→ r{}", node.mod_revision),
            other => answer_text(other),
        },
        Outcome::Done(answer) | Outcome::Rejected(answer) => answer_text(answer),
        Outcome::NotDone { .. } => "→ not done".to_owned(),
        Outcome::Unknown { .. } => "→ unknown".to_owned(),
        Outcome::Foreign { .. } => "→ foreign".to_owned(),
    }
}

fn answer_text(answer: &Answer) -> String {
    match answer {
        Answer::Nothing => "→ ok".to_owned(),
        Answer::Node(node) => {
            let value = node.value.map_or("v?".to_owned(), |value| format!("v{value}"));
            format!("→ {value} w{} r{}", node.weight, node.mod_revision)
        }
        Answer::Absent => "→ absent".to_owned(),
        Answer::Mismatch { current: Some(current) } => format!("→ has r{current}"),
        Answer::Mismatch { current: None } => "→ mismatch".to_owned(),
    }
}

/// Everything that the outcome tells.
pub(super) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done(Answer::Node(node)) | Outcome::Rejected(Answer::Node(node)) => observed(node),
        Outcome::Done(Answer::Nothing) => "ok".to_owned(),
        Outcome::Done(Answer::Absent) | Outcome::Rejected(Answer::Absent) => {
            "there is no such node".to_owned()
        }
        Outcome::Done(Answer::Mismatch { current }) | Outcome::Rejected(Answer::Mismatch { current }) => {
            match current {
                Some(current) => format!("409: the node has revision {current}"),
                None => "409: another revision".to_owned(),
            }
        }
        Outcome::Rejected(Answer::Nothing) => "rejected".to_owned(),
        Outcome::NotDone { reason } | Outcome::Unknown { reason } => clean(reason, TEXT_MAX),
        Outcome::Foreign { what } => clean(what, TEXT_MAX),
    }
}

fn observed(node: &Observed) -> String {
    let value = node.value.map_or("no value".to_owned(), |value| format!("value {value}"));
    let declared = match node.registered_weight {
        declared if declared == node.weight => String::new(),
        declared => format!(" (declared {declared})"),
    };
    let revision =
        node.revision.map_or(String::new(), |revision| format!(", applied to revision {revision}"));
    format!(
        "{value}, weight {}{declared}, {}, mod_revision {}, id {}{revision}",
        node.weight, node.status, node.mod_revision, node.id
    )
}

/// Who a record is about, as the lane of a timeline names it.
pub(super) fn lane(record: &Record) -> String {
    match record {
        Record::Operation(operation) => format!("process {}", operation.process),
        Record::Feed(feed) => format!("watcher {}", feed.watcher),
        Record::Fault(_) => "faults".to_owned(),
        Record::State(state) => format!("state of member {}", state.member),
        Record::Lead(lead) => format!("view of member {}", lead.member),
        Record::Life(life) => clean(&life.process, 20),
        Record::Proxied(proxied) => format!("gateway {}", proxied.gateway),
    }
}

/// A record's label in a timeline.
pub(super) fn label(record: &Record) -> String {
    match record {
        Record::Operation(operation) => format!("{} {}", action(&operation.action), result(operation)),
        Record::Feed(feed) => {
            let id = |id: &Option<u64>| id.map_or("?".to_owned(), |id| id.to_string());
            match &feed.item {
                FeedItem::Opened { after: Some(after), .. } => format!("opened after r{after}"),
                FeedItem::Opened { after: None, .. } => "opened".to_owned(),
                FeedItem::Snapshot { id: at, .. } => format!("snapshot r{}", id(at)),
                FeedItem::Change { id: at, .. } => format!("change r{}", id(at)),
                FeedItem::Bookmark { id: at, .. } => format!("bookmark r{}", id(at)),
                FeedItem::Leader { .. } => "leader".to_owned(),
                FeedItem::Ended { .. } => "ended".to_owned(),
            }
        }
        Record::Fault(fault) => format!("{} {}", clean(&fault.name, 20), phase(fault.phase)),
        Record::State(state) => format!("r{}, {} nodes", state.revision, state.nodes.len()),
        Record::Lead(lead) => match lead.leader {
            Some(leader) => format!("leader {leader}, term {}", lead.term),
            None => format!("no leader, term {}", lead.term),
        },
        Record::Life(life) => happened(&life.happened).0.to_owned(),
        Record::Proxied(proxied) => proxied.status.map_or("no status".to_owned(), |s| s.to_string()),
    }
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Begin => "begins",
        Phase::End => "ends",
    }
}

fn happened(happened: &Happened) -> (&'static str, String) {
    match happened {
        Happened::Started => ("started", String::new()),
        Happened::Ready => ("ready", String::new()),
        Happened::Killed => ("killed", String::new()),
        Happened::Ended { how, is_expected: true } => ("ended, as expected", clean(how, TEXT_MAX)),
        Happened::Ended { how, is_expected: false } => ("ended by itself", clean(how, TEXT_MAX)),
    }
}

/// A record's line in a list of evidence, without its time.
pub(super) fn line(record: &Record) -> String {
    match record {
        Record::Operation(operation) => {
            let Operation { process, member, key, called, returned, .. } = operation;
            format!(
                "process {process} asks member {member}: {} of {}; answered at {}, after {}: {}: {}",
                action(&operation.action),
                clean(&key.to_string(), TEXT_MAX),
                moment(*returned),
                super::text::length(returned.saturating_sub(*called)),
                super::facts::Class::of(&operation.outcome).name(),
                outcome(&operation.outcome),
            )
        }
        Record::Feed(feed) => {
            let body = match &feed.item {
                FeedItem::Snapshot { body, .. }
                | FeedItem::Change { body, .. }
                | FeedItem::Bookmark { body, .. }
                | FeedItem::Leader { body } => clean(body, TEXT_MAX),
                FeedItem::Ended { reason } => clean(reason, TEXT_MAX),
                FeedItem::Opened { namespaces, .. } if namespaces.is_empty() => "everything".to_owned(),
                FeedItem::Opened { namespaces, .. } => {
                    format!("namespaces {}", clean(&namespaces.join(", "), TEXT_MAX))
                }
            };
            format!("watcher {} at member {}: {}: {body}", feed.watcher, feed.member, label(record))
        }
        Record::Fault(fault) => format!(
            "fault {} {}, members {}: {}",
            clean(&fault.name, TEXT_MAX),
            phase(fault.phase),
            clean(&list(&fault.members), TEXT_MAX),
            clean(&fault.detail, TEXT_MAX)
        ),
        Record::State(state) => format!(
            "{}member {} at revision {}: {} nodes in {} namespaces",
            if state.is_final { "at the end, " } else { "" },
            state.member,
            state.revision,
            count(state.nodes.len() as u64),
            count(state.namespaces.len() as u64)
        ),
        Record::Lead(lead) => format!("member {} says: {}", lead.member, label(record)),
        Record::Life(life) => {
            let (what, how) = happened(&life.happened);
            format!("{}: {what} {how}", clean(&life.process, TEXT_MAX))
        }
        Record::Proxied(proxied) => format!(
            "gateway {}: {}; node {}; {}",
            proxied.gateway,
            label(record),
            clean(proxied.node.as_deref().unwrap_or("none"), TEXT_MAX),
            clean(proxied.error.as_deref().unwrap_or("no error"), TEXT_MAX)
        ),
    }
}
