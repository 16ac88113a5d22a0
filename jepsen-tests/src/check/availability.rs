//! Traffic through gateways: no request fails while a node can serve it, and none goes to a node that
//! was taken out of service a while ago.

use std::collections::{BTreeMap, BTreeSet};

use super::changes::{Clock, Told, changes};
use super::report::{Report, ms};
use super::{Checker, Evidence, Finding, Problem};
use crate::history::{Happened, Key, Micros, Proxied};

/// The promise is 50 ms for 99 of 100 changes on one machine; one that has too much to do is given
/// longer, and the percentile is told as a figure.
const STALE_MAX: Micros = 1_000_000;
/// A node counts as able to serve when it has been in service for so long: the gateway has been told,
/// and has found it healthy.
const SETTLED_AFTER: Micros = 1_000_000;

/// The promise is of a gateway that is connected: after a fault it may take this long until it follows
/// the feed of a leader again (the longest wait between two of its tries, and the tries).
const RECONNECTED_AFTER: Micros = 2_000_000;

/// See the module.
pub(super) struct Availability;

impl Checker for Availability {
    fn name(&self) -> &'static str {
        "availability"
    }

    fn rules(&self) -> &'static [&'static str] {
        &["failed", "stale_route", "stranger"]
    }

    fn judge(&self, evidence: &Evidence<'_>) -> Finding {
        let mut report = Report::new(self);
        if evidence.proxied.is_empty() {
            return report.finish();
        }
        report.applies();
        let services = services(evidence);
        let mut lags: BTreeMap<(&str, Micros), Micros> = BTreeMap::new();
        let mut failed = 0;
        for (place, request) in &evidence.proxied {
            match &request.node {
                Some(node) if !services.contains_key(node) => {
                    let what = format!("{node} answered, which nobody has registered");
                    report.broken(Problem::new("stranger", what).at(request.returned).shown_by([*place]));
                }
                Some(node) => routed(evidence, &services, node, (*place, request), &mut lags, &mut report),
                None => {}
            }
            let is_failure = request.status.is_none_or(|status| status >= 500);
            failed += u64::from(is_failure);
            if is_failure && is_gateway_up(evidence, request) {
                let who = services.iter().find(|(_, service)| service.can_serve(evidence, request));
                if let Some((node, _)) = who {
                    let what = format!(
                        "a request failed with {:?} ({}), and {node} could have served it",
                        request.status,
                        request.error.as_deref().unwrap_or("no error")
                    );
                    report.broken(Problem::new("failed", what).at(request.returned).shown_by([*place]));
                }
            }
        }
        report.figure("requests", evidence.proxied.len() as u64);
        report.figure("failed", failed);
        report.times("served after it was taken out", &mut lags.into_values().collect::<Vec<_>>());
        report.finish()
    }
}

/// A node in the eyes of a gateway.
#[derive(Default)]
struct Service {
    /// Each change of whether it takes traffic: not before, not after, and whether it does from then on.
    turns: Vec<(Micros, Micros, bool)>,
    /// Its namespaces.
    namespaces: BTreeSet<String>,
    /// It has answered a request in this run: something listens there.
    has_answered: bool,
    process: String,
}

impl Service {
    /// Whether it was in service, and up, all the time around the request.
    fn can_serve(&self, evidence: &Evidence<'_>, request: &Proxied) -> bool {
        self.has_answered
            && self.serves(request.called.saturating_sub(SETTLED_AFTER), request.returned)
            && is_up(evidence, &self.process, request.called.saturating_sub(SETTLED_AFTER), request.returned)
    }

    fn serves(&self, from: Micros, until: Micros) -> bool {
        let last = self.turns.iter().rev().find(|(_, not_after, _)| *not_after <= from);
        let is_steady = |turn: &(Micros, Micros, bool)| turn.2 || turn.1 <= from || turn.0 > until;
        last.is_some_and(|turn| turn.2) && self.turns.iter().all(is_steady)
    }

    /// Since when it has certainly been out of service at this time.
    fn out_since(&self, at: Micros) -> Option<Micros> {
        let begun = self.turns.iter().take_while(|(not_before, ..)| *not_before <= at);
        let begun: Vec<_> = begun.collect();
        let mut since = None;
        for (_, not_after, takes_traffic) in begun {
            since = if *takes_traffic { None } else { since.or(Some(*not_after)) };
        }
        since.filter(|since| *since < at)
    }
}

fn services(evidence: &Evidence<'_>) -> BTreeMap<String, Service> {
    let clock = Clock::of(evidence);
    let changes = changes(evidence);
    let mut services: BTreeMap<String, Service> = BTreeMap::new();
    let keys: BTreeSet<&Key> =
        changes.keys().chain(evidence.operations.iter().map(|(_, operation)| &operation.key)).collect();
    for key in keys {
        let service = services.entry(format!("{}:{}", key.host, key.port)).or_default();
        service.process = format!("node {}:{}", key.host, key.port);
        service.namespaces.insert(key.ns.clone());
        for told in changes.get(key).into_iter().flatten() {
            let turn = (clock.not_before(told.revision), clock.not_after(told.revision), takes_traffic(told));
            service.turns.push(turn);
        }
    }
    for (_, request) in &evidence.proxied {
        if let Some(service) = request.node.as_ref().and_then(|node| services.get_mut(node)) {
            service.has_answered = true;
        }
    }
    for service in services.values_mut() {
        service.turns.sort_unstable();
    }
    services
}

fn takes_traffic(told: &Told) -> bool {
    told.node.as_ref().is_some_and(|node| node.is_online && node.weight > 0)
}

/// A node that was taken out of service, while others were in it, has not answered long after.
fn routed<'a>(
    evidence: &Evidence<'_>,
    services: &'a BTreeMap<String, Service>,
    node: &'a str,
    (place, request): (usize, &Proxied),
    lags: &mut BTreeMap<(&'a str, Micros), Micros>,
    report: &mut Report,
) {
    let service = &services[node];
    let Some(since) = service.out_since(request.called) else { return };
    let other_serves = services.values().any(|other| {
        !std::ptr::eq(other, service)
            && !other.namespaces.is_disjoint(&service.namespaces)
            && other.has_answered
            && other.serves(since.saturating_sub(SETTLED_AFTER), request.returned)
    });
    let is_lead_steady = !evidence.leads.iter().any(|(_, lead)| (since..=request.called).contains(&lead.at));
    let is_disturbed = evidence.is_disturbed(since.saturating_sub(RECONNECTED_AFTER), request.called);
    if !other_serves || !is_lead_steady || is_disturbed {
        return;
    }
    let lag = request.called - since;
    let longest = lags.entry((node, since)).or_default();
    *longest = lag.max(*longest);
    if lag > STALE_MAX {
        let what = format!("{node} served a request {} after it was taken out of service", ms(lag));
        report.broken(Problem::new("stale_route", what).at(request.called).shown_by([place]));
    }
}

fn is_gateway_up(evidence: &Evidence<'_>, request: &Proxied) -> bool {
    is_up(evidence, &format!("gateway {}", request.gateway), request.called, request.returned)
}

/// Whether nothing says that the process was down at some time between these.
fn is_up(evidence: &Evidence<'_>, process: &str, from: Micros, until: Micros) -> bool {
    let mut is_up = true;
    for (_, life) in evidence.lives.iter().filter(|(_, life)| life.process == process && life.at <= until) {
        match life.happened {
            // Until it is ready it answers nothing.
            Happened::Started => is_up = false,
            Happened::Ready if life.at > from => return false,
            Happened::Ready => is_up = true,
            Happened::Killed | Happened::Ended { .. } => is_up = false,
        }
    }
    is_up
}
