//! Real members, and what can happen to them.

mod api;
mod binary;
mod bits;
mod clock;
mod cluster;
mod disks;
mod links;
mod namespaces;
mod network;
mod probe;
mod process;
mod proxy;
mod python;
mod settings;
mod skip;
mod sse;
mod transport;
mod wait;

pub(crate) use api::read_answer;
pub use api::{Api, Outcome, Seen};
pub use binary::{kenger, kenger_command};
pub use bits::{Flip, flip_bits};
pub use clock::{Clocks, FakeClock};
pub use cluster::{Cluster, Ending};
pub use disks::Disks;
pub use links::{
    Cut, FaultSet, Impairment, LinkFault, LinkId, PROBE_LIMIT, Probed, all_links, links_between,
};
pub use namespaces::{Namespaces, within_namespaces};
pub use network::Network;
pub use process::Process;
pub use proxy::Proxies;
pub use python::python_with_kengerkit;
pub use settings::{MemberId, Settings};
pub use skip::skip;
pub use sse::{Parser as SseParser, Sse, SseEvent};
pub use transport::{Arriving, BoxFuture, Chunks, Failed, Transport};
pub use wait::{eventually, eventually_some, within};
