//! Leases: who has been heard from, kept in the leader's memory.
