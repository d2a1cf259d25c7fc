//! A range of time in equal slots, as charts over time show it.
//!
//! Slots are as long as it takes for about a hundred of them, and begin where those of the kept sums do, so that no call has to be looked at.

use tollhouse_store::question::{By, Numbers, Range, Times, Width};

use super::text::rfc3339;

/// Slots of a chart, at most.
const SLOTS: u64 = 90;
/// What "all" shows.
const ALL_US: u64 = SLOTS * Width::Day.us();

/// Lengths of slots, in units of the width they are made of.
const LENGTHS: [(Width, u64); 10] = [
    (Width::Minute, 1),
    (Width::Minute, 2),
    (Width::Minute, 5),
    (Width::Quarter, 1),
    (Width::Quarter, 2),
    (Width::Quarter, 4),
    (Width::Quarter, 8),
    (Width::Quarter, 24),
    (Width::Day, 1),
    (Width::Day, 7),
];

/// A range of time, cut up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slots {
    width: Width,
    step_us: u64,
    from_us: u64,
    count: usize,
}

impl Slots {
    /// Cuts `range`, which goes to `now_us` at most.
    pub(super) fn of(range: Range, now_us: u64) -> Self {
        let to_us = range.to_us.min(now_us.saturating_add(1));
        let from_us = if range.from_us == 0 { to_us.saturating_sub(ALL_US) } else { range.from_us.min(to_us) };
        let long_us = to_us - from_us;
        let length = |(width, count): (Width, u64)| (width, width.us() * count);
        let fits = |(_, step_us): &(Width, u64)| long_us / step_us <= SLOTS;
        let longest = (Width::Day, (long_us / SLOTS).div_ceil(Width::Day.us()).max(1) * Width::Day.us());
        let (width, step_us) = LENGTHS.map(length).into_iter().find(fits).unwrap_or(longest);
        let from_us = from_us / step_us * step_us;
        let count = usize::try_from((to_us - from_us).div_ceil(step_us)).unwrap_or(1).max(1);
        Self { width, step_us, from_us, count }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// What to ask the store for; of the times those of whole calls.
    pub(super) fn numbers(&self, by: By, server: Option<String>, over_time: bool) -> Numbers {
        let to_us = self.from_us + self.step_us * self.count as u64;
        let range = Range { from_us: self.from_us, to_us };
        Numbers { range, width: self.width, by, server, over_time, times: Times::Total }
    }

    /// Which slot a moment lies in.
    pub(super) fn place(&self, at_us: u64) -> Option<usize> {
        let nth = usize::try_from(at_us.checked_sub(self.from_us)? / self.step_us).ok()?;
        (nth < self.count).then_some(nth)
    }

    /// When a slot begins and ends, as it stands in an address.
    pub(super) fn ends(&self, nth: usize) -> [String; 2] {
        [nth, nth + 1].map(|nth| rfc3339(self.from_us + self.step_us * nth as u64).replace(".000Z", "Z"))
    }

    /// All slots together, in minutes.
    pub(super) fn minutes(&self) -> u64 {
        self.step_us * self.count as u64 / Width::Minute.us()
    }

    /// When a slot begins, in words as short as the length of slots allows.
    pub(super) fn when(&self, nth: usize) -> String {
        let text = rfc3339(self.from_us + self.step_us * nth as u64);
        let part = if self.step_us >= Width::Day.us() {
            text.get(..10)
        } else if self.step_us * self.count as u64 > Width::Day.us() {
            text.get(5..16)
        } else {
            text.get(11..16)
        };
        part.unwrap_or(&text).replace('T', " ")
    }

    /// The first moment, the middle and the last, for below a chart.
    pub(super) fn marks(&self) -> [String; 3] {
        [0, self.count / 2, self.count - 1].map(|nth| self.when(nth))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_790_000_000_000_000;

    fn of(minutes: u64) -> Slots {
        Slots::of(Range { from_us: NOW - minutes * 60_000_000, to_us: u64::MAX }, NOW)
    }

    #[test]
    fn every_range_that_is_offered_has_some_slots_and_not_too_many() {
        for minutes in [5, 15, 60, 360, 1440, 7 * 1440, 30 * 1440] {
            let slots = of(minutes);
            assert!((5..=92).contains(&slots.count()), "{minutes} min: {slots:?}");
            assert_eq!(slots.from_us % slots.width.us(), 0);
            assert_eq!((slots.place(NOW), slots.place(NOW - minutes * 60_000_000)), (Some(slots.count - 1), Some(0)));
        }
        let all = Slots::of(Range::ALL, NOW);
        assert!(all.count() <= 92 && all.place(0).is_none());
    }

    #[test]
    fn moments_are_as_short_as_they_can_be() {
        assert_eq!(of(60).when(0).len(), "09:00".len());
        assert_eq!(of(7 * 1440).when(0).len(), "11-20 09:00".len());
        assert_eq!(of(30 * 1440).when(0).len(), "2026-11-20".len());
    }
}
