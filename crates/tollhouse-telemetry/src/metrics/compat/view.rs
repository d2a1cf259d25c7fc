//! What was counted, as another name tells it.

use std::collections::BTreeMap;

use tollhouse_core::histogram::Counted;

use super::{Alias, As, If, To};
use crate::catalogue::Kind;
use crate::metrics::snapshot::{Family, Head, Series, Value};
use crate::metrics::word::Word;

/// The family under its other name; `None` if nothing was counted.
pub(super) fn of(alias: &Alias, from: Option<&Family>) -> Option<Family> {
    let mut sums: BTreeMap<Vec<(&'static str, Word)>, Value> = BTreeMap::new();
    for series in from.iter().flat_map(|family| &family.series) {
        if !alias.only.iter().all(|condition| condition.holds(series)) {
            continue;
        }
        let Some(labels) = labels(alias, series) else { continue };
        match alias.kind {
            As::Histogram { scale, bounds, .. } => {
                let Value::Ranges(counted) = &series.value else { continue };
                let sum = sums.entry(labels).or_insert_with(|| Value::Ranges(Counted::new(bounds)));
                if let Value::Ranges(sum) = sum {
                    sum.add(counted, scale);
                }
            }
            As::Counter | As::Unknown | As::Gauge | As::Info => {
                let sum = sums.entry(labels).or_insert(Value::Number(0.0));
                if let Value::Number(sum) = sum {
                    *sum += series.value.total();
                }
            }
        }
    }
    // A sum over nothing is nothing, not unknown.
    if alias.kind == As::Gauge && alias.labels.is_empty() {
        sums.entry(Vec::new()).or_insert(Value::Number(0.0));
    }
    let series: Vec<_> = sums.into_iter().map(|(labels, value)| Series { labels, value }).collect();
    (!series.is_empty()).then(|| Family { head: alias.head(), series })
}

fn labels(alias: &Alias, series: &Series) -> Option<Vec<(&'static str, Word)>> {
    let mut labels = Vec::with_capacity(alias.labels.len());
    for to in alias.labels {
        match to {
            To::Copy(from, to) => {
                let found = series.labels.iter().find(|(name, _)| name == from);
                labels.extend(found.map(|(_, word)| (*to, word.clone())));
            }
            To::Fixed(to, word) => labels.push((*to, Word::Ours(word))),
            To::Cases(to, cases) => {
                let case = cases.iter().find(|(conditions, _)| conditions.iter().all(|of| of.holds(series)))?;
                labels.push((*to, Word::Ours(case.1)));
            }
        }
    }
    Some(labels)
}

impl If {
    fn holds(&self, series: &Series) -> bool {
        match self {
            Self::Is(label, words) => words.contains(&series.label(label).unwrap_or_default()),
            Self::Not(label, words) => !words.contains(&series.label(label).unwrap_or_default()),
        }
    }
}

impl Alias {
    fn head(&self) -> Head {
        let (kind, exposed_kind, unit, exposed_unit) = match self.kind {
            As::Counter => (Kind::Counter, "counter", "", None),
            As::Unknown => (Kind::Counter, "unknown", "", None),
            As::Gauge => (Kind::Gauge, "gauge", "", None),
            As::Info => (Kind::Info, "info", "", None),
            As::Histogram { unit: Some("seconds"), .. } => (Kind::Histogram, "histogram", "s", Some("seconds")),
            As::Histogram { unit: Some(_), .. } => (Kind::Histogram, "histogram", "ms", Some("milliseconds")),
            As::Histogram { unit: None, .. } => (Kind::Histogram, "histogram", "", None),
        };
        let suffix = match self.kind {
            As::Counter => "_total",
            As::Info => "_info",
            As::Unknown | As::Gauge | As::Histogram { .. } => "",
        };
        let family = self.series.strip_suffix(suffix).unwrap_or(self.series).to_owned();
        Head {
            id: None,
            name: self.name.to_owned(),
            family,
            series: self.series.to_owned(),
            kind,
            exposed_kind,
            unit,
            exposed_unit,
            help: self.help,
        }
    }
}
