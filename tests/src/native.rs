//! What a Prometheus that asks for protobuf is told: everything that text says, and native histograms where the
//! configuration says so.

use std::collections::BTreeMap;

use prost::Message;
use serde_json::json;

use crate::client::modern;
use crate::gateway::{Gateway, gateway};
use crate::http::request;
use crate::upstream;
use crate::wait::eventually;

/// As a Prometheus 2.42 asks, with native histograms switched on.
const ACCEPT: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
                      application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
const DURATION: &str = "mcp_server_operation_duration_seconds";

// The fields of `io/prometheus/client/metrics.proto` that are looked at, as its readers know them.
#[derive(Clone, PartialEq, Message)]
struct Family {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    help: String,
    #[prost(int32, tag = "3")]
    kind: i32,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<Metric>,
    #[prost(string, tag = "5")]
    unit: String,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, repeated, tag = "1")]
    label: Vec<Label>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Number>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Number>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Number {
    #[prost(double, tag = "1")]
    value: f64,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(double, tag = "2")]
    sum: f64,
    #[prost(message, repeated, tag = "3")]
    bucket: Vec<Bucket>,
    #[prost(sint32, tag = "5")]
    schema: i32,
    #[prost(double, tag = "6")]
    zero_threshold: f64,
    #[prost(uint64, tag = "7")]
    zero: u64,
    #[prost(message, repeated, tag = "12")]
    span: Vec<Span>,
    #[prost(sint64, repeated, tag = "13")]
    delta: Vec<i64>,
    #[prost(message, repeated, tag = "16")]
    exemplar: Vec<Exemplar>,
}

#[derive(Clone, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, tag = "1")]
    below: u64,
    #[prost(double, tag = "2")]
    bound: f64,
    #[prost(message, optional, tag = "3")]
    exemplar: Option<Exemplar>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    label: Vec<Label>,
    #[prost(double, tag = "2")]
    value: f64,
}

impl Histogram {
    /// How many values the native ranges hold.
    fn native(&self) -> i64 {
        let (mut count, mut total) = (0, i64::try_from(self.zero).expect("a small count"));
        for delta in &self.delta {
            count += delta;
            total += count;
        }
        let ranges: u32 = self.span.iter().map(|span| span.length).sum();
        assert_eq!(usize::try_from(ranges).expect("a small count"), self.delta.len(), "a number for every range");
        total
    }
}

async fn families(gateway: &Gateway) -> BTreeMap<String, Family> {
    let response = request(gateway.admin, "GET", "/metrics").field("Accept", ACCEPT).send().await;
    assert!(response.head.get("content-type").starts_with("application/vnd.google.protobuf; proto=io.prometheus"));
    let mut body = response.body.as_slice();
    let mut families = BTreeMap::new();
    while !body.is_empty() {
        let family = Family::decode_length_delimited(&mut body).expect("a family with its length");
        assert_eq!(families.insert(family.name.clone(), family), None, "each is told once");
    }
    families
}

/// The families and the text of a gateway that has answered one call.
async fn told(telemetry: &str) -> (BTreeMap<String, Family>, String) {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().telemetry(telemetry).with(&upstream).start().await;
    assert_eq!(modern(&gateway).call("echo", json!({"nonce": "n"})).await.outcome(), "ok");
    // What is known of a call is known bit by bit: both are of a moment in which nothing was added.
    eventually("the call is counted, and all that follows of it", async || {
        let before = families(&gateway).await;
        let text = request(gateway.admin, "GET", "/metrics").field("Accept", "text/plain").send().await;
        assert!(text.head.get("content-type").starts_with("application/openmetrics-text"));
        let after = families(&gateway).await;
        let same = before.contains_key(DURATION) && before.keys().eq(after.keys());
        same.then(|| (before, String::from_utf8(text.body).expect("text")))
    })
    .await
}

fn call(families: &BTreeMap<String, Family>) -> &Histogram {
    let called = |metric: &&Metric| metric.label.iter().any(|label| label.value == "tools/call");
    let call = families[DURATION].metric.iter().find(called).expect("the call");
    call.histogram.as_ref().expect("a histogram")
}

#[tokio::test]
async fn protobuf_says_what_text_says() {
    let (families, text) = told("{}").await;
    let (mut kind, mut unit, mut help, mut known) = (0, "", "", 0);
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("# TYPE ") {
            let (_, word) = words.split_once(' ').expect("a kind");
            (kind, unit) = (
                match word {
                    "counter" => 0,
                    "gauge" | "info" => 1,
                    "histogram" => 4,
                    _ => panic!("{line}"),
                },
                "",
            );
        } else if let Some(words) = line.strip_prefix("# UNIT ") {
            (_, unit) = words.split_once(' ').expect("a unit");
        } else if let Some(words) = line.strip_prefix("# HELP ") {
            (_, help) = words.split_once(' ').expect("a text");
        } else if !line.starts_with('#') {
            let series = line.split(['{', ' ']).next().expect("a name");
            let name = if kind == 4 { series.rsplit_once('_').expect("a suffix").0 } else { series };
            let family = families.get(name).unwrap_or_else(|| panic!("{name} is not in protobuf"));
            assert_eq!((family.kind, family.unit.as_str(), family.help.as_str()), (kind, unit, help), "{name}");
            known += usize::from(kind != 4 || series.ends_with("_count"));
        }
    }
    assert_eq!(families.values().map(|family| family.metric.len()).sum::<usize>(), known, "every series of both");
    for family in families.values() {
        for metric in &family.metric {
            let filled = [metric.counter.is_some(), metric.gauge.is_some(), metric.histogram.is_some()];
            assert_eq!(filled, [family.kind == 0, family.kind == 1, family.kind == 4], "{}", family.name);
            assert!(metric.label.iter().all(|label| !label.name.contains('.')), "{metric:?}");
        }
    }
    let call = call(&families);
    let written = format!("{DURATION}_sum");
    let sum = text.lines().find(|line| line.starts_with(&written) && line.contains("tools/call")).expect("the sum");
    assert_eq!(sum.rsplit_once(' ').and_then(|(_, sum)| sum.parse().ok()), Some(call.sum));
    let bounds: Vec<f64> = call.bucket.iter().map(|bucket| bucket.bound).collect();
    assert_eq!((bounds.len(), bounds[0], bounds[14], call.bucket[14].below), (15, 0.01, f64::INFINITY, 1));
    let exemplar = call.bucket.iter().find_map(|bucket| bucket.exemplar.as_ref()).expect("the trace of the call");
    assert_eq!(
        (exemplar.label[0].name.as_str(), exemplar.label[0].value.len(), exemplar.value),
        ("trace_id", 32, call.sum)
    );
    assert!(call.span.is_empty() && call.zero_threshold == 0.0, "no native range unless the configuration says so");
}

#[tokio::test]
async fn native_ranges_are_told_where_the_configuration_says_so() {
    for (word, buckets, exemplars) in [("native", 0, 1), ("both", 15, 0)] {
        let (families, text) = told(&format!("{{ metrics: {{ histograms: {word} }} }}")).await;
        let call = call(&families);
        assert_eq!((call.bucket.len(), call.exemplar.len(), call.count, call.native()), (buckets, exemplars, 1, 1));
        assert_eq!((call.schema, call.zero), (8, 0));
        let bound = |index: i32| (f64::from(index) / 256.0).exp2();
        let index = call.span[0].offset;
        assert!(bound(index - 1) < call.sum && call.sum <= bound(index), "{call:?}");
        assert!(text.contains(&format!("{DURATION}_bucket")) && text.ends_with("# EOF\n"), "text keeps its ranges");
        let session = &families["tollhouse_session_tool_calls"].metric[0];
        assert!(session.histogram.as_ref().is_some_and(|histogram| histogram.bucket.len() == 10), "classic only");
    }
}
