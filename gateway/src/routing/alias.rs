//! Weighted random choice in constant time, in exact integer arithmetic.
//!
//! Walker's alias method: as many columns as weights, each as high as the sum of all weights. A
//! column belongs to its own index up to a threshold and to one other index, its alias, above it.
//! Heights are integers, so that over all columns each index owns exactly `weight × columns` units:
//! there is no rounding, and a weight of 0 owns nothing.

/// A choice among the indexes of a list of weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AliasTable {
    columns: Box<[Column]>,
    /// The height of each column: the sum of all weights.
    total: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Column {
    /// Below this height the column belongs to its own index.
    threshold: u64,
    /// From the threshold on it belongs to this index.
    alias: u32,
}

impl AliasTable {
    /// A table of these weights; `None` if their sum is 0, because then nothing can be chosen.
    pub(crate) fn new(weights: &[u16]) -> Option<Self> {
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        if total == 0 {
            return None;
        }
        let count = u64::try_from(weights.len()).ok()?;
        // What each index owns in all, to be spread over the columns.
        let mut owned: Vec<u64> = weights.iter().map(|weight| u64::from(*weight) * count).collect();
        let mut columns = Vec::with_capacity(weights.len());
        for index in 0..u32::try_from(weights.len()).ok()? {
            columns.push(Column { threshold: total, alias: index });
        }
        let (mut short, mut tall): (Vec<usize>, Vec<usize>) =
            (0..owned.len()).partition(|index| owned[*index] < total);
        while let (Some(low), Some(high)) = (short.pop(), tall.last().copied()) {
            columns[low] = Column { threshold: owned[low], alias: columns[high].alias };
            // `high` fills what `low` leaves free, and owns that much less elsewhere.
            owned[high] -= total - owned[low];
            if owned[high] < total {
                tall.pop();
                short.push(high);
            }
        }
        Some(Self { columns: columns.into(), total })
    }

    /// An index, each as often as its weight says.
    pub(crate) fn pick(&self, random: &mut fastrand::Rng) -> usize {
        let index = random.usize(..self.columns.len());
        let column = self.columns[index];
        if random.u64(..self.total) < column.threshold { index } else { column.alias as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many units of all columns each index owns.
    fn owned(table: &AliasTable) -> Vec<u64> {
        let mut owned = vec![0; table.columns.len()];
        for (index, column) in table.columns.iter().enumerate() {
            owned[index] += column.threshold;
            owned[column.alias as usize] += table.total - column.threshold;
        }
        owned
    }

    #[test]
    fn each_index_owns_exactly_its_share_for_any_weights() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let weights: Vec<u16> = (0..random.usize(1..40))
                .map(|_| if random.u8(..4) == 0 { 0 } else { random.u16(0..=10_000) })
                .collect();
            let count = weights.len() as u64;
            let expected: Vec<u64> = weights.iter().map(|weight| u64::from(*weight) * count).collect();
            match AliasTable::new(&weights) {
                Some(table) => assert_eq!(owned(&table), expected, "{weights:?}"),
                None => assert!(weights.iter().all(|weight| *weight == 0)),
            }
        }
    }

    #[test]
    fn a_weight_of_zero_is_never_picked() {
        let mut random = fastrand::Rng::with_seed(1);
        let table = AliasTable::new(&[0, 1, 0, 10_000, 0]).unwrap();
        for _ in 0..200_000 {
            assert!(matches!(table.pick(&mut random), 1 | 3));
        }
    }

    #[test]
    fn picks_follow_the_weights() {
        let mut random = fastrand::Rng::with_seed(2);
        let table = AliasTable::new(&[90, 10]).unwrap();
        let mut picked = [0_u32; 2];
        for _ in 0..100_000 {
            picked[table.pick(&mut random)] += 1;
        }
        // The standard deviation of the second count is about 95.
        assert!((9_500..=10_500).contains(&picked[1]), "{picked:?}");
    }

    #[test]
    fn nothing_can_be_picked_from_no_weight() {
        assert_eq!(AliasTable::new(&[]), None);
        assert_eq!(AliasTable::new(&[0, 0]), None);
    }
}
