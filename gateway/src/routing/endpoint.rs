//! Where requests are sent: one value per address, prepared once and shared by all tables.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::HeaderValue;
use kenger_types::{Host, Port};

use crate::metrics::{Counter, Padded};

/// Names an endpoint for the life of the process. An address whose last node is gone and that comes
/// back gets a new one.
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
    /// How many of the tables in force route to it.
    tables: AtomicU32,
}

impl Endpoint {
    /// Whether a table routes to it: connections to others need not be kept.
    #[inline]
    pub(crate) fn is_live(&self) -> bool {
        self.tables.load(Ordering::Acquire) > 0
    }

    /// A table that routes to it is about to be in force.
    pub(super) fn enter_table(&self) {
        self.tables.fetch_add(1, Ordering::AcqRel);
    }

    /// A table that routes to it is in force no more; whether that was the last one.
    pub(super) fn leave_table(&self) -> bool {
        self.tables.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Requests and failures of all workers.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let sum =
            |count: fn(&EndpointTally) -> &Counter| self.tallies.iter().map(|tally| count(tally).get()).sum();
        (sum(|tally| &tally.requests), sum(|tally| &tally.failures))
    }
}

/// The endpoints of all nodes that the served namespaces have.
#[derive(Debug)]
pub(crate) struct Endpoints {
    /// With the number of nodes at each.
    by_address: HashMap<(Host, Port), (Arc<Endpoint>, usize)>,
    next_id: u64,
    workers: usize,
}

impl Endpoints {
    /// None yet, for this many workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self { by_address: HashMap::new(), next_id: 0, workers }
    }

    /// The endpoint of one more node at this address; the same one for as long as a node is there.
    /// `None` if the address cannot stand in a header, which no valid host can cause.
    pub(crate) fn acquire(&mut self, host: &Host, port: Port) -> Option<Arc<Endpoint>> {
        match self.by_address.entry((host.clone(), port)) {
            Entry::Occupied(mut known) => {
                let (endpoint, nodes) = known.get_mut();
                *nodes += 1;
                Some(Arc::clone(endpoint))
            }
            Entry::Vacant(new) => {
                let endpoint = Arc::new(Endpoint {
                    id: EndpointId(self.next_id),
                    host: host.clone(),
                    port,
                    address: host.as_str().parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port.get())),
                    authority: HeaderValue::from_str(&host.authority(port)).ok()?,
                    tallies: (0..self.workers).map(|_| Padded::default()).collect(),
                    tables: AtomicU32::new(0),
                });
                self.next_id += 1;
                new.insert((Arc::clone(&endpoint), 1));
                Some(endpoint)
            }
        }
    }

    /// One of the nodes at this endpoint is gone.
    pub(crate) fn release(&mut self, endpoint: &Endpoint) {
        if let Entry::Occupied(mut known) = self.by_address.entry((endpoint.host.clone(), endpoint.port)) {
            known.get_mut().1 -= 1;
            if known.get().1 == 0 {
                known.remove();
            }
        }
    }

    /// All that a table routes to, in no order.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.by_address.values().map(|(endpoint, _)| endpoint).filter(|endpoint| endpoint.is_live())
    }
}
