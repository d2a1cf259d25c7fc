//! Values counted in ranges that grow by a constant factor, which is as fine as 160 ranges allow (OpenTelemetry's
//! exponential histogram, Prometheus' native one).
//!
//! At scale `s` the range `i` reaches from `2^(i/2^s)` exclusively to `2^((i+1)/2^s)` inclusively. Where values do not fit, two
//! neighbours become one and the scale falls by one.

/// Ranges at most.
const SIZE: i64 = 160;
/// The finest scale; two equal values lie in one range at any.
const FINEST: i32 = 20;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exponential {
    /// How fine the ranges are.
    pub scale: i32,
    /// Values that are zero, or less than it.
    pub zero: u64,
    /// The index of the first range.
    pub offset: i32,
    /// By range.
    pub counts: Vec<u64>,
}

impl Default for Exponential {
    fn default() -> Self {
        Self { scale: FINEST, zero: 0, offset: 0, counts: Vec::new() }
    }
}

impl Exponential {
    /// Counts one value. What is no number is left out.
    pub fn add(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        if value < f64::MIN_POSITIVE {
            self.zero += 1;
            return;
        }
        self.raise(index(value, self.scale), 1);
    }

    fn raise(&mut self, mut index: i32, by: u64) {
        let (mut low, mut high) = match self.counts.len() {
            0 => (index, index),
            len => (self.offset, self.offset + i32::try_from(len).unwrap_or(i32::MAX) - 1),
        };
        (low, high) = (low.min(index), high.max(index));
        let mut coarser = 0;
        while i64::from(high) - i64::from(low) >= SIZE {
            (low, high, index, coarser) = (low >> 1, high >> 1, index >> 1, coarser + 1);
        }
        self.coarsen(coarser);
        if self.counts.is_empty() {
            self.offset = index;
        }
        if low < self.offset {
            let more = usize::try_from(self.offset - low).unwrap_or_default();
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.offset = low;
        }
        let at = usize::try_from(index - self.offset).unwrap_or_default();
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += by;
    }

    /// Puts `2^by` neighbours each together.
    fn coarsen(&mut self, by: i32) {
        if by == 0 {
            return;
        }
        self.scale -= by;
        let offset = self.offset >> by;
        let mut counts: Vec<u64> = Vec::new();
        for (at, count) in (self.offset..).zip(&self.counts) {
            let into = usize::try_from((at >> by) - offset).unwrap_or_default();
            counts.resize(counts.len().max(into + 1), 0);
            counts[into] += count;
        }
        (self.offset, self.counts) = (offset, counts);
    }

    /// What was counted since it was `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut before = before.clone();
        before.coarsen((before.scale - self.scale).max(0));
        let mut since = self.clone();
        since.zero = since.zero.saturating_sub(before.zero);
        for (index, count) in (before.offset..).zip(&before.counts) {
            let at = usize::try_from(index - since.offset).unwrap_or(usize::MAX);
            if let Some(now) = since.counts.get_mut(at) {
                *now = now.saturating_sub(*count);
            }
        }
        since
    }

    /// The same values, in ranges that are no finer than at this scale.
    #[must_use]
    pub fn at_most(&self, scale: i32) -> Self {
        let mut coarse = self.clone();
        coarse.coarsen((self.scale - scale).max(0));
        coarse
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.zero + self.counts.iter().sum::<u64>()
    }
}

/// The range of a positive, normal number.
#[expect(clippy::cast_possible_truncation, reason = "at most 1,074 octaves of 2^20 ranges")]
fn index(value: f64, scale: i32) -> i32 {
    let bits = value.to_bits();
    let exponent = i32::try_from(bits >> 52 & 0x7ff).unwrap_or_default() - 1023;
    // An upper bound belongs to the range below it.
    let whole = bits & ((1 << 52) - 1) == 0;
    if scale <= 0 {
        return (exponent - i32::from(whole)) >> -scale;
    }
    if whole {
        return (exponent << scale) - 1;
    }
    let index = (value.log2() * f64::from(1 << scale)).ceil() as i32 - 1;
    // Rounded over the end of its octave, it would not be below the next power of two any more.
    index.clamp(exponent << scale, ((exponent + 1) << scale) - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[f64]) -> Exponential {
        let mut all = Exponential::default();
        for value in values {
            all.add(*value);
        }
        all
    }

    #[test]
    fn a_bound_belongs_below_it() {
        for (value, scale, expected) in [
            (1.0, 0, -1),
            (1.5, 0, 0),
            (2.0, 0, 0),
            (2.1, 0, 1),
            (4.0, -1, 0),
            (4.1, -1, 1),
            (0.25, 1, -5),
            (1.2, 1, 0),
            (1.5, 1, 1),
        ] {
            assert_eq!(index(value, scale), expected, "{value} at {scale}");
        }
    }

    #[test]
    fn nothing_and_less_are_counted_apart() {
        let all = of(&[0.0, -1.0, f64::NAN, f64::INFINITY, 3.0]);
        assert_eq!((all.zero, all.count()), (2, 3));
    }

    proptest! {
        #[test]
        fn every_value_lies_in_its_range(values in prop::collection::vec(1e-9..1e9_f64, 1..200)) {
            let all = of(&values);
            prop_assert_eq!(all.count(), values.len() as u64);
            prop_assert!(all.counts.len() <= 160);
            let base = 2_f64.powf(2_f64.powi(-all.scale));
            for value in values {
                let index = index(value, all.scale);
                prop_assert!(base.powi(index) <= value * (1.0 + 1e-6) && value <= base.powi(index + 1) * (1.0 + 1e-6));
                let at = usize::try_from(index - all.offset).unwrap();
                prop_assert!(all.counts[at] > 0);
            }
        }

        #[test]
        fn coarser_ranges_hold_the_same_values(values in prop::collection::vec(1e-6..1e3_f64, 0..50), scale in -4..=20) {
            let coarse = of(&values).at_most(scale);
            prop_assert!(coarse.scale <= scale);
            prop_assert_eq!(coarse.count(), values.len() as u64);
            for value in values {
                let at = usize::try_from(index(value, coarse.scale) - coarse.offset).unwrap();
                prop_assert!(coarse.counts[at] > 0);
            }
        }

        #[test]
        fn the_difference_is_what_came_between(
            one in prop::collection::vec(1e-6..1e3_f64, 0..50),
            other in prop::collection::vec(1e-6..1e6_f64, 0..50),
        ) {
            let before = of(&one);
            let mut now = before.clone();
            for value in &other {
                now.add(*value);
            }
            prop_assert_eq!(now.since(&before).count(), other.len() as u64);
        }
    }
}
