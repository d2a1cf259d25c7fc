//! Metrics as messages of OTLP, made from the same [`Snapshot`] as the text.
//!
//! A counter is a monotonic sum, what rises and falls a sum that is not, a gauge a gauge. `target_info` is not among them:
//! here the resource says it.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::any_value::Value as Text;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, Sum, exemplar, number_data_point,
};
use tollhouse_core::histogram::{Counted, Example, Exponential};

use super::snapshot::{Family, Series, Snapshot, Value};
use super::word::Word;
use crate::catalogue::{Id, Kind};
use crate::otlp::Items;

/// Since when what is told was counted (`OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Temporality {
    /// Since the start.
    #[default]
    Cumulative,
    /// Counters and histograms since they were last told.
    Delta,
    /// The same, but counters that others keep since the start: what is cheapest to make.
    LowMemory,
}

/// Makes messages of one snapshot after the other.
#[derive(Debug)]
pub struct Encoder {
    temporality: Temporality,
    /// Histograms that have ranges that grow by a factor are told by these.
    exponential: bool,
    started: SystemTime,
    /// When it was last told, and what.
    last: Option<(SystemTime, Told)>,
}

/// By name and labels.
type Told = BTreeMap<(String, Vec<(&'static str, Word)>), Value>;

/// From when to when.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u64,
    end: u64,
    temporality: AggregationTemporality,
}

impl Encoder {
    /// Nothing was told yet; counting began at `started`.
    pub fn new(temporality: Temporality, exponential: bool, started: SystemTime) -> Self {
        Self { temporality, exponential, started, last: None }
    }

    /// Everything, as it goes into a request.
    pub fn items(&mut self, snapshot: &Snapshot, now: SystemTime) -> Items {
        let mut items = Items::new(false);
        for metric in self.metrics(snapshot, now) {
            items.push(&metric);
        }
        items
    }

    /// Everything, as messages.
    pub fn metrics(&mut self, snapshot: &Snapshot, now: SystemTime) -> Vec<Metric> {
        let last = self.last.take();
        let mut told = Told::new();
        let mut metrics = Vec::with_capacity(snapshot.families.len());
        for family in &snapshot.families {
            if family.head.id == Some(Id::Target) {
                continue;
            }
            let delta = self.is_delta(family);
            let span = Span {
                start: nanos(last.as_ref().filter(|_| delta).map_or(self.started, |(at, _)| *at)),
                end: nanos(now),
                temporality: if delta { AggregationTemporality::Delta } else { AggregationTemporality::Cumulative },
            };
            if !delta {
                metrics.push(self.metric(family, family.series.clone(), span));
                continue;
            }
            let mut series = Vec::with_capacity(family.series.len());
            for one in &family.series {
                let key = (family.head.name.clone(), one.labels.clone());
                let before = last.as_ref().and_then(|(_, told)| told.get(&key));
                series.push(Series { labels: one.labels.clone(), value: since(&one.value, before) });
                told.insert(key, one.value.clone());
            }
            metrics.push(self.metric(family, series, span));
        }
        if self.temporality != Temporality::Cumulative {
            self.last = Some((now, told));
        }
        metrics
    }

    fn is_delta(&self, family: &Family) -> bool {
        // What is read from elsewhere when it is asked for: in the words of the specification, asynchronous.
        let read = family.head.id.is_some_and(|id| id.metric().name.starts_with("process."));
        match (family.head.kind, self.temporality) {
            (Kind::UpDown | Kind::Gauge | Kind::Info, _) | (_, Temporality::Cumulative) => false,
            (Kind::Counter, Temporality::LowMemory) => !read,
            (Kind::Counter, Temporality::Delta) | (Kind::Histogram, _) => true,
        }
    }

    fn metric(&self, family: &Family, series: Vec<Series>, span: Span) -> Metric {
        let head = &family.head;
        let whole = head.unit.starts_with('{') || head.unit == "By" || head.unit.is_empty();
        let numbers = |series: Vec<Series>| series.into_iter().filter_map(|one| number(one, whole, span)).collect();
        let aggregation_temporality = span.temporality as i32;
        let data = match head.kind {
            Kind::Counter => {
                Data::Sum(Sum { data_points: numbers(series), aggregation_temporality, is_monotonic: true })
            }
            Kind::UpDown => {
                Data::Sum(Sum { data_points: numbers(series), aggregation_temporality, is_monotonic: false })
            }
            Kind::Gauge | Kind::Info => Data::Gauge(Gauge { data_points: numbers(series) }),
            Kind::Histogram if self.exponential && series.iter().all(grows) => {
                let data_points = series.into_iter().filter_map(|one| growing(one, span)).collect();
                Data::ExponentialHistogram(ExponentialHistogram { data_points, aggregation_temporality })
            }
            Kind::Histogram => {
                let data_points = series.into_iter().filter_map(|one| ranges(one, span)).collect();
                Data::Histogram(Histogram { data_points, aggregation_temporality })
            }
        };
        Metric {
            name: head.name.clone(),
            description: head.help.to_owned(),
            unit: head.unit.to_owned(),
            data: Some(data),
            ..Metric::default()
        }
    }
}

fn grows(series: &Series) -> bool {
    matches!(&series.value, Value::Ranges(counted) if counted.exponential.is_some())
}

/// What came to be since it was `before`; all of it, if it began anew in between.
fn since(value: &Value, before: Option<&Value>) -> Value {
    match (value, before) {
        (Value::Number(now), Some(Value::Number(before))) if now >= before => Value::Number(now - before),
        (Value::Ranges(now), Some(Value::Ranges(before))) if now.count() >= before.count() => {
            Value::Ranges(now.since(before))
        }
        _ => value.clone(),
    }
}

fn number(series: Series, whole: bool, span: Span) -> Option<NumberDataPoint> {
    let Value::Number(number) = series.value else { return None };
    #[expect(clippy::cast_possible_truncation, reason = "counts, which are exact up to 2^53")]
    let value =
        if whole { number_data_point::Value::AsInt(number as i64) } else { number_data_point::Value::AsDouble(number) };
    Some(NumberDataPoint {
        attributes: attributes(series.labels),
        start_time_unix_nano: span.start,
        time_unix_nano: span.end,
        value: Some(value),
        ..NumberDataPoint::default()
    })
}

fn ranges(series: Series, span: Span) -> Option<HistogramDataPoint> {
    let Value::Ranges(counted) = series.value else { return None };
    Some(HistogramDataPoint {
        attributes: attributes(series.labels),
        start_time_unix_nano: span.start,
        time_unix_nano: span.end,
        count: counted.count(),
        sum: Some(counted.sum),
        exemplars: exemplars(&counted),
        explicit_bounds: counted.bounds.to_vec(),
        bucket_counts: counted.counts,
        ..HistogramDataPoint::default()
    })
}

fn growing(series: Series, span: Span) -> Option<ExponentialHistogramDataPoint> {
    let Value::Ranges(counted) = series.value else { return None };
    let exemplars = exemplars(&counted);
    let Exponential { scale, zero, offset, counts } = counted.exponential?;
    Some(ExponentialHistogramDataPoint {
        attributes: attributes(series.labels),
        start_time_unix_nano: span.start,
        time_unix_nano: span.end,
        count: zero + counts.iter().sum::<u64>(),
        sum: Some(counted.sum),
        scale,
        zero_count: zero,
        positive: Some(Buckets { offset, bucket_counts: counts }),
        exemplars,
        ..ExponentialHistogramDataPoint::default()
    })
}

fn exemplars(counted: &Counted) -> Vec<Exemplar> {
    let exemplar = |example: &Example| Exemplar {
        time_unix_nano: nanos(example.at),
        span_id: if example.span_id == [0; 8] { Vec::new() } else { example.span_id.to_vec() },
        trace_id: example.trace_id.to_vec(),
        value: Some(exemplar::Value::AsDouble(example.value)),
        ..Exemplar::default()
    };
    counted.examples.iter().flatten().map(exemplar).collect()
}

fn attributes(labels: Vec<(&'static str, Word)>) -> Vec<KeyValue> {
    let attribute = |(name, word): (&'static str, Word)| KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue { value: Some(Text::StringValue(word.as_str().to_owned())) }),
        ..KeyValue::default()
    };
    labels.into_iter().map(attribute).collect()
}

fn nanos(at: SystemTime) -> u64 {
    u64::try_from(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
