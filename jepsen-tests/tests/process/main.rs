//! The promises of a cluster, kept by real processes under faults. One file for each promise.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails is a test that fails")]

mod agreement;
mod clocks;
mod disks;
mod failover;
mod feed;
mod feed_ring;
mod identity;
mod kengerkit;
mod leases;
mod liveness;
mod partitions;
mod writes;
