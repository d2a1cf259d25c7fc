//! Sums put together as they were asked for.

use std::collections::BTreeMap;

use crate::question::{Figure, Numbers, Sum};

/// The groups of one slot, in order.
type Groups = Vec<([Box<str>; 2], Sum)>;

/// Figures that cells are added to, in whatever order.
pub(crate) struct Figures<'n> {
    numbers: &'n Numbers,
    /// By when they begin.
    slots: BTreeMap<u64, Groups>,
}

impl<'n> Figures<'n> {
    pub(crate) fn new(numbers: &'n Numbers) -> Self {
        Self { numbers, slots: BTreeMap::new() }
    }

    /// What a cell of this slot and group adds to; `None` if it lies outside of what is asked for.
    pub(crate) fn of(&mut self, slot: u64, group: [&str; 2]) -> Option<&mut Sum> {
        let Numbers { range, width, over_time, .. } = self.numbers;
        let from_us = slot * width.us();
        if from_us.saturating_add(width.us()) <= range.from_us || from_us >= range.to_us {
            return None;
        }
        let groups = self.slots.entry(if *over_time { from_us } else { range.from_us }).or_default();
        let found = groups.binary_search_by(|(known, _)| [&*known[0], &*known[1]].cmp(&group));
        let at = found.unwrap_or_else(|at| {
            groups.insert(at, (group.map(Into::into), Sum::default()));
            at
        });
        Some(&mut groups[at].1)
    }

    /// All of them, in the order of time.
    pub(crate) fn all(self) -> Vec<Figure> {
        let slots = self.slots.into_iter();
        slots
            .flat_map(|(from_us, groups)| groups.into_iter().map(move |(group, sum)| Figure { from_us, group, sum }))
            .collect()
    }
}
