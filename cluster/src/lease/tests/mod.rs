//! Every rule about leases, and what happens without it.
