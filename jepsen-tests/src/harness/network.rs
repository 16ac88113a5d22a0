//! What joins the members, as a nemesis sees it: links that can be cut one way.

use std::collections::BTreeSet;
use std::fmt;

use futures_util::future::LocalBoxFuture;

use super::cluster::Cluster;
use super::namespaces::Namespaces;
use super::settings::{MemberId, Settings};

/// The links between the members of one cluster. Clients of the run reach every member all the time.
pub trait Network: fmt::Debug {
    /// Starts the members in it, and waits until they are ready.
    fn start(&mut self, settings: Settings) -> LocalBoxFuture<'_, Cluster>;

    /// From now on nothing passes on these links, each from the first member to the second. Links that
    /// were cut before and are not named pass again.
    ///
    /// # Errors
    /// It cannot be done; nothing was.
    fn cut_exactly(&mut self, links: &BTreeSet<(MemberId, MemberId)>) -> Result<(), String>;
}

impl Network for Namespaces {
    fn start(&mut self, settings: Settings) -> LocalBoxFuture<'_, Cluster> {
        Box::pin(Namespaces::start(self, settings))
    }

    fn cut_exactly(&mut self, links: &BTreeSet<(MemberId, MemberId)>) -> Result<(), String> {
        self.set_cuts(links);
        Ok(())
    }
}
