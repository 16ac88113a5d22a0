//! What is counted, and how Prometheus gets it.

mod counters;
mod exposition;

pub(crate) use counters::{Counter, Histogram, ListenerCounters, Padded, WorkerCounters};
pub(crate) use exposition::{ListenerLabels, Sources, expose};
