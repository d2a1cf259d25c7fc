//! Everything that is counted, at one moment: what text, aliases and export are made from.

use tollhouse_core::histogram::Counted;

use super::word::Word;
use crate::catalogue::Metric;

/// All metrics at one moment, in the order of the catalogue. One without a series is not in it.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Each with its series.
    pub families: Vec<Family>,
}

/// One metric and its series.
#[derive(Debug, Clone)]
pub struct Family {
    /// Its row.
    pub metric: &'static Metric,
    /// In the order of their labels.
    pub series: Vec<Series>,
}

/// One set of labels and what was counted under it.
#[derive(Debug, Clone)]
pub struct Series {
    /// Names with dots and values; a label that says nothing here is not in it.
    pub labels: Vec<(&'static str, Word)>,
    /// What was counted.
    pub value: Value,
}

/// What was counted.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number.
    Number(f64),
    /// Numbers by range.
    Ranges(Counted),
}

impl Series {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(found, _)| *found == name).map(|(_, word)| word.as_str())
    }
}
