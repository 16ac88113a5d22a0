//! Real members, and what can happen to them.

mod api;
mod binary;
mod clock;
mod cluster;
mod namespaces;
mod network;
mod process;
mod python;
mod settings;
mod skip;
mod sse;
mod wait;

pub use api::{Api, Outcome};
pub use clock::FakeClock;
pub use cluster::{Cluster, Ending};
pub use namespaces::{Namespaces, within_namespaces};
pub use network::Network;
pub use process::Process;
pub use python::python_with_kengerkit;
pub use settings::{MemberId, Settings};
pub use skip::skip;
pub use sse::{Parser as SseParser, Sse, SseEvent};
pub use wait::{eventually, eventually_some};
