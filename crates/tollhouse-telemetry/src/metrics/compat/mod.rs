//! Other names for what is counted: those of earlier documents and tools, for dashboards and alerts that know them.
//!
//! A name is another view of the same cells: labels renamed, seconds told as milliseconds where the name wants that.
//! Nothing is counted twice. The same views exist as recording rules for a Prometheus (`deploy/prometheus/compat-*.yml`),
//! made from the same table, which cost the gateway nothing; use one of both.
//!
//! ```yaml
//! telemetry: { compat: [gateway, tools] }
//! ```

mod rules;
mod table;
mod view;

#[cfg(test)]
mod tests;

pub use rules::rules;

use super::snapshot::Family;
use table::ALIASES;
use tollhouse_core::histogram::CALL;

use crate::catalogue::Id;
use crate::compat::Set;

/// How a metric is told under another name.
#[derive(Debug)]
struct Alias {
    set: Set,
    /// The name of OpenTelemetry, or that of Prometheus where there is no other.
    name: &'static str,
    /// The name of its series.
    series: &'static str,
    kind: As,
    from: Id,
    /// Of which series.
    only: &'static [If],
    labels: &'static [To],
    help: &'static str,
}

/// What the other name tells.
#[derive(Debug, Clone, Copy, PartialEq)]
enum As {
    /// The numbers, or how many values there were.
    Counter,
    /// The same under a name that no counter should have: without `_total`.
    Unknown,
    Gauge,
    Info,
    /// The ranges, their values times `scale`.
    Histogram {
        scale: f64,
        bounds: &'static [f64],
        unit: Option<&'static str>,
    },
}

/// A condition on a label, which is empty where it says nothing.
#[derive(Debug, Clone, Copy)]
enum If {
    Is(&'static str, &'static [&'static str]),
    Not(&'static str, &'static [&'static str]),
}

/// A label under the other name.
#[derive(Debug)]
enum To {
    /// As it is.
    Copy(&'static str, &'static str),
    /// The same everywhere.
    Fixed(&'static str, &'static str),
    /// The word of the case that holds; cases exclude each other. Where none holds, there is no series.
    Cases(&'static str, &'static [(&'static [If], &'static str)]),
}

/// Milliseconds of a call.
const CALL_MS: [f64; 14] =
    [10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0, 30_000.0, 60_000.0, 120_000.0, 300_000.0];
/// The ranges of a call and those that the set `tools` has besides.
const CALL_WIDE: [f64; 17] =
    [0.01, 0.02, 0.025, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// The same in milliseconds.
const CALL_WIDE_MS: [f64; 17] = [
    10.0, 20.0, 25.0, 50.0, 100.0, 200.0, 250.0, 500.0, 1000.0, 2000.0, 2500.0, 5000.0, 10_000.0, 30_000.0, 60_000.0,
    120_000.0, 300_000.0,
];

/// In which ranges calls must be counted for these sets.
pub(super) fn bounds(sets: &[Set]) -> &'static [f64] {
    if sets.contains(&Set::Tools) { &CALL_WIDE } else { &CALL }
}

/// Adds the other names of these sets.
pub(super) fn add(families: &mut Vec<Family>, sets: &[Set]) {
    let mut more: Vec<Family> = Vec::new();
    for alias in ALIASES.iter().filter(|alias| sets.contains(&alias.set)) {
        let from = families.iter().find(|family| family.head.id == Some(alias.from));
        let Some(family) = view::of(alias, from) else { continue };
        // One name may be told of several metrics.
        match more.iter_mut().find(|other| other.head.series == family.head.series) {
            Some(other) => other.series.extend(family.series),
            None => more.push(family),
        }
    }
    families.extend(more);
}
