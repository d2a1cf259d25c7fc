use opentelemetry_proto::tonic::common::v1::ArrayValue;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, Histogram, HistogramDataPoint, NumberDataPoint, Sum, exemplar, number_data_point,
};
use serde_json::json;

use super::*;
use crate::otlp::items::{self, Items};

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// What is told of one item.
fn told(signal: Signal, path: &str, item: &impl prost::Message) -> Value {
    let mut items = Items::new(false);
    items.push(item);
    let resource = items::Resource::new(vec![attribute("service.name", Any::StringValue("me".to_owned()))], "1.2.3");
    let written = request(signal, &resource.request(&[items], 0)).unwrap();
    let document: Value = serde_json::from_slice(&written).unwrap();
    let place = path.rsplit_once('/').unwrap().0;
    let around = document.pointer(place).unwrap();
    assert_eq!(around.pointer("/scope"), Some(&json!({"name": "tollhouse", "version": "1.2.3"})));
    let resource = document.as_object().unwrap().values().next().unwrap().pointer("/0/resource/attributes/0").unwrap();
    assert_eq!(*resource, json!({"key": "service.name", "value": {"stringValue": "me"}}));
    document.pointer(&format!("{path}/0")).unwrap().clone()
}

#[test]
fn a_span_has_ids_in_hex_and_long_numbers_as_strings() {
    let span = Span {
        trace_id: vec![0xab; 16],
        span_id: vec![1; 8],
        name: "tools/call read".to_owned(),
        kind: 2,
        start_time_unix_nano: 1_800_000_000_000_000_000,
        end_time_unix_nano: u64::MAX,
        flags: 257,
        attributes: vec![
            attribute("n", Any::IntValue(-7)),
            attribute("d", Any::DoubleValue(0.5)),
            attribute("b", Any::BoolValue(false)),
            attribute("e", Any::StringValue(String::new())),
            attribute("l", Any::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(Any::IntValue(0)) }] })),
            attribute("x", Any::DoubleValue(f64::INFINITY)),
        ],
        links: vec![Link { trace_id: vec![2; 16], span_id: vec![3; 8], ..Link::default() }],
        status: Some(Status { code: 2, message: "no".to_owned() }),
        ..Span::default()
    };
    assert_eq!(
        told(Signal::Traces, "/resourceSpans/0/scopeSpans/0/spans", &span),
        json!({
            "traceId": "ab".repeat(16),
            "spanId": "01".repeat(8),
            "flags": 257,
            "name": "tools/call read",
            "kind": 2,
            "startTimeUnixNano": "1800000000000000000",
            "endTimeUnixNano": "18446744073709551615",
            "attributes": [
                {"key": "n", "value": {"intValue": "-7"}},
                {"key": "d", "value": {"doubleValue": 0.5}},
                {"key": "b", "value": {"boolValue": false}},
                {"key": "e", "value": {"stringValue": ""}},
                {"key": "l", "value": {"arrayValue": {"values": [{"intValue": "0"}]}}},
                {"key": "x", "value": {"doubleValue": "Infinity"}},
            ],
            "links": [{"traceId": "02".repeat(16), "spanId": "03".repeat(8)}],
            "status": {"code": 2, "message": "no"},
        })
    );
}

#[test]
fn a_log_record_keeps_its_body_and_its_event() {
    let record = LogRecord {
        time_unix_nano: 5,
        severity_number: 9,
        severity_text: "INFO".to_owned(),
        body: Some(AnyValue { value: Some(Any::StringValue("done".to_owned())) }),
        event_name: "tollhouse.content".to_owned(),
        trace_id: vec![1; 16],
        ..LogRecord::default()
    };
    assert_eq!(
        told(Signal::Logs, "/resourceLogs/0/scopeLogs/0/logRecords", &record),
        json!({
            "timeUnixNano": "5",
            "severityNumber": 9,
            "severityText": "INFO",
            "body": {"stringValue": "done"},
            "traceId": "01".repeat(16),
            "eventName": "tollhouse.content",
        })
    );
}

#[test]
fn metrics_have_their_counts_as_strings_and_nothing_counted_is_told() {
    let point = NumberDataPoint { value: Some(number_data_point::Value::AsInt(0)), ..NumberDataPoint::default() };
    let sum = Sum { data_points: vec![point], aggregation_temporality: 2, is_monotonic: false };
    let metric = |data| Metric { name: "m".to_owned(), data: Some(data), ..Metric::default() };
    let place = "/resourceMetrics/0/scopeMetrics/0/metrics";
    assert_eq!(
        told(Signal::Metrics, place, &metric(Data::Sum(sum))),
        json!({"name": "m", "sum": {
            "dataPoints": [{"asInt": "0"}], "aggregationTemporality": 2, "isMonotonic": false,
        }})
    );
    let exemplar = Exemplar { value: Some(exemplar::Value::AsDouble(1.5)), span_id: vec![9; 8], ..Exemplar::default() };
    let point = HistogramDataPoint {
        count: 3,
        sum: Some(0.0),
        bucket_counts: vec![0, 3],
        explicit_bounds: vec![0.5],
        exemplars: vec![exemplar],
        ..HistogramDataPoint::default()
    };
    let histogram = Histogram { data_points: vec![point], aggregation_temporality: 1 };
    assert_eq!(
        told(Signal::Metrics, place, &metric(Data::Histogram(histogram)))["histogram"],
        json!({"aggregationTemporality": 1, "dataPoints": [{
            "count": "3", "sum": 0.0, "bucketCounts": ["0", "3"], "explicitBounds": [0.5],
            "exemplars": [{"asDouble": 1.5, "spanId": "09".repeat(8)}],
        }]})
    );
}
