use std::time::{Duration, SystemTime};

use tollhouse_core::histogram::{Histogram as Ranges, Place};
use tollhouse_core::record::Outcome;

use super::*;
use crate::metrics::tests::record;
use crate::metrics::text::open_metrics;
use crate::metrics::{Config, Metrics, Standing};

/// Each native range with its bounds and how many values lie in it.
fn ranges(histogram: &Histogram) -> Vec<(f64, f64, i64)> {
    let bound = |index: i32| (f64::from(index) * 2_f64.powi(-histogram.schema())).exp2();
    let (mut index, mut count, mut deltas, mut found) = (0, 0, histogram.positive_delta.iter(), Vec::new());
    for span in &histogram.positive_span {
        index += span.offset();
        for _ in 0..span.length() {
            count += deltas.next().unwrap();
            found.push((bound(index - 1), bound(index), count));
            index += 1;
        }
    }
    assert_eq!(deltas.next(), None, "a number for every range");
    found
}

fn of(values: &[f64], histograms: Histograms) -> Histogram {
    let counted = Ranges::exponential(&[1.0, 4.0]);
    for value in values {
        counted.observe_in(
            *value,
            Some(Place {
                trace_id: [1; 16],
                span_id: [2; 8],
                at: SystemTime::UNIX_EPOCH + Duration::from_millis(1500),
            }),
        );
    }
    histogram(&counted.counted(), histograms)
}

#[test]
fn a_bound_belongs_to_the_range_below_it() {
    // Three hundred octaves in at most 160 ranges.
    let spread = [1e-45, 1e45];
    let histogram = of(&[&spread[..], &[1.0, 2.0, 4.0, 4.0, 0.0]].concat(), Histograms::Both);
    assert_eq!((histogram.schema(), histogram.zero_count(), histogram.sample_count()), (-1, 1, 7));
    let ranges = ranges(&histogram);
    let in_range = |low: f64, high: f64| ranges.iter().find(|range| (range.0, range.1) == (low, high)).unwrap().2;
    assert_eq!((in_range(0.25, 1.0), in_range(1.0, 4.0)), (1, 3));
    assert_eq!(ranges.iter().map(|range| range.2).sum::<i64>(), 6);
}

#[test]
fn what_is_finer_than_a_prometheus_takes_is_made_coarser() {
    let histogram = of(&[1.5, 1.5], Histograms::Native);
    assert_eq!(histogram.schema(), 8);
    let ranges = ranges(&histogram);
    assert!(matches!(ranges[..], [(low, high, 2)] if low < 1.5 && 1.5 <= high), "{ranges:?}");
}

#[test]
fn every_value_is_in_its_range_whatever_lies_between() {
    // At 53 octaves, of schema 1: some neighbours, some close, some far.
    let values = [1e-8, 1e-3, 1.1e-3, 2e-3, 3e-3, 9e-3, 0.5, 0.5, 7.0, 1e8];
    let histogram = of(&values, Histograms::Native);
    let ranges = ranges(&histogram);
    for value in values {
        assert!(ranges.iter().any(|range| range.0 < value && value <= range.1 && range.2 > 0), "{value}");
    }
    assert_eq!(ranges.iter().map(|range| range.2).sum::<i64>(), 10);
    let spans = histogram.positive_span.len();
    assert!(spans > 2 && spans < values.len(), "{spans}: what is far is left out, what is close is not");
}

#[test]
fn nothing_counted_is_a_native_histogram_all_the_same() {
    let histogram = of(&[], Histograms::Native);
    assert_eq!(histogram.positive_span, [BucketSpan { offset: Some(0), length: Some(0) }]);
    assert!(histogram.bucket.is_empty() && histogram.positive_delta.is_empty());
}

#[test]
fn traces_stand_with_classic_ranges_where_there_are_any() {
    let both = of(&[3.0], Histograms::Both);
    let exemplar = both.bucket[1].exemplar.clone().unwrap();
    assert_eq!(exemplar.label[0], pair("trace_id", &"01".repeat(16)));
    assert_eq!(exemplar.timestamp, Some(Timestamp { seconds: 1, nanos: 500_000_000 }));
    assert!(both.exemplars.is_empty() && both.bucket[0].exemplar.is_none());
    let native = of(&[3.0], Histograms::Native);
    assert_eq!((native.bucket.len(), native.exemplars), (0, vec![exemplar]));
    let classic = of(&[3.0], Histograms::Classic);
    assert_eq!((classic.schema, classic.positive_span.len(), classic.bucket.len()), (None, 0, 3));
}

#[test]
fn what_a_prometheus_would_be_told_changes_nothing_for_readers_of_text() {
    let call = record("read", Outcome::Ok);
    let text = |histograms| {
        let target = Config::of("1").target;
        let metrics = Metrics::new(Config { histograms, target, ..Config::of("1") });
        metrics.count(&call);
        let snapshot = metrics.snapshot(Standing::default());
        let text = open_metrics(&snapshot);
        text.lines().filter(|line| line.starts_with("mcp_")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(text(Histograms::Classic), text(Histograms::Both));
    assert_eq!(text(Histograms::Classic), text(Histograms::Native));
}
