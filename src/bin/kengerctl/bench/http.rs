//! The load of the other benchmarks on any HTTP server, so that what it is compared with is measured
//! by the same means.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use kenger_sdk::Endpoint;

use super::connection::plain;
use super::members::Members;
use super::report::Report;
use super::run::{self, Lane, Limits};
use crate::failure::Failure;

/// What stands for a number in a body.
const PLACE: &str = "{n}";
/// Numbers have twelve digits: each is also the Base64 of nine bytes, which is what etcd's keys are.
const FIRST_NUMBER: u64 = 100_000_000_000;
/// Numbers that each connection has to itself, if there is no limit to them.
const NUMBERS_PER_LANE: u64 = 100_000_000;

#[derive(Debug, Args)]
pub(super) struct HttpArgs {
    /// Servers, over which the connections are spread
    #[arg(long, required = true, value_delimiter = ',', value_name = "URL,…")]
    targets: Vec<Endpoint>,
    /// What is asked for
    #[arg(long, default_value = "/")]
    path: String,
    /// Post this as JSON; {n} in it is another number of twelve digits each time
    #[arg(long, value_name = "TEXT")]
    body: Option<String>,
    /// Begin anew after so many numbers
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    numbers: Option<u64>,
    /// Connections, each with one request at a time
    #[arg(long, default_value_t = 64, value_parser = super::connections)]
    clients: usize,
    /// How long
    #[arg(long, default_value = "10s", value_parser = super::duration)]
    duration: Duration,
}

pub(super) async fn run(
    load: HttpArgs,
    members: &Members<'_>,
    show_progress: bool,
) -> Result<Report, Failure> {
    let mut lanes = Vec::with_capacity(load.clients);
    for (lane, endpoint) in (0_u64..).zip(load.targets.iter().cycle()).take(load.clients) {
        let (target, path, body) = (endpoint.clone(), load.path.clone(), load.body.clone());
        // A path that is none is told at once; later, the same one cannot fail.
        plain(&target, &path, None)?;
        let numbers = numbers(lane, load.clients as u64, load.numbers);
        let requests = numbers.map_while(move |n| {
            let body = body.as_ref().map(|body| body.replace(PLACE, &n.to_string()));
            plain(&target, &path, body).ok()
        });
        lanes.push(Lane { endpoint: endpoint.clone(), requests: Box::new(requests), pace: None });
    }
    let limits = Limits {
        duration: Some(load.duration),
        operations: None,
        per_request: 1,
        show_progress,
        what: "requests",
    };
    let before = members.read().await;
    let tally = run::run(lanes, &limits).await?;
    let spent = members.read().await.since(&before);
    let mut report = Report::of_run("http", &tally, 1, &spent);
    report.setting = BTreeMap::from([("clients", load.clients as u64)]);
    Ok(report)
}

/// The numbers of one connection: its own, or, if there are not enough, those that all share.
fn numbers(lane: u64, lanes: u64, limit: Option<u64>) -> impl DoubleEndedIterator<Item = u64> {
    let own = lane * NUMBERS_PER_LANE;
    (0..NUMBERS_PER_LANE)
        .map(move |n| FIRST_NUMBER + limit.map_or(own + n, |limit| (n * lanes + lane) % limit))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_number_comes_twice_before_its_time() {
        let unlimited = (0..64).flat_map(|lane| numbers(lane, 64, None).take(100));
        assert_eq!(unlimited.collect::<BTreeSet<_>>().len(), 6_400);
        let all: Vec<u64> = (0..64).flat_map(|lane| numbers(lane, 64, Some(1_000)).take(1_000)).collect();
        assert!(all.iter().all(|n| (FIRST_NUMBER..FIRST_NUMBER + 1_000).contains(n)));
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 1_000);
    }

    #[test]
    fn every_number_has_twelve_digits() {
        let last = numbers(super::super::CONNECTIONS_MAX as u64 - 1, 1, None).next_back().unwrap();
        assert_eq!((FIRST_NUMBER.to_string().len(), last.to_string().len()), (12, 12));
    }
}
