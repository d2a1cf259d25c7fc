//! A distribution of durations or sizes in a few dozen bytes, exact in count and sum, within 1.6 % in percentiles.
//!
//! Values fall into log-linear buckets: 32 per power of two, as in `HdrHistogram` (G. Tene) with five bits of precision.
//! Two sketches merge by adding their buckets, so minutes add up to hours, and servers to all of them. Most sketches
//! of a minute have a handful of buckets; they are kept sparse.
//!
//! ```
//! # use tollhouse_core::sketch::Sketch;
//! let mut latency = Sketch::default();
//! (1..=1000).for_each(|micros| latency.add(micros));
//! assert_eq!(latency.count(), 1000);
//! let p95 = latency.quantile(0.95).unwrap();
//! assert!((p95 as f64 - 950.0).abs() <= 950.0 * 0.016);
//! ```

/// Bits of precision within a power of two.
const BITS: u32 = 5;
/// Buckets of one power of two.
const PER_OCTAVE: u64 = 1 << BITS;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sketch {
    /// Index and count, by index; no count is 0.
    buckets: Vec<(u16, u32)>,
    count: u64,
    sum: u64,
    max: u64,
}

/// Bytes that are no sketch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no sketch")]
pub struct DecodeError;

impl Sketch {
    /// Counts `value`.
    pub fn add(&mut self, value: u64) {
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
        self.max = self.max.max(value);
        self.raise(index(value), 1);
    }

    fn raise(&mut self, index: u16, by: u32) {
        match self.buckets.binary_search_by_key(&index, |(index, _)| *index) {
            Ok(at) => self.buckets[at].1 = self.buckets[at].1.saturating_add(by),
            Err(at) => self.buckets.insert(at, (index, by)),
        }
    }

    /// Counts everything that `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
        let buckets = other.buckets.iter().copied().map(Ok);
        self.count_all(buckets).expect("buckets that are there");
    }

    /// Counts everything that the sketch in `bytes` has counted, as [`Self::merge`] of what [`Self::decode`] reads, without
    /// the memory for that.
    ///
    /// # Errors
    /// These are other bytes. A part of them may have been counted.
    pub fn merge_encoded(&mut self, mut bytes: &[u8]) -> Result<(), DecodeError> {
        self.count += take(&mut bytes)?;
        self.sum = self.sum.saturating_add(take(&mut bytes)?);
        self.max = self.max.max(take(&mut bytes)?);
        if self.buckets.is_empty() {
            self.buckets.reserve_exact(bytes.len() / 2);
        }
        self.count_all(Buckets { bytes, last: 0 })
    }

    /// Counts buckets, which come by their index. What has counted a great deal has nearly all of them already: those are
    /// raised in passing.
    fn count_all(&mut self, buckets: impl Iterator<Item = Result<(u16, u32), DecodeError>>) -> Result<(), DecodeError> {
        let (mut at, known) = (0, self.buckets.len());
        for bucket in buckets {
            let (index, by) = bucket?;
            while at < known && self.buckets[at].0 < index {
                at += 1;
            }
            if at < known && self.buckets[at].0 == index {
                self.buckets[at].1 = self.buckets[at].1.saturating_add(by);
            } else {
                self.buckets.push((index, by));
            }
        }
        if known > 0 && self.buckets.len() > known {
            // Two runs, each of them in order: the stable sort merges them.
            self.buckets.sort_by_key(|(index, _)| *index);
        }
        Ok(())
    }

    /// How many values it has counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum; at most `u64::MAX`.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The largest, exactly.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The value below which the share `q` (0 to 1) of all values lies, within 1.6 %; `None` without values.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank between 1 and a count far below 2^52"
        )]
        let rank = (q.clamp(0.0, 1.0) * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in &self.buckets {
            seen += u64::from(*count);
            if seen >= rank {
                return Some(middle(*index).min(self.max));
            }
        }
        Some(self.max)
    }

    /// Counts of the values up to each of `bounds`, which rise; what a bucket straddles counts by its middle.
    pub fn cumulative(&self, bounds: &[u64]) -> Vec<u64> {
        let mut buckets = self.buckets.iter().peekable();
        let mut seen = 0;
        bounds
            .iter()
            .map(|bound| {
                while let Some((_, count)) = buckets.next_if(|(index, _)| middle(*index) <= *bound) {
                    seen += u64::from(*count);
                }
                seen
            })
            .collect()
    }

    /// The sketch as bytes: count, sum, maximum, then each bucket as distance from the last and count, all LEB128.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(12 + 3 * self.buckets.len());
        for number in [self.count, self.sum, self.max] {
            put(&mut out, number);
        }
        let mut last = 0;
        for (index, count) in &self.buckets {
            put(&mut out, u64::from(index - last));
            put(&mut out, u64::from(*count));
            last = *index;
        }
        out
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// These are other bytes.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut sketch =
            Self { count: take(&mut bytes)?, sum: take(&mut bytes)?, max: take(&mut bytes)?, buckets: Vec::new() };
        sketch.buckets.reserve_exact(bytes.len() / 2);
        for bucket in (Buckets { bytes, last: 0 }) {
            sketch.buckets.push(bucket?);
        }
        Ok(sketch)
    }
}

/// Buckets as they are encoded.
struct Buckets<'a> {
    bytes: &'a [u8],
    last: u16,
}

impl Buckets<'_> {
    fn read(&mut self) -> Result<(u16, u32), DecodeError> {
        let (distance, count) = (take(&mut self.bytes)?, take(&mut self.bytes)?);
        let distance = u16::try_from(distance).map_err(|_| DecodeError)?;
        self.last = self.last.checked_add(distance).ok_or(DecodeError)?;
        Ok((self.last, u32::try_from(count).map_err(|_| DecodeError)?))
    }
}

impl Iterator for Buckets<'_> {
    type Item = Result<(u16, u32), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.bytes.is_empty()).then(|| self.read())
    }
}

/// The bucket of a value.
fn index(value: u64) -> u16 {
    if value < PER_OCTAVE {
        return u16::try_from(value).expect("below 32");
    }
    let octave = value.ilog2() - BITS;
    let within = (value >> octave) & (PER_OCTAVE - 1);
    u16::try_from((u64::from(octave) + 1) * PER_OCTAVE + within).expect("at most 60 octaves of 32")
}

/// The value in the middle of a bucket.
fn middle(index: u16) -> u64 {
    let index = u64::from(index);
    if index < PER_OCTAVE {
        return index;
    }
    let (octave, within) = (index / PER_OCTAVE - 1, index % PER_OCTAVE);
    let low = (PER_OCTAVE + within) << octave;
    low + (1 << octave) / 2
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).expect("seven bits"));
}

fn take(bytes: &mut &[u8]) -> Result<u64, DecodeError> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(DecodeError)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(DecodeError)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Sketch {
        let mut sketch = Sketch::default();
        for value in values {
            sketch.add(*value);
        }
        sketch
    }

    proptest! {
        #[test]
        fn a_percentile_is_within_its_promise(mut values in prop::collection::vec(0_u64..10_000_000_000, 1..400), q in 0.0..1.0_f64) {
            let sketch = of(&values);
            values.sort_unstable();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "small numbers")]
            let rank = ((q * values.len() as f64).ceil().max(1.0) as usize) - 1;
            let (exact, found) = (values[rank], sketch.quantile(q).unwrap());
            prop_assert!(found.abs_diff(exact) * 1000 <= exact * 16 + 1000, "{found} for {exact}");
        }

        #[test]
        fn merging_is_counting_together(a in prop::collection::vec(any::<u32>(), 0..100), b in prop::collection::vec(any::<u32>(), 0..100)) {
            let (a, b): (Vec<u64>, Vec<u64>) = (a.into_iter().map(u64::from).collect(), b.into_iter().map(u64::from).collect());
            let mut merged = of(&a);
            merged.merge(&of(&b));
            prop_assert_eq!(&merged, &of(&[&a[..], &b].concat()));
            let mut encoded = of(&a);
            prop_assert_eq!(encoded.merge_encoded(&of(&b).encode()), Ok(()));
            prop_assert_eq!(&encoded, &merged);
            prop_assert_eq!(Sketch::decode(&merged.encode()), Ok(merged));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let whole = Sketch::decode(&bytes);
            let mut merged = Sketch::default();
            prop_assert_eq!(merged.merge_encoded(&bytes).map(|()| merged), whole);
        }
    }

    #[test]
    fn the_largest_values_have_a_bucket() {
        let sketch = of(&[u64::MAX, 0]);
        assert_eq!((sketch.count(), sketch.max(), sketch.quantile(0.0)), (2, u64::MAX, Some(0)));
    }

    #[test]
    fn a_minute_of_like_calls_is_small() {
        let sketch = of(&(0..6000).map(|n| 900 + n % 200).collect::<Vec<_>>());
        assert!(sketch.encode().len() < 64, "{} bytes", sketch.encode().len());
    }

    #[test]
    fn counts_up_to_bounds_rise_to_all() {
        assert_eq!(of(&[1, 2, 3, 10, 20]).cumulative(&[0, 2, 10, 100]), [0, 2, 4, 5]);
    }
}
