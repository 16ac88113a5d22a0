//! The SDK's requests as operations of a history: what it asks about its nodes is noted with what came of
//! it, so that the checkers judge it like everything else that was asked.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use jepsen_tests::harness::Failed;
use jepsen_tests::history::{Action, Key, Operation, Outcome, Record};
use jepsen_tests::run::{Clients, Recorder, outcome_of, valued};
use kenger_sdk::{Arriving, BoxFuture, Chunks, Transport, TransportError};
use kenger_types::api::{NodeAddress, NodeDeregister, NodeRegister, header, path};

use crate::net;

/// Sends the requests of one SDK client that keeps one node, and notes them.
pub(crate) struct Noting {
    clients: Clients,
    /// Who asks, in the history: one request at a time.
    process: u32,
}

impl Noting {
    pub(crate) fn new(clients: &Clients) -> Arc<Self> {
        Arc::new(Self { clients: clients.clone(), process: clients.next_process() })
    }

    /// What is asked for, and the body to send. A registration is sent with a value of its own, because
    /// registrations of a history are told apart by what they say.
    fn asked(&self, request: &Request<Bytes>) -> Option<(Key, Action, Bytes)> {
        if request.method() != Method::POST {
            return None;
        }
        let body = request.body();
        match request.uri().path() {
            path::NODE_REGISTER => {
                let node: NodeRegister = serde_json::from_slice(body).ok()?;
                let value = self.clients.next_value();
                let node = valued(node, value);
                let key = key(&NodeAddress { ns: node.ns.clone(), host: node.host.clone(), port: node.port });
                let if_revision = node.if_revision.map(|revision| revision.0);
                let action = Action::Register { weight: u32::from(node.weight.get()), value, if_revision };
                Some((key, action, serde_json::to_vec(&node).ok()?.into()))
            }
            path::NODE_DEREGISTER => {
                let NodeDeregister { ns, host, port, if_revision } = serde_json::from_slice(body).ok()?;
                let if_revision = if_revision.map(|revision| revision.0);
                Some((key(&NodeAddress { ns, host, port }), Action::Deregister { if_revision }, body.clone()))
            }
            path::HEARTBEAT => {
                Some((key(&serde_json::from_slice(body).ok()?), Action::Heartbeat, body.clone()))
            }
            _ => None,
        }
    }

    /// Which member listens at the address of a request.
    fn member(&self, request: &Request<Bytes>) -> Option<u64> {
        let authority = request.uri().authority()?.as_str();
        let api = self.clients.apis.iter().find(|api| api.url.strip_prefix("http://") == Some(authority))?;
        Some(api.member)
    }
}

fn key(NodeAddress { ns, host, port }: &NodeAddress) -> Key {
    Key { ns: ns.to_string(), host: host.to_string(), port: port.get() }
}

/// An operation that is noted when this is dropped, also if whoever asked has given up.
struct Note {
    recorder: Recorder,
    operation: Operation,
}

impl Drop for Note {
    fn drop(&mut self) {
        self.operation.returned = self.recorder.now();
        self.recorder.note(Record::Operation(self.operation.clone()));
    }
}

impl Transport for Noting {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Arriving, TransportError>> {
        Box::pin(async move {
            let asked = self.asked(&request).zip(self.member(&request));
            let Some(((key, action, body), member)) = asked else {
                return Err(TransportError::NotConnected(format!("not for this: {}", request.uri())));
            };
            let recorder = self.clients.recorder.clone();
            let operation = Operation {
                process: self.process,
                member,
                key,
                action,
                called: recorder.now(),
                returned: 0,
                outcome: Outcome::Unknown { reason: "given up".to_owned() },
            };
            let mut note = Note { recorder, operation };
            let mut answer = match net::send(request.map(|_| body)).await {
                Ok(answer) => answer,
                Err(Failed::Unreached) => {
                    let reason = "no connection".to_owned();
                    note.operation.outcome = Outcome::NotDone { reason: reason.clone() };
                    return Err(TransportError::NotConnected(reason));
                }
                Err(Failed::Lost(reason)) => return Err(TransportError::Lost(reason)),
            };
            let headers = std::mem::take(&mut answer.headers);
            let status = StatusCode::from_u16(answer.status).expect("hyper has read a status");
            let text = answer.text().await.map_err(TransportError::Lost)?;
            let revision = headers.get(header::REVISION).and_then(|value| value.to_str().ok()?.parse().ok());
            note.operation.outcome = outcome_of(&note.operation.action, status.as_u16(), revision, &text);
            Ok(Arriving { status, headers, body: Box::new(Whole(Some(text.into()))) })
        })
    }
}

/// A body that has come.
struct Whole(Option<Bytes>);

impl Chunks for Whole {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, TransportError>> {
        Box::pin(async { Ok(self.0.take()) })
    }
}
