//! What the nemeses of disks have in common.

use std::sync::Arc;

use super::victims;
use crate::harness::{Disks, MemberId};
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

/// Puts the disks of these members in order, whatever is wrong with them by now (faults overlap: one that
/// was full may be without power), and starts those members that do not run. Answers what shows that
/// they do.
///
/// # Panics
/// A disk does not come back.
pub(super) fn mend(arena: &mut Arena, ids: &[MemberId]) -> Option<String> {
    arena.look_after_members();
    let disks = of(arena);
    for id in ids {
        if disks.free(*id).is_ok() && disks.write_something(*id).is_ok() {
            continue;
        }
        // One that still runs keeps its files open, and the disk cannot be taken out.
        if arena.cluster.pid(*id).is_some() {
            victims::kill(arena, &[*id]);
        }
        let back =
            disks.start_again(*id).and_then(|()| disks.write_something(*id).map_err(|e| e.to_string()));
        back.unwrap_or_else(|reason| panic!("the disk of member {id} does not come back: {reason}"));
    }
    arena.dark.retain(|id| !ids.contains(id));
    arena.may_end.retain(|id| !ids.contains(id));
    victims::start(arena, ids)
}
