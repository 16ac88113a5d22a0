//! What can be wrong with the way from one member to another, and how it is shown that it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::settings::MemberId;

/// The way from the first member to the second; the way back is another one.
pub type LinkId = (MemberId, MemberId);

/// A link that carries what it is given, but not well. Each network does what it can, see
/// [`Impairment::without_delay`] and the README.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Impairment {
    /// Everything takes this much longer.
    pub delay: Duration,
    /// And up to this much more, by chance.
    pub jitter: Duration,
    /// What gets through in a second, in bytes.
    pub bytes_per_second: Option<u64>,
    /// Of a thousand packets so many are lost. A proxy cannot lose packets: it breaks the connection
    /// instead, each time it has passed on a piece and chance says so.
    pub loss_per_mille: u16,
}

impl Impairment {
    /// Whether it does anything.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// What a network can do that cannot delay.
    #[must_use]
    pub fn without_delay(self) -> Self {
        Self { delay: Duration::ZERO, jitter: Duration::ZERO, ..self }
    }
}

/// How a link is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cut {
    /// Nothing passes and nobody is told; what was sent meanwhile arrives when it is mended, as far as
    /// the senders try again.
    Silent,
    /// Connections over it are reset, new ones too. Only a proxy can do that.
    Reset,
}

/// What became of a test of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probed {
    /// Packets that were sent.
    pub sent: u32,
    /// How many of them arrived within [`PROBE_LIMIT`].
    pub arrived: u32,
    /// How long the last one of those took that arrived; zero if none did.
    pub slowest: Duration,
}

impl Probed {
    /// Whether the link carries anything.
    pub fn passes(&self) -> bool {
        self.arrived > 0
    }
}

/// What has not arrived after this time has been lost.
pub const PROBE_LIMIT: Duration = Duration::from_millis(400);
/// Size of a packet of a test, in bytes.
pub(super) const PROBE_BYTES: usize = 1_000;

/// All links among `members`.
pub fn all_links(members: &[MemberId]) -> BTreeSet<LinkId> {
    let of =
        |from: &MemberId| members.iter().filter(|to| *to != from).map(|to| (*from, *to)).collect::<Vec<_>>();
    members.iter().flat_map(of).collect()
}

/// All links from one of `from` to one of `to`.
pub fn links_between(from: &[MemberId], to: &[MemberId]) -> BTreeSet<LinkId> {
    from.iter().flat_map(|from| to.iter().map(|to| (*from, *to))).filter(|(from, to)| from != to).collect()
}

/// What is wrong with a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkFault {
    /// It carries nothing.
    Cut(Cut),
    /// It carries badly.
    Bad(Impairment),
}

/// Names a set of faults that were made together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FaultSet(u32);

/// The faults of all links: sets that overlap, each mended alone.
#[derive(Debug, Default)]
pub(super) struct Faults {
    next: u32,
    sets: BTreeMap<FaultSet, BTreeMap<LinkId, LinkFault>>,
}

impl Faults {
    pub(super) fn add(&mut self, faults: BTreeMap<LinkId, LinkFault>) -> FaultSet {
        let set = FaultSet(self.next);
        self.next += 1;
        self.sets.insert(set, faults);
        set
    }

    pub(super) fn remove(&mut self, set: FaultSet) {
        self.sets.remove(&set);
    }

    pub(super) fn clear(&mut self) {
        self.sets.clear();
    }

    /// What is cut; the harsher way counts.
    pub(super) fn cuts(&self) -> BTreeMap<LinkId, Cut> {
        let mut cuts = BTreeMap::new();
        for (link, fault) in self.sets.values().flatten() {
            if let LinkFault::Cut(cut) = fault {
                let known = cuts.entry(*link).or_insert(*cut);
                *known = (*known).max(*cut);
            }
        }
        cuts
    }

    /// What is bad; of two the worse in each respect.
    pub(super) fn impairments(&self) -> BTreeMap<LinkId, Impairment> {
        let mut bad: BTreeMap<LinkId, Impairment> = BTreeMap::new();
        for (link, fault) in self.sets.values().flatten() {
            if let LinkFault::Bad(impairment) = fault {
                let known = bad.entry(*link).or_default();
                *known = Impairment {
                    delay: known.delay.max(impairment.delay),
                    jitter: known.jitter.max(impairment.jitter),
                    bytes_per_second: [known.bytes_per_second, impairment.bytes_per_second]
                        .into_iter()
                        .flatten()
                        .min(),
                    loss_per_mille: known.loss_per_mille.max(impairment.loss_per_mille),
                };
            }
        }
        bad
    }
}
