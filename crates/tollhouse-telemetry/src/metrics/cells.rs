//! Cells that count, by label set; a handle is kept by whoever feeds one, so that counting looks nothing up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tollhouse_core::histogram::Histogram;

use super::snapshot::{Series, Value};
use super::word::Word;
use crate::catalogue::{Id, Metric};

/// Label sets of one metric; what comes beyond is counted under a set of its own.
pub(super) const SETS_MAX: usize = 2000;
/// The label of that set (OpenTelemetry's specification of metrics, cardinality limits).
const OVERFLOW: (&str, &str) = ("otel.metric.overflow", "true");

/// Values of the labels of a metric, in the order of its row; `None` where one says nothing.
pub(super) type Labels = Vec<Option<Word>>;

/// What counts.
pub(super) trait Cell {
    fn new(bounds: &'static [f64], exponential: bool) -> Self;
    fn value(&self) -> Value;
}

impl Cell for Histogram {
    fn new(bounds: &'static [f64], exponential: bool) -> Self {
        if exponential { Self::exponential(bounds) } else { Self::new(bounds) }
    }

    fn value(&self) -> Value {
        Value::Ranges(self.counted())
    }
}

/// A counter.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }
}

impl Cell for Counter {
    fn new(_: &'static [f64], _: bool) -> Self {
        Self::default()
    }

    fn value(&self) -> Value {
        Value::Number(number(self.0.load(Ordering::Relaxed)))
    }
}

/// The cells of one metric.
#[derive(Debug)]
pub(super) struct Cells<C> {
    metric: &'static Metric,
    bounds: &'static [f64],
    exponential: bool,
    by_labels: Mutex<BTreeMap<Labels, Arc<C>>>,
    overflow: Mutex<Option<Arc<C>>>,
}

impl<C: Cell> Cells<C> {
    pub(super) fn new(id: Id) -> Self {
        Self {
            metric: id.metric(),
            bounds: id.metric().bounds,
            exponential: false,
            by_labels: Mutex::default(),
            overflow: Mutex::default(),
        }
    }

    /// The same with bounds of which those of the row are a part.
    pub(super) fn within(self, bounds: &'static [f64]) -> Self {
        Self { bounds, ..self }
    }

    /// The same, which count in ranges that grow by a factor as well.
    pub(super) fn exponential(self, exponential: bool) -> Self {
        Self { exponential, ..self }
    }

    /// The cell of these labels.
    pub(super) fn of(&self, labels: Labels) -> Arc<C> {
        debug_assert_eq!(labels.len(), self.metric.labels.len(), "{}", self.metric.name);
        let mut cells = lock(&self.by_labels);
        if let Some(cell) = cells.get(&labels) {
            return cell.clone();
        }
        if cells.len() >= SETS_MAX {
            drop(cells);
            return lock(&self.overflow).get_or_insert_with(|| Arc::new(C::new(self.bounds, self.exponential))).clone();
        }
        let cell = Arc::new(C::new(self.bounds, self.exponential));
        cells.insert(labels, cell.clone());
        cell
    }

    /// Forgets the cells whose labels `gone` names. Handles count on, but nobody sees it.
    pub(super) fn forget(&self, gone: impl Fn(&Labels) -> bool) {
        lock(&self.by_labels).retain(|labels, _| !gone(labels));
    }

    /// What was counted, in the order of the labels.
    pub(super) fn series(&self) -> Vec<Series> {
        let named = |labels: &Labels| {
            let named = self.metric.labels.iter().zip(labels);
            named.filter_map(|(label, word)| Some((label.name, word.clone()?))).collect()
        };
        let cells = lock(&self.by_labels);
        let mut series: Vec<_> =
            cells.iter().map(|(labels, cell)| Series { labels: named(labels), value: cell.value() }).collect();
        drop(cells);
        if let Some(cell) = &*lock(&self.overflow) {
            series.push(Series { labels: vec![(OVERFLOW.0, OVERFLOW.1.into())], value: cell.value() });
        }
        series
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A count as the number that is told: exact up to 2^53, which no counter of a program reaches.
#[expect(clippy::cast_precision_loss, reason = "see above")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}
