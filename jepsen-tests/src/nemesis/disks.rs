//! What the nemeses of disks have in common.

use std::sync::Arc;

use crate::harness::Disks;
use crate::run::{Arena, Setup};

/// Gives each member a disk of its own, unless another nemesis of the run has done so.
///
/// # Errors
/// This machine cannot.
pub(super) fn prepare(setup: &mut Setup) -> Result<(), String> {
    if setup.settings.disks.is_none() {
        setup.settings.disks = Some(Arc::new(Disks::make(setup.settings.members)?));
    }
    Ok(())
}

/// The disks that [`prepare`] made.
pub(super) fn of(arena: &Arena) -> Arc<Disks> {
    Arc::clone(arena.cluster.settings().disks.as_ref().expect("made before the members were started"))
}
