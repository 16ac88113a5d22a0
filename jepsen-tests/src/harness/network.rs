//! What joins the members, as a nemesis sees it: links that can be cut or made bad one way.

use std::collections::BTreeMap;
use std::fmt;

use futures_util::future::LocalBoxFuture;

use super::cluster::Cluster;
use super::links::{FaultSet, LinkFault, LinkId, Probed};
use super::namespaces::Namespaces;
use super::proxy::Proxies;
use super::settings::{MemberId, Settings};

/// The links between the members of one cluster. Clients of the run reach every member all the time.
pub trait Network: fmt::Debug {
    /// Starts the members in it, and waits until they are ready.
    fn start(&mut self, settings: Settings) -> LocalBoxFuture<'_, Cluster>;

    /// Whether it can delay what it carries. One that cannot leaves that out.
    fn can_delay(&self) -> bool;

    /// Whether it can reset connections. One that cannot drops what they carry.
    fn can_reset(&self) -> bool;

    /// From now on these links are bad, on top of what else is wrong with them.
    fn strike(&mut self, faults: BTreeMap<LinkId, LinkFault>) -> FaultSet;

    /// What was made together ends together.
    fn mend(&mut self, faults: FaultSet);

    /// Everything ends that [`Network::strike`] made.
    fn mend_all(&mut self);

    /// Sends packets over a link and tells what became of them.
    fn probe(&self, from: MemberId, to: MemberId, packets: u32) -> LocalBoxFuture<'_, Probed>;
}

impl Network for Namespaces {
    fn start(&mut self, settings: Settings) -> LocalBoxFuture<'_, Cluster> {
        Box::pin(Namespaces::start(self, settings))
    }

    fn can_delay(&self) -> bool {
        false
    }

    fn can_reset(&self) -> bool {
        false
    }

    fn strike(&mut self, faults: BTreeMap<LinkId, LinkFault>) -> FaultSet {
        self.change(|known| known.add(faults))
    }

    fn mend(&mut self, faults: FaultSet) {
        self.change(|known| known.remove(faults));
    }

    fn mend_all(&mut self) {
        self.change(|known| known.clear());
    }

    fn probe(&self, from: MemberId, to: MemberId, packets: u32) -> LocalBoxFuture<'_, Probed> {
        Box::pin(Namespaces::probe(self, from, to, packets))
    }
}

impl Network for Proxies {
    fn start(&mut self, settings: Settings) -> LocalBoxFuture<'_, Cluster> {
        Box::pin(Proxies::start(self, settings))
    }

    fn can_delay(&self) -> bool {
        true
    }

    fn can_reset(&self) -> bool {
        true
    }

    fn strike(&mut self, faults: BTreeMap<LinkId, LinkFault>) -> FaultSet {
        self.change(|known| known.add(faults))
    }

    fn mend(&mut self, faults: FaultSet) {
        self.change(|known| known.remove(faults));
    }

    fn mend_all(&mut self) {
        self.change(|known| known.clear());
    }

    fn probe(&self, from: MemberId, to: MemberId, packets: u32) -> LocalBoxFuture<'_, Probed> {
        Box::pin(Proxies::probe(self, from, to, packets))
    }
}
