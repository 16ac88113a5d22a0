//! Every bound that a client can run into, by name.

/// Longest namespace name, in bytes.
pub const NAME_MAX_BYTES: usize = 64;
/// Longest host, in bytes.
pub const HOST_MAX_BYTES: usize = 128;
/// Longest health path, in bytes.
pub const HEALTH_PATH_MAX_BYTES: usize = 128;
/// Longest namespace description, in bytes.
pub const DESCRIPTION_MAX_BYTES: usize = 255;
/// Most metadata pairs of a node.
pub const METADATA_MAX_PAIRS: usize = 32;
/// Longest metadata key, in bytes.
pub const METADATA_KEY_MAX_BYTES: usize = 64;
/// Longest metadata value, in bytes.
pub const METADATA_VALUE_MAX_BYTES: usize = 512;
/// Largest weight.
pub const WEIGHT_MAX: u16 = 10_000;
/// Weight of a node that declares none.
pub const WEIGHT_DEFAULT: u16 = 100;
/// Shortest time to live that a node may ask for, in seconds.
pub const TTL_SECONDS_MIN: u32 = 1;
/// Longest time to live that a node may ask for, in seconds (one day).
pub const TTL_SECONDS_MAX: u32 = 86_400;
/// Largest request body, in bytes.
pub const BODY_MAX_BYTES: usize = 1 << 20;
/// Most nodes in one batch of heartbeats.
pub const HEARTBEAT_BATCH_MAX_NODES: usize = 5_000;
/// Longest wait of a blocking `sync`, in milliseconds.
pub const SYNC_WAIT_MAX_MS: u64 = 300_000;
/// Most namespaces in one filter (`?ns=a,b`).
pub const FILTER_MAX_NAMESPACES: usize = 256;
/// Health path of a namespace that declares none, as in the original system.
pub const HEALTH_PATH_DEFAULT: &str = "/api/status";
