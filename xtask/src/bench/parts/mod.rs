//! What is measured, one module for each question.

pub(super) mod capacity;
pub(super) mod failover;
pub(super) mod feed;
pub(super) mod heartbeats;
pub(super) mod proxy;
pub(super) mod writes;
