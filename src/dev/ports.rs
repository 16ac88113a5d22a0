//! Which part listens where: fixed distances from one base, so that one flag moves a whole system.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};

use super::error::DevError;

/// How many members there are.
pub(super) const MEMBERS: u16 = 3;
/// The demo services: version and declared weight.
pub(super) const SERVICES: [(&str, u16); 2] = [("v1", 90), ("v2", 10)];

/// Between one member's ports and the next one's.
const MEMBER_STEP: u16 = 100;
/// From a member's API to its port for the other members.
const PEER_OFFSET: u16 = 1;
/// From the base to the first demo service.
const SERVICE_OFFSET: u16 = 2_001;
/// From the base to the gateway's admin API.
const ADMIN_OFFSET: u16 = 3_081;
/// From the base to the gateway.
const GATEWAY_OFFSET: u16 = 13_080;

/// All ports of a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    base: u16,
}

impl Ports {
    /// API 5000, 5100, 5200; peers 5001, 5101, 5201; services 7001, 7002; admin 8081; gateway 18080.
    pub(super) const DEFAULT_BASE: u16 = 5_000;
    /// The largest base with which every port exists.
    pub(super) const MAX_BASE: i64 = (u16::MAX - GATEWAY_OFFSET) as i64;

    /// `base` is at most [`Self::MAX_BASE`].
    pub(super) fn new(base: u16) -> Self {
        Self { base }
    }

    pub(super) fn base(self) -> u16 {
        self.base
    }

    /// Of member 1 to 3.
    pub(super) fn api(self, member: u16) -> SocketAddrV4 {
        loopback(self.base + (member - 1) * MEMBER_STEP)
    }

    /// Of member 1 to 3.
    pub(super) fn peer(self, member: u16) -> SocketAddrV4 {
        loopback(self.base + (member - 1) * MEMBER_STEP + PEER_OFFSET)
    }

    /// Of the demo service with this place in [`SERVICES`].
    pub(super) fn service(self, place: u16) -> SocketAddrV4 {
        loopback(self.base + SERVICE_OFFSET + place)
    }

    pub(super) fn admin(self) -> SocketAddrV4 {
        loopback(self.base + ADMIN_OFFSET)
    }

    pub(super) fn gateway(self) -> SocketAddrV4 {
        loopback(self.base + GATEWAY_OFFSET)
    }

    /// Every address, with what it is for.
    pub(super) fn all(self) -> Vec<(SocketAddrV4, String)> {
        let apis = (1..=MEMBERS).map(|member| (self.api(member), format!("member {member}'s API")));
        let peers = (1..=MEMBERS).map(|member| (self.peer(member), format!("member {member}'s peers")));
        let services = (0..).zip(SERVICES);
        let services =
            services.map(|(place, (version, _))| (self.service(place), format!("demo service {version}")));
        let gateway = [
            (self.gateway(), "the gateway".to_owned()),
            (self.admin(), "the gateway's admin API".to_owned()),
        ];
        apis.chain(peers).chain(services).chain(gateway).collect()
    }

    /// Every address that somebody listens on, with what it would be for.
    pub(super) fn taken(self) -> Vec<(SocketAddrV4, String, io::Error)> {
        let try_to_listen = |(address, purpose)| Some((address, purpose, TcpListener::bind(address).err()?));
        self.all().into_iter().filter_map(try_to_listen).collect()
    }

    /// # Errors
    /// Names every port that is not free, and what it would be for.
    pub(super) fn check_free(self) -> Result<(), DevError> {
        let taken = self.taken();
        if taken.is_empty() {
            return Ok(());
        }
        let lines =
            taken.iter().map(|(address, purpose, error)| format!("{address} (for {purpose}): {error}"));
        Err(DevError::PortsTaken { lines: lines.collect(), base: self.base })
    }
}

fn loopback(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_ports_are_the_documented_ones() {
        let ports = Ports::new(Ports::DEFAULT_BASE).all();
        let numbers: Vec<u16> = ports.iter().map(|(address, _)| address.port()).collect();
        assert_eq!(numbers, [5000, 5100, 5200, 5001, 5101, 5201, 7001, 7002, 18080, 8081]);
    }

    #[test]
    fn with_the_largest_base_every_port_exists_and_each_is_another() {
        let base = u16::try_from(Ports::MAX_BASE).unwrap();
        let mut numbers: Vec<u16> =
            Ports::new(base).all().iter().map(|(address, _)| address.port()).collect();
        assert_eq!(numbers.iter().max(), Some(&u16::MAX));
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count);
    }

    #[test]
    fn a_taken_port_is_named_with_what_it_is_for() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = holder.local_addr().unwrap().port();
        // As a member's API the port itself is the base; above the largest base it is the gateway's.
        let (base, purpose) = match u16::try_from(Ports::MAX_BASE).unwrap() {
            max if port <= max => (port, "member 1's API"),
            _ => (port - GATEWAY_OFFSET, "the gateway"),
        };
        let error = Ports::new(base).check_free().unwrap_err().to_string();
        assert!(error.contains(&format!("127.0.0.1:{port} (for {purpose})")), "{error}");
    }
}
