//! Where requests are sent: one value per address, prepared once and shared by all tables.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderValue;
use kenger_types::{Host, Port};

use crate::metrics::{Counter, Padded};

/// Names an endpoint for the life of the process. A later endpoint has a greater id; an address that
/// left all tables and comes back may get a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EndpointId(pub(crate) u64);

/// What one worker counted of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct EndpointTally {
    /// Requests that were sent to it or tried to.
    pub(crate) requests: Counter,
    /// Those that got no answer from it.
    pub(crate) failures: Counter,
}

/// An address of a node.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) id: EndpointId,
    pub(crate) host: Host,
    pub(crate) port: Port,
    /// The address, if the host is one; a name is resolved whenever a connection is made.
    pub(crate) address: Option<SocketAddr>,
    /// `host:port`, the `Host` header for clients that send none.
    pub(crate) authority: HeaderValue,
    /// One tally for each worker, so that none waits for another.
    pub(crate) tallies: Box<[Padded<EndpointTally>]>,
}

impl Endpoint {
    /// Requests and failures of all workers.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let sum =
            |count: fn(&EndpointTally) -> &Counter| self.tallies.iter().map(|tally| count(tally).get()).sum();
        (sum(|tally| &tally.requests), sum(|tally| &tally.failures))
    }
}

/// All endpoints that a table uses.
#[derive(Debug)]
pub(crate) struct Endpoints {
    by_address: HashMap<(Host, Port), Arc<Endpoint>>,
    next_id: u64,
    workers: usize,
}

impl Endpoints {
    /// None yet, for this many workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self { by_address: HashMap::new(), next_id: 0, workers }
    }

    /// The endpoint at this address; the same one for as long as anybody uses it. `None` if the
    /// address cannot stand in a header, which no valid host can cause.
    pub(crate) fn at(&mut self, host: &Host, port: Port) -> Option<Arc<Endpoint>> {
        if let Some(endpoint) = self.by_address.get(&(host.clone(), port)) {
            return Some(Arc::clone(endpoint));
        }
        let endpoint = Arc::new(Endpoint {
            id: EndpointId(self.next_id),
            host: host.clone(),
            port,
            address: host.as_str().parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port.get())),
            authority: HeaderValue::from_str(&host.authority(port)).ok()?,
            tallies: (0..self.workers).map(|_| Padded::default()).collect(),
        });
        self.next_id += 1;
        self.by_address.insert((host.clone(), port), Arc::clone(&endpoint));
        Some(endpoint)
    }

    /// Forgets those that no table uses any more.
    pub(crate) fn forget_unused(&mut self) {
        self.by_address.retain(|_, endpoint| Arc::strong_count(endpoint) > 1);
    }

    /// All of them, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.by_address.values()
    }

    /// The greatest id given out so far.
    pub(crate) fn newest(&self) -> EndpointId {
        EndpointId(self.next_id.saturating_sub(1))
    }
}
