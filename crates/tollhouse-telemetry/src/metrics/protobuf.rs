//! Metrics as Prometheus' protobuf, made from the same [`Snapshot`] as the text: the one form that has native histograms.
//!
//! A native range reaches from `2^((i-1)/2^s)` exclusively to `2^(i/2^s)` inclusively, where OpenTelemetry counts the same
//! range as `i-1`; schema and scale are one number. Ranges without values are left out.

pub mod message;

use std::time::UNIX_EPOCH;

use prost::Message as _;
use tollhouse_core::histogram::{Counted, Example, Exponential};
use tollhouse_core::trace::Hex;

use super::Histograms;
use super::snapshot::{Family, Series, Snapshot, Value};
use message::{
    Bucket, BucketSpan, Exemplar, Histogram, LabelPair, Metric, MetricFamily, MetricType, Number, Timestamp,
};

/// The media type of [`delimited`].
pub const MEDIA_TYPE: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// The finest native histogram that a Prometheus takes.
const FINEST: i32 = 8;
/// So few empty ranges between others are written out: that is shorter than another span.
const GAP_MAX: usize = 2;

/// All families, each with its length before it.
pub fn delimited(snapshot: &Snapshot, histograms: Histograms) -> Vec<u8> {
    let mut written = Vec::with_capacity(16 << 10);
    for one in &snapshot.families {
        family(one, histograms).encode_length_delimited(&mut written).expect("memory grows");
    }
    written
}

fn family(family: &Family, histograms: Histograms) -> MetricFamily {
    let head = &family.head;
    let kind = match head.exposed_kind {
        "counter" => MetricType::Counter,
        "histogram" => MetricType::Histogram,
        "unknown" => MetricType::Untyped,
        // What only has labels is a gauge to a Prometheus.
        _ => MetricType::Gauge,
    };
    MetricFamily {
        name: Some(head.series.clone()),
        help: Some(head.help.to_owned()),
        r#type: Some(kind as i32),
        metric: family.series.iter().map(|series| metric(series, kind, histograms)).collect(),
        unit: head.exposed_unit.map(ToOwned::to_owned),
    }
}

fn metric(series: &Series, kind: MetricType, histograms: Histograms) -> Metric {
    let label = series.labels.iter().map(|(name, word)| pair(&name.replace('.', "_"), word.as_str())).collect();
    let mut metric = Metric { label, ..Metric::default() };
    match &series.value {
        Value::Ranges(counted) => metric.histogram = Some(histogram(counted, histograms)),
        Value::Number(number) => {
            let number = Some(Number { value: Some(*number) });
            match kind {
                MetricType::Counter => metric.counter = number,
                MetricType::Untyped => metric.untyped = number,
                MetricType::Gauge | MetricType::Histogram => metric.gauge = number,
            }
        }
    }
    metric
}

fn histogram(counted: &Counted, histograms: Histograms) -> Histogram {
    let total =
        Histogram { sample_count: Some(counted.count()), sample_sum: Some(counted.sum), ..Histogram::default() };
    // What is not counted in native ranges is told in classic ones.
    match (&counted.exponential, histograms) {
        (None, _) | (_, Histograms::Classic) => Histogram { bucket: classic(counted), ..total },
        (Some(growing), Histograms::Both) => Histogram { bucket: classic(counted), ..native(growing, total) },
        (Some(growing), Histograms::Native) => {
            Histogram { exemplars: counted.examples.iter().flatten().map(exemplar).collect(), ..native(growing, total) }
        }
    }
}

fn classic(counted: &Counted) -> Vec<Bucket> {
    let mut below = 0;
    let bucket = |(range, count): (usize, &u64)| {
        below += count;
        Bucket {
            cumulative_count: Some(below),
            upper_bound: Some(counted.bounds.get(range).copied().unwrap_or(f64::INFINITY)),
            exemplar: counted.examples.get(range).and_then(Option::as_ref).map(exemplar),
        }
    };
    counted.counts.iter().enumerate().map(bucket).collect()
}

/// Adds native ranges.
fn native(growing: &Exponential, total: Histogram) -> Histogram {
    let Exponential { scale, zero, offset, counts } = growing.at_most(FINEST);
    let (mut spans, mut deltas, mut before) = (Vec::<BucketSpan>::new(), Vec::new(), 0);
    let mut gap = 0_usize;
    for (at, count) in counts.iter().enumerate() {
        if *count == 0 {
            gap += 1;
            continue;
        }
        match spans.last_mut() {
            Some(span) if gap <= GAP_MAX => {
                for _ in 0..gap {
                    deltas.push(-std::mem::take(&mut before));
                }
                *span.length.get_or_insert_default() += small::<u32>(gap + 1);
            }
            last => {
                // A Prometheus numbers ranges by their upper bounds.
                let first = if last.is_none() { offset + 1 + small::<i32>(at) } else { small(gap) };
                spans.push(BucketSpan { offset: Some(first), length: Some(1) });
            }
        }
        gap = 0;
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        deltas.push(count - std::mem::replace(&mut before, count));
    }
    if spans.is_empty() {
        // Says that this is a native histogram, though there is nothing in it.
        spans.push(BucketSpan { offset: Some(0), length: Some(0) });
    }
    Histogram {
        schema: Some(scale),
        zero_threshold: Some(f64::MIN_POSITIVE),
        zero_count: Some(zero),
        positive_span: spans,
        positive_delta: deltas,
        ..total
    }
}

/// One of at most 160 ranges.
fn small<N: TryFrom<usize> + Default>(number: usize) -> N {
    N::try_from(number).unwrap_or_default()
}

fn exemplar(example: &Example) -> Exemplar {
    let Example { value, trace_id, span_id, at } = example;
    let at = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Exemplar {
        label: vec![pair("trace_id", &Hex(trace_id).to_string()), pair("span_id", &Hex(span_id).to_string())],
        value: Some(*value),
        timestamp: Some(Timestamp {
            seconds: i64::try_from(at.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(at.subsec_nanos()).unwrap_or_default(),
        }),
    }
}

fn pair(name: &str, value: &str) -> LabelPair {
    LabelPair { name: Some(name.to_owned()), value: Some(value.to_owned()) }
}

#[cfg(test)]
mod tests;
