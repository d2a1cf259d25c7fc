use std::time::Duration;

use super::*;
use crate::metrics::{Config, Examples, Metrics, Standing, tests::record};
use tollhouse_core::record::{CallRecord, Outcome};

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn metrics(exponential: bool) -> Metrics {
    Metrics::new(Config { exponential, examples: Examples::All, ..Config::of("1") })
}

fn snapshot(metrics: &Metrics, active: u64) -> Snapshot {
    let mut standing = Standing::default();
    standing.count(Id::RequestActive, [], active);
    standing.count(Id::Records, [Some(Word::Ours("recorded"))], active * 10);
    metrics.snapshot(standing)
}

fn find<'a>(metrics: &'a [Metric], name: &str) -> &'a Data {
    metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("no {name}")).data.as_ref().unwrap()
}

fn calls(metrics: &[Metric]) -> (HistogramDataPoint, i32) {
    let Data::Histogram(histogram) = find(metrics, "mcp.server.operation.duration") else { panic!("no histogram") };
    (histogram.data_points[0].clone(), histogram.aggregation_temporality)
}

fn sum(metrics: &[Metric], name: &str) -> (i64, i32, bool) {
    let Data::Sum(sum) = find(metrics, name) else { panic!("{name} is no sum") };
    let Some(number_data_point::Value::AsInt(value)) = sum.data_points[0].value else { panic!("{name} is no integer") };
    (value, sum.aggregation_temporality, sum.is_monotonic)
}

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;
const DELTA: i32 = AggregationTemporality::Delta as i32;

#[test]
fn what_is_counted_since_the_start_grows() {
    let (metrics, mut encoder) = (metrics(false), Encoder::new(Temporality::Cumulative, false, at(100)));
    let call = record("read", Outcome::Ok);
    metrics.count(&call);
    encoder.metrics(&snapshot(&metrics, 1), at(160));
    metrics.count(&call);
    let told = encoder.metrics(&snapshot(&metrics, 2), at(220));
    let (point, temporality) = calls(&told);
    assert_eq!((point.count, temporality), (2, CUMULATIVE));
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (nanos(at(100)), nanos(at(220))));
    assert_eq!((point.explicit_bounds.len(), point.bucket_counts.len(), point.bucket_counts[2]), (14, 15, 2));
    assert!((point.sum.unwrap() - 0.06).abs() < 1e-9);
    let exemplar = &point.exemplars[0];
    assert_eq!((exemplar.trace_id.as_slice(), exemplar.span_id.as_slice()), (&call.trace.trace_id[..], &call.span[..]));
    assert_eq!(sum(&told, "tollhouse.records"), (20, CUMULATIVE, true));
    assert_eq!(sum(&told, "tollhouse.request.active"), (2, CUMULATIVE, false));
    assert!(told.iter().all(|metric| metric.name != "target"), "the resource says it");
    let tool = point.attributes.iter().find(|attribute| attribute.key == "gen_ai.tool.name").unwrap();
    assert_eq!(tool.value.as_ref().unwrap().value, Some(Text::StringValue("read".to_owned())));
}

#[test]
fn what_is_counted_since_the_last_time_begins_anew() {
    let (metrics, mut encoder) = (metrics(false), Encoder::new(Temporality::Delta, false, at(100)));
    let call = record("read", Outcome::Ok);
    metrics.count(&call);
    let first = calls(&encoder.metrics(&snapshot(&metrics, 1), at(160)));
    assert_eq!((first.0.count, first.0.start_time_unix_nano, first.1), (1, nanos(at(100)), DELTA));
    metrics.count(&call);
    metrics.count(&CallRecord { span: [9; 8], ..call.clone() });
    let told = encoder.metrics(&snapshot(&metrics, 3), at(220));
    let (second, _) = calls(&told);
    assert_eq!((second.count, second.start_time_unix_nano, second.exemplars.len()), (2, nanos(at(160)), 1));
    assert_eq!(sum(&told, "tollhouse.records"), (20, DELTA, true));
    assert_eq!(sum(&told, "tollhouse.request.active"), (3, CUMULATIVE, false));
    let third = calls(&encoder.metrics(&snapshot(&metrics, 3), at(280))).0;
    assert_eq!((third.count, third.exemplars.len()), (0, 0), "an example is told once");
}

#[test]
fn what_began_anew_in_between_is_told_whole() {
    let before = Value::Number(10.0);
    assert_eq!(since(&Value::Number(3.0), Some(&before)), Value::Number(3.0));
    assert_eq!(since(&Value::Number(13.0), Some(&before)), Value::Number(3.0));
}

#[test]
fn ranges_may_grow_by_a_factor() {
    let (metrics, mut encoder) = (metrics(true), Encoder::new(Temporality::Delta, true, at(100)));
    metrics.count(&record("read", Outcome::Ok));
    encoder.metrics(&snapshot(&metrics, 1), at(160));
    metrics.count(&record("read", Outcome::Ok));
    let told = encoder.metrics(&snapshot(&metrics, 1), at(220));
    let Data::ExponentialHistogram(calls) = find(&told, "mcp.server.operation.duration") else {
        panic!("another kind")
    };
    let point = &calls.data_points[0];
    let positive = point.positive.as_ref().unwrap();
    assert_eq!((point.count, point.zero_count, calls.aggregation_temporality), (1, 0, DELTA));
    assert_eq!(positive.bucket_counts.iter().sum::<u64>(), 1);
    let base = 2_f64.powf(2_f64.powi(-point.scale));
    let low = base.powi(positive.offset);
    assert!(low <= 0.03 && 0.03 <= low * base * 1.0001, "{point:?}");
    assert!(matches!(find(&told, "mcp.client.operation.duration"), Data::ExponentialHistogram(_)));
}
