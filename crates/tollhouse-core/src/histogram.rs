//! How often a measured value fell into which range, for those who count what happens.
//!
//! Bounds are fixed when it is made, so that two histograms can be added and drawn over each other. Each range may keep
//! one example, the trace of a call that fell into it.

mod exponential;

pub use exponential::Exponential;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// Seconds of a call, as the conventions for generative AI cut them.
pub const CALL: [f64; 14] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// Seconds of what lives longer than a call.
pub const LONG: [f64; 20] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0,
    14_400.0, 86_400.0,
];
/// Seconds of what should take microseconds.
pub const FINE: [f64; 16] =
    [5e-6, 10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 1.0];
/// Bytes, by powers of four.
pub const BYTES: [f64; 9] =
    [256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0];
/// Calls of a session.
pub const CALLS: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];

/// Values counted by range.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    counted: Mutex<Counted>,
}

/// What a histogram has counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Counted {
    /// Upper bounds of the ranges but the last, which has none.
    pub bounds: &'static [f64],
    /// By range, each up to and including its bound; the last is of what lies above all bounds.
    pub counts: Vec<u64>,
    /// Of all values.
    pub sum: f64,
    /// By range as `counts`, where there are any; empty if there never was one.
    pub examples: Vec<Option<Example>>,
    /// The same values in ranges that grow by a factor, where that is counted too.
    pub exponential: Option<Exponential>,
}

/// A value that fell into a range, and where more is known of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Example {
    /// The value.
    pub value: f64,
    /// The trace it was measured in.
    pub trace_id: [u8; 16],
    /// The span in it; zero if there is none.
    pub span_id: [u8; 8],
    /// When.
    pub at: SystemTime,
}

impl Counted {
    /// Nothing counted.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0, examples: Vec::new(), exponential: None }
    }

    /// Adds what `other` has counted, which has these bounds and perhaps more; its values are `scale` times ours.
    pub fn add(&mut self, other: &Self, scale: f64) {
        for (range, count) in other.counts.iter().enumerate() {
            // The range of ours that this one lies in.
            let into = match other.bounds.get(range) {
                Some(bound) => self.bounds.partition_point(|ours| *ours < bound * scale * (1.0 - f64::EPSILON * 4.0)),
                None => self.bounds.len(),
            };
            self.counts[into] += count;
            if let Some(Some(example)) = other.examples.get(range) {
                if self.examples.is_empty() {
                    self.examples = vec![None; self.bounds.len() + 1];
                }
                self.examples[into] = Some(Example { value: example.value * scale, ..*example });
            }
        }
        self.sum += other.sum * scale;
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What was counted since it was `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut since = self.clone();
        for (now, before) in since.counts.iter_mut().zip(&before.counts) {
            *now = now.saturating_sub(*before);
        }
        since.sum -= before.sum;
        for (now, before) in since.examples.iter_mut().zip(&before.examples) {
            if now == before {
                *now = None;
            }
        }
        if let (Some(now), Some(before)) = (&self.exponential, &before.exponential) {
            since.exponential = Some(now.since(before));
        }
        since
    }
}

/// Where a value was measured, for an [`Example`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span in it.
    pub span_id: [u8; 8],
    /// When.
    pub at: SystemTime,
}

impl Histogram {
    /// Nothing counted yet. `bounds` rise.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counted: Mutex::new(Counted::new(bounds)) }
    }

    /// The same, which counts in ranges that grow by a factor as well.
    pub fn exponential(bounds: &'static [f64]) -> Self {
        let counted = Counted { exponential: Some(Exponential::default()), ..Counted::new(bounds) };
        Self { bounds, counted: Mutex::new(counted) }
    }

    /// The upper bounds of its ranges but the last, which has none.
    pub fn bounds(&self) -> &'static [f64] {
        self.bounds
    }

    /// Counts one value.
    pub fn observe(&self, value: f64) {
        self.observe_in(value, None);
    }

    /// Counts one value, with where it was measured.
    pub fn observe_in(&self, value: f64, place: Option<Place>) {
        let range = self.bounds.partition_point(|bound| *bound < value);
        let mut counted = self.lock();
        counted.counts[range] += 1;
        counted.sum += value;
        if let Some(exponential) = &mut counted.exponential {
            exponential.add(value);
        }
        if let Some(Place { trace_id, span_id, at }) = place {
            if counted.examples.is_empty() {
                counted.examples = vec![None; self.bounds.len() + 1];
            }
            counted.examples[range] = Some(Example { value, trace_id, span_id, at });
        }
    }

    /// What was counted so far.
    pub fn counted(&self) -> Counted {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Histograms with the same bounds, told apart by a key out of few: they stand in a row.
#[derive(Debug)]
pub struct ByKey<K> {
    bounds: &'static [f64],
    rows: Mutex<Vec<(K, Histogram)>>,
}

impl<K: Copy + PartialEq> ByKey<K> {
    /// Nothing counted yet.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, rows: Mutex::default() }
    }

    /// Counts one value.
    pub fn observe(&self, key: K, value: f64) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, histogram)) = rows.iter().find(|(of, _)| *of == key) {
            return histogram.observe(value);
        }
        let histogram = Histogram::new(self.bounds);
        histogram.observe(value);
        rows.push((key, histogram));
    }

    /// What was counted so far.
    pub fn counted(&self) -> Vec<(K, Counted)> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.iter().map(|(key, histogram)| (*key, histogram.counted())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(id: u8) -> Place {
        Place { trace_id: [id; 16], span_id: [id; 8], at: SystemTime::UNIX_EPOCH }
    }

    #[test]
    fn a_value_on_a_bound_belongs_below_it() {
        let histogram = Histogram::new(&[1.0, 2.0]);
        for value in [0.5, 1.0, 1.5, 2.0, 9.0] {
            histogram.observe(value);
        }
        let counted = histogram.counted();
        assert_eq!((counted.counts.as_slice(), counted.count(), counted.examples.len()), (&[2, 2, 1][..], 5, 0));
        assert!((counted.sum - 14.0).abs() < 1e-9);
    }

    #[test]
    fn ranges_are_added_into_those_they_lie_in() {
        let fine = Histogram::new(&[0.01, 0.02, 0.1]);
        for value in [0.005, 0.02, 0.05, 7.0] {
            fine.observe_in(value, Some(place(1)));
        }
        let mut coarse = Counted::new(&[10.0, 100.0]);
        coarse.add(&fine.counted(), 1000.0);
        coarse.add(&fine.counted(), 1000.0);
        assert_eq!(coarse.counts, [2, 4, 2]);
        assert!((coarse.sum - 2.0 * 7075.0).abs() < 1e-6);
        assert!((coarse.examples[1].unwrap().value - 50.0).abs() < 1e-9);
    }

    #[test]
    fn each_range_keeps_its_newest_example() {
        let histogram = Histogram::new(&[1.0]);
        for (value, id) in [(0.1, 1), (5.0, 2), (0.2, 3)] {
            histogram.observe_in(value, Some(place(id)));
        }
        histogram.observe(0.3);
        let ids: Vec<_> = histogram.counted().examples.iter().map(|example| example.map(|e| e.trace_id[0])).collect();
        assert_eq!(ids, [Some(3), Some(2)]);
    }
}
