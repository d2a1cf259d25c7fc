//! Everything that is counted, at one moment: what text, aliases and export are made from.

use tollhouse_core::histogram::Counted;

use super::word::Word;
use crate::catalogue::{Id, Kind, Metric};

/// All metrics at one moment, in the order of the catalogue. One without a series is not in it.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Each with its series.
    pub families: Vec<Family>,
}

/// One metric and its series.
#[derive(Debug, Clone)]
pub struct Family {
    /// What it is.
    pub head: Head,
    /// In the order of their labels.
    pub series: Vec<Series>,
}

/// What a metric is, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its row; `None` for another name of one.
    pub id: Option<Id>,
    /// The name of OpenTelemetry.
    pub name: String,
    /// The name a Prometheus knows it by.
    pub family: String,
    /// That of its series.
    pub series: String,
    /// What kind it is.
    pub kind: Kind,
    /// The word for that in OpenMetrics.
    pub exposed_kind: &'static str,
    /// The unit, as UCUM writes it.
    pub unit: &'static str,
    /// As it stands in the name, if it does.
    pub exposed_unit: Option<&'static str>,
    /// What it counts.
    pub help: &'static str,
}

impl Head {
    /// That of a row.
    pub fn of(metric: &'static Metric) -> Self {
        Self {
            id: Some(metric.id),
            name: metric.name.to_owned(),
            family: metric.family(),
            series: metric.series(),
            kind: metric.kind,
            exposed_kind: metric.exposed_kind(),
            unit: metric.unit,
            exposed_unit: metric.exposed_unit(),
            help: metric.help,
        }
    }
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
