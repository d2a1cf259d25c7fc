//! Medians and percentiles of what was measured.
//!
//! Percentiles are by nearest rank: every figure reported is one that a call really took.

use serde::Serialize;

/// The usual points of a latency distribution, in microseconds.
#[expect(clippy::struct_field_names, reason = "a bare number names its unit")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) max_us: f64,
}

impl Latency {
    /// Sorts `nanoseconds` and takes its points; all zero when nothing was measured.
    pub(crate) fn of(nanoseconds: &mut [u64]) -> Self {
        nanoseconds.sort_unstable();
        let point = |per_mille| percentile(nanoseconds, per_mille).map_or(0.0, |ns| ns as f64 / 1_000.0);
        Self { p50_us: point(500), p90_us: point(900), p99_us: point(990), max_us: point(1_000) }
    }
}

/// The smallest value that at least `per_mille` thousandths of the sorted values do not exceed.
pub(crate) fn percentile(sorted: &[u64], per_mille: usize) -> Option<u64> {
    let rank = (sorted.len() * per_mille).div_ceil(1_000).max(1);
    sorted.get(rank - 1).copied()
}

/// The middle value, or the mean of the two middle ones; none of no values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2).copied()?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(sorted[sorted.len() / 2 - 1], upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(percentile(&hundred, 500), Some(50));
        assert_eq!(percentile(&hundred, 990), Some(99));
        assert_eq!(percentile(&hundred, 1_000), Some(100));
        assert_eq!(percentile(&[7], 1), Some(7));
        assert_eq!(percentile(&[1, 9], 500), Some(1));
        assert_eq!(percentile(&[], 500), None);
    }

    #[test]
    fn the_median_of_an_even_count_lies_between_the_middle_two() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median([]), None);
    }

    #[test]
    fn latency_is_sorted_before_it_is_read() {
        let latency = Latency::of(&mut [3_000, 1_000, 2_000]);
        assert_eq!((latency.p50_us, latency.max_us), (2.0, 3.0));
    }
}
