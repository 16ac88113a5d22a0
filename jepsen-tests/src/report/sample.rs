//! Which points of a plot are drawn, when there are more of them than a reader could tell apart.
//!
//! A plot has a bounded number of columns. Of each column the lowest and the highest value are kept,
//! always: what stands out is what a reader looks for. Of the values between them a few are kept, evenly
//! by rank, so that the body of the distribution still looks like one.

/// Most points that are kept of one column.
pub(super) const KEPT_PER_COLUMN: usize = 5;

/// The points to draw, in order, each once. A point is its column and its value.
pub(super) fn thin(mut points: Vec<(u32, u64)>) -> Vec<(u32, u64)> {
    points.sort_unstable();
    points.dedup();
    points.chunk_by(|a, b| a.0 == b.0).flat_map(keep).collect()
}

/// Of a sorted column: first, last, and evenly between.
fn keep(column: &[(u32, u64)]) -> impl Iterator<Item = (u32, u64)> {
    let last = column.len() - 1;
    let picks = column.len().min(KEPT_PER_COLUMN);
    (0..picks).map(move |pick| column[if picks == 1 { 0 } else { pick * last / (picks - 1) }])
}

/// The values at these shares (0.5: the median) of a sorted list; the highest at 1. None of an empty one.
pub(super) fn quantile(sorted: &[u64], share: f64) -> Option<u64> {
    let last = sorted.len().checked_sub(1)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank within a list that is in memory"
    )]
    let rank = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
    sorted.get(rank.min(last)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_are_kept_and_the_rest_is_bounded() {
        // 10,000 values in each of three columns, with one that is low and one that is high.
        let mut points: Vec<(u32, u64)> =
            (0..30_000).map(|index| (index % 3, 1_000 + u64::from(index) * 7_919 % 500)).collect();
        points.extend([(1, 3), (1, 900_000), (7, 5)]);
        let kept = thin(points);
        assert_eq!(kept.len(), 3 * KEPT_PER_COLUMN + 1);
        assert!(kept.contains(&(1, 3)) && kept.contains(&(1, 900_000)) && kept.contains(&(7, 5)));
        assert!(kept.is_sorted());
    }

    #[test]
    fn few_points_are_all_kept() {
        let points = vec![(0, 1), (0, 2), (1, 9), (0, 3)];
        assert_eq!(thin(points), [(0, 1), (0, 2), (0, 3), (1, 9)]);
        assert!(thin(Vec::new()).is_empty());
    }

    #[test]
    fn quantiles_are_values_of_the_list() {
        let list: Vec<u64> = (1..=100).collect();
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| quantile(&list, share)), [1, 50, 99, 100].map(Some));
        assert_eq!(quantile(&[7], 0.99), Some(7));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
