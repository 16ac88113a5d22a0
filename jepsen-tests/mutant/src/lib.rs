//! Mutants: rules of the product that a test build can be told to break, so that the checkers show that
//! they see it. A checker that never failed proves nothing.
//!
//! A rule's place in the product asks [`is`] in one line. In everything that is shipped the feature
//! `mutants` is off, [`is`] is a constant `false`, and the compiler leaves out what depends on it. With
//! the feature, a process breaks the one rule that `KENGER_MUTANT` names, or none; a simulation says
//! by [`set`] which one.

use std::fmt;

/// The environment variable that names a mutant.
pub const VARIABLE: &str = "KENGER_MUTANT";

/// A rule that can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Mutant {
    /// The storage engine does not sync: what it calls durable is in the system's memory (sled) or its
    /// own (redb).
    SkipSync = 1,
    /// The vote is not stored: a member that was restarted does not know whom it voted for.
    ForgetVote,
    /// A write is answered when the leader has it in its log, and not when a quorum has it.
    AcknowledgeBeforeCommit,
    /// A read is answered from the member's own state without asking which index counts.
    ReadWithoutIndex,
    /// A read asks which index counts and does not wait until it is applied.
    ReadBeforeApplied,
    /// An entry is applied a second time, and what that comes to is told and answered.
    ApplyTwice,
    /// A feed that is resumed after a revision begins one revision too late.
    ResumeSkipsOne,
    /// A subscriber that fell out of the ring goes on with what there is, instead of being cut off.
    DropOldest,
    /// An expiry is carried out although its node was heard from since it was decided.
    ExpireUnchecked,
    /// A heartbeat is acknowledged as usual although the expiry of its node is on its way.
    RenewWhileExpiring,
    /// Lease time is that of the wall clock, wherever that jumps.
    WallClockLeases,
    /// A new leader gives no time to nodes that it has not heard from.
    NoGrace,
    /// A leader acknowledges heartbeats although no quorum answers it.
    HeartbeatWithoutQuorum,
    /// A snapshot leaves out the operator's weights.
    SnapshotWithoutOverrides,
    /// A snapshot leaves out the times to live that nodes asked for.
    SnapshotWithoutTtls,
    /// A gateway takes the loss of its feed for an empty registry.
    GatewayEmptiesTable,
    /// A gateway goes on with nodes that were removed.
    GatewayKeepsRemoved,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 17] = [
        Mutant::SkipSync,
        Mutant::ForgetVote,
        Mutant::AcknowledgeBeforeCommit,
        Mutant::ReadWithoutIndex,
        Mutant::ReadBeforeApplied,
        Mutant::ApplyTwice,
        Mutant::ResumeSkipsOne,
        Mutant::DropOldest,
        Mutant::ExpireUnchecked,
        Mutant::RenewWhileExpiring,
        Mutant::WallClockLeases,
        Mutant::NoGrace,
        Mutant::HeartbeatWithoutQuorum,
        Mutant::SnapshotWithoutOverrides,
        Mutant::SnapshotWithoutTtls,
        Mutant::GatewayEmptiesTable,
        Mutant::GatewayKeepsRemoved,
    ];

    /// What [`VARIABLE`] and the tables call it.
    pub const fn name(self) -> &'static str {
        match self {
            Mutant::SkipSync => "skip-sync",
            Mutant::ForgetVote => "forget-vote",
            Mutant::AcknowledgeBeforeCommit => "acknowledge-before-commit",
            Mutant::ReadWithoutIndex => "read-without-index",
            Mutant::ReadBeforeApplied => "read-before-applied",
            Mutant::ApplyTwice => "apply-twice",
            Mutant::ResumeSkipsOne => "resume-skips-one",
            Mutant::DropOldest => "drop-oldest",
            Mutant::ExpireUnchecked => "expire-unchecked",
            Mutant::RenewWhileExpiring => "renew-while-expiring",
            Mutant::WallClockLeases => "wall-clock-leases",
            Mutant::NoGrace => "no-grace",
            Mutant::HeartbeatWithoutQuorum => "heartbeat-without-quorum",
            Mutant::SnapshotWithoutOverrides => "snapshot-without-overrides",
            Mutant::SnapshotWithoutTtls => "snapshot-without-ttls",
            Mutant::GatewayEmptiesTable => "gateway-empties-table",
            Mutant::GatewayKeepsRemoved => "gateway-keeps-removed",
        }
    }

    /// The mutant of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mutant| mutant.name() == name)
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(not(feature = "mutants"))]
mod switch {
    use super::Mutant;

    /// Whether this process breaks the rule. Never: this build has no mutants.
    #[inline(always)]
    pub const fn is(_: Mutant) -> bool {
        false
    }

    /// The environment variable that this build reads: none.
    #[inline(always)]
    pub const fn variable() -> Option<&'static str> {
        None
    }

    /// Which rule this process breaks.
    ///
    /// # Errors
    /// Never.
    #[inline(always)]
    pub const fn from_environment() -> Result<Option<Mutant>, String> {
        Ok(None)
    }
}

#[cfg(feature = "mutants")]
mod switch {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::{Mutant, VARIABLE};

    /// Not decided yet.
    const UNREAD: u8 = u8::MAX;
    const NONE: u8 = 0;

    /// The mutant's number.
    static CURRENT: AtomicU8 = AtomicU8::new(UNREAD);

    /// Whether this process breaks the rule.
    ///
    /// # Panics
    /// `KENGER_MUTANT` names a mutant that there is not: a test of no mutant must not pass for one.
    pub fn is(mutant: Mutant) -> bool {
        match CURRENT.load(Ordering::Relaxed) {
            UNREAD => from_environment().unwrap_or_else(|error| panic!("{error}")) == Some(mutant),
            current => current == mutant as u8,
        }
    }

    /// The environment variable that this build reads.
    pub const fn variable() -> Option<&'static str> {
        Some(VARIABLE)
    }

    /// Breaks this rule from now on, or none, whatever the environment says.
    pub fn set(mutant: Option<Mutant>) {
        CURRENT.store(mutant.map_or(NONE, |mutant| mutant as u8), Ordering::Relaxed);
    }

    /// Which rule the environment says to break; [`is`] goes by it from now on.
    ///
    /// # Errors
    /// It names a mutant that there is not.
    pub fn from_environment() -> Result<Option<Mutant>, String> {
        let name = std::env::var(VARIABLE).unwrap_or_default();
        let mutant = match name.as_str() {
            "" => None,
            name => Some(Mutant::from_name(name).ok_or_else(|| format!("{VARIABLE}: no mutant {name:?}"))?),
        };
        set(mutant);
        Ok(mutant)
    }
}

#[cfg(feature = "mutants")]
pub use switch::set;
pub use switch::{from_environment, is, variable};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_has_one_name_and_one_number() {
        for (place, mutant) in Mutant::ALL.into_iter().enumerate() {
            assert_eq!(Mutant::from_name(mutant.name()), Some(mutant));
            assert_eq!(mutant as usize, place + 1);
        }
        assert_eq!(Mutant::from_name("none"), None);
    }

    #[test]
    #[cfg(not(feature = "mutants"))]
    fn a_build_without_the_feature_keeps_every_rule() {
        assert!(Mutant::ALL.into_iter().all(|mutant| !is(mutant)));
    }

    #[test]
    #[cfg(feature = "mutants")]
    fn a_process_breaks_the_one_rule_that_it_was_told_to() {
        set(Some(Mutant::NoGrace));
        assert!(is(Mutant::NoGrace) && !is(Mutant::SkipSync));
        set(None);
        assert!(Mutant::ALL.into_iter().all(|mutant| !is(mutant)));
    }
}
