//! What the benchmarks register: nodes whose addresses are numbered.

use std::net::Ipv4Addr;

use kenger_types::api::{NodeAddress, NodeRegister};
use kenger_types::{Host, Invalid, Metadata, NamespaceName, Port, Weight};

use crate::failure::Failure;

/// Hosts of the network that RFC 2544 sets aside for benchmarks, 198.18/15.
const HOSTS: u32 = 1 << 17;
const FIRST_HOST: u32 = u32::from_be_bytes([198, 18, 0, 0]);
/// The first port of each host; every number of 32 bits then has a host and a port.
const FIRST_PORT: u32 = 20_000;

/// Hosts of 127.64/10 are this machine, and nobody's habit.
const FIRST_LOOPBACK_HOST: u32 = u32::from_be_bytes([127, 64, 0, 0]);
/// Tcpmux, which nobody runs.
const REFUSING_PORT: u32 = 1;

/// The address of the `n`-th node. No node has the address of another.
pub(super) fn address(ns: &NamespaceName, n: u32) -> Result<NodeAddress, Failure> {
    let invalid = |Invalid(why)| Failure::Other(why);
    let host: Host = Ipv4Addr::from(FIRST_HOST + n % HOSTS).to_string().parse().map_err(invalid)?;
    let port: Port = i64::from(FIRST_PORT + n / HOSTS).try_into().map_err(invalid)?;
    Ok(NodeAddress { ns: ns.clone(), host, port })
}

/// The registration of the `n`-th node.
pub(super) fn registration(
    ns: &NamespaceName,
    n: u32,
    ttl_seconds: Option<u32>,
) -> Result<NodeRegister, Failure> {
    let NodeAddress { ns, host, port } = address(ns, n)?;
    let ttl_seconds = ttl_seconds.map(|ttl| i64::from(ttl).try_into()).transpose();
    let ttl_seconds = ttl_seconds.map_err(|Invalid(why)| Failure::Usage(why))?;
    let version = [("version".to_owned(), format!("v{}", n % 2 + 1))];
    let metadata = Metadata::try_from(std::collections::BTreeMap::from(version));
    Ok(NodeRegister {
        ns,
        host,
        port,
        weight: Weight::default(),
        health_path: None,
        metadata: metadata.map_err(|Invalid(why)| Failure::Other(why))?,
        ttl_seconds,
        if_revision: None,
    })
}

/// The address of a node that nobody listens at: connections to it are refused, on this machine.
pub(super) fn refusing_address(ns: &NamespaceName, n: u32) -> Result<NodeAddress, Failure> {
    let invalid = |Invalid(why)| Failure::Other(why);
    let host: Host = Ipv4Addr::from(FIRST_LOOPBACK_HOST + n).to_string().parse().map_err(invalid)?;
    let port: Port = i64::from(REFUSING_PORT).try_into().map_err(invalid)?;
    Ok(NodeAddress { ns: ns.clone(), host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_nodes_have_the_same_address() {
        let ns = "bench".parse().unwrap();
        let some = (0..100_000).chain((0..64).map(|lane| lane * 67_108_864)).chain([u32::MAX]);
        let all: std::collections::BTreeSet<_> = some.map(|n| address(&ns, n).unwrap()).collect();
        assert_eq!(all.len(), 100_000 + 63 + 1);
    }
}
