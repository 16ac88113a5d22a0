//! What the benchmarks register: nodes whose addresses are numbered.

use kenger_types::api::{NodeAddress, NodeRegister};
use kenger_types::{Host, Invalid, Metadata, NamespaceName, Port, Weight};

use crate::failure::Failure;

/// Ports of one host: each host has this many nodes.
const NODES_PER_HOST: u32 = 50;
const FIRST_PORT: u32 = 20_000;
/// 10.0.0.0/8 has this many hosts.
const HOSTS_MAX: u32 = 1 << 24;

/// The address of the `n`-th node. No node has the address of another.
pub(super) fn address(ns: &NamespaceName, n: u32) -> Result<NodeAddress, Failure> {
    let invalid = |Invalid(why)| Failure::Other(why);
    let host = (n / NODES_PER_HOST) % HOSTS_MAX;
    let [_, a, b, c] = host.to_be_bytes();
    let host: Host = format!("10.{a}.{b}.{c}").parse().map_err(invalid)?;
    let port: Port = i64::from(FIRST_PORT + n % NODES_PER_HOST).try_into().map_err(invalid)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_nodes_have_the_same_address() {
        let ns = "bench".parse().unwrap();
        let all: std::collections::BTreeSet<_> = (0..100_000).map(|n| address(&ns, n).unwrap()).collect();
        assert_eq!(all.len(), 100_000);
        assert_eq!(address(&ns, 0).unwrap().host.as_str(), "10.0.0.0");
    }
}
