//! How things stand when they are asked for: what others have counted, and what no event tells.

use std::collections::HashSet;

use tollhouse_core::histogram::Counted;

use super::cells::{Labels, number};
use super::snapshot::{Series, Value};
use super::word::Word;
use crate::catalogue::{Id, Kind};

/// Readings of one moment.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    readings: Vec<(Id, Labels, Value)>,
}

impl Standing {
    /// A number, under the labels of its row in their order.
    pub fn number<const N: usize>(&mut self, id: Id, labels: [Option<Word>; N], value: f64) {
        self.put(id, labels.into(), Value::Number(value));
    }

    /// A count, likewise.
    pub fn count<const N: usize>(&mut self, id: Id, labels: [Option<Word>; N], count: u64) {
        self.put(id, labels.into(), Value::Number(number(count)));
    }

    /// What a histogram has counted, likewise; it has the ranges of its row.
    pub fn ranges<const N: usize>(&mut self, id: Id, labels: [Option<Word>; N], counted: Counted) {
        debug_assert_eq!(counted.counts.len(), id.metric().bounds.len() + 1, "{id:?}");
        self.put(id, labels.into(), Value::Ranges(counted));
    }

    fn put(&mut self, id: Id, labels: Labels, value: Value) {
        debug_assert_eq!(labels.len(), id.metric().labels.len(), "{id:?}");
        debug_assert_eq!(matches!(value, Value::Ranges(_)), id.metric().kind == Kind::Histogram, "{id:?}");
        self.readings.push((id, labels, value));
    }

    /// The servers there are.
    pub(super) fn servers(&self) -> HashSet<String> {
        let of = |(id, labels, _): &(Id, Labels, Value)| {
            (*id == Id::ServerState).then(|| labels[0].as_ref().map(|server| server.as_str().to_owned())).flatten()
        };
        self.readings.iter().filter_map(of).collect()
    }

    /// The series of one metric, in the order of their labels.
    pub(super) fn series(&self, id: Id) -> Vec<Series> {
        let mut found: Vec<_> = self.readings.iter().filter(|(of, ..)| *of == id).collect();
        found.sort_by(|(_, one, _), (_, other, _)| one.cmp(other));
        let series = found.into_iter().map(|(id, labels, value)| {
            let named = id.metric().labels.iter().zip(labels);
            let labels = named.filter_map(|(label, word)| Some((label.name, word.clone()?))).collect();
            Series { labels, value: value.clone() }
        });
        series.collect()
    }
}
