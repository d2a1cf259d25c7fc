//! What is counted: every name, kind, unit and label that a busy gateway tells is in the program's table, and the other
//! way round.

#![expect(clippy::float_cmp, reason = "counts are whole numbers, and written as such")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::client::{legacy, modern};
use crate::gateway::{Gateway, gateway, tables};
use crate::http::{ADMIN_TOKEN, request};
use crate::upstream;
use crate::wait::eventually;

/// What `/metrics` told, by the names of families.
#[derive(Debug, Default)]
struct Told {
    kinds: BTreeMap<String, String>,
    units: BTreeMap<String, String>,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
    example: bool,
}

impl Told {
    async fn by(gateway: &Gateway) -> Self {
        let response = request(gateway.admin, "GET", "/metrics").send().await;
        assert!(response.head.get("content-type").starts_with("application/openmetrics-text"));
        Self::of(&String::from_utf8_lossy(&response.body))
    }

    fn of(text: &str) -> Self {
        let mut told = Self::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a kind");
                assert_eq!(told.kinds.insert(name.to_owned(), kind.to_owned()), None, "{name} is told once");
            } else if let Some(rest) = line.strip_prefix("# UNIT ") {
                let (name, unit) = rest.split_once(' ').expect("a name and a unit");
                told.units.insert(name.to_owned(), unit.to_owned());
            } else if !line.starts_with('#') {
                told.samples.push(Sample::of(line));
            }
        }
        assert!(text.ends_with("# EOF\n"));
        told
    }

    /// The samples of one family.
    fn family<'a>(&'a self, row: &Value) -> Vec<&'a Sample> {
        let (series, histogram) = (row["series"].as_str().expect("a name"), row["type"] == "histogram");
        let suffixes: &[&str] = if histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
        let of = |sample: &&Sample| suffixes.iter().any(|suffix| sample.name == format!("{series}{suffix}"));
        self.samples.iter().filter(of).collect()
    }

    fn sum(&self, name: &str, label: &str, value: &str) -> f64 {
        let of = self
            .samples
            .iter()
            .filter(|sample| sample.name == name && sample.labels.get(label).is_some_and(|found| found == value));
        of.map(|sample| sample.value).sum()
    }
}

impl Sample {
    fn of(line: &str) -> Self {
        let (line, example) = match line.split_once(" # {") {
            Some((sample, _)) => (sample, true),
            None => (line, false),
        };
        let (series, value) = line.rsplit_once(' ').expect("a series and its value");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let mut found = BTreeMap::new();
        let mut rest = labels.strip_suffix('}').expect("labels end");
        while let Some((label, after)) = rest.split_once("=\"") {
            let (value, after) = after.split_once('"').expect("a value ends; none here holds a quote");
            found.insert(label.to_owned(), value.to_owned());
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        Self { name: name.to_owned(), labels: found, value: value.parse().expect("a number"), example }
    }
}

/// Makes everything happen that is counted.
async fn busy(gateway: &Gateway) {
    let client = modern(gateway);
    assert_eq!(client.call("echo", json!({"nonce": "n"})).await.outcome(), "ok");
    assert_eq!(client.call("made-up", json!({})).await.outcome(), "error");
    client
        .message("resources/read")
        .params(r#"{"uri":"file:///made/up"}"#)
        .field("Mcp-Name", "file:///made/up")
        .send()
        .await;
    client.message("prompts/get").params(r#"{"name":"made-up"}"#).field("Mcp-Name", "made-up").send().await;
    client.message("made/up").send().await;
    request(gateway.mcp, "GET", "/made/up").send().await;
    let session = legacy(gateway, "2025-11-25").await;
    assert_eq!(session.call("echo", json!({"nonce": "n"})).await.outcome(), "ok");
    session.verb("DELETE").send().await;
}

#[tokio::test]
async fn what_is_told_is_in_the_table_and_the_other_way_round() {
    let upstream = upstream::echo().start().await;
    // Some metrics are about what leaves; that nobody listens there is told as well.
    let builder = gateway().env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    let gateway = builder.with(&upstream).start().await;
    busy(&gateway).await;
    let table = tables("metrics-table").await;
    let table = table.as_array().expect("a table");
    let told = eventually("everything is counted", async || {
        let told = Told::by(&gateway).await;
        let missing: Vec<_> = table.iter().filter(|row| told.family(row).is_empty()).map(|row| &row["name"]).collect();
        if missing.is_empty() { Some(told) } else { None }
    })
    .await;
    let families: BTreeSet<_> = table.iter().map(|row| row["name"].as_str().expect("a name")).collect();
    let unknown: Vec<_> = told.kinds.keys().filter(|name| !families.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "not in the table: {unknown:?}");
    let mut known = 0;
    for row in table {
        let name = row["name"].as_str().expect("a name");
        assert_eq!(told.kinds[name], row["type"].as_str().expect("a type"), "{name}");
        assert_eq!(told.units.get(name).map(String::as_str), row["unit"].as_str(), "{name}");
        let samples = told.family(row);
        known += samples.len();
        for sample in samples {
            check_labels(row, sample);
        }
    }
    assert_eq!(known, told.samples.len(), "every series belongs to a row");
    let examples = told.samples.iter().filter(|sample| sample.example);
    assert!(examples.clone().count() > 0 && examples.clone().all(|sample| sample.name.ends_with("_bucket")));
}

fn check_labels(row: &Value, sample: &Sample) {
    let labels = row["labels"].as_array().expect("labels");
    for (name, value) in &sample.labels {
        assert!(!value.contains("made"), "{sample:?} holds what a caller made up");
        if name == "le" {
            let bounds = row["bounds"].as_array().expect("bounds");
            let bound = value.parse::<f64>().expect("a bound");
            assert!(bound.is_infinite() || bounds.iter().any(|known| known.as_f64() == Some(bound)), "{sample:?}");
            continue;
        }
        let label = labels.iter().find(|label| label["name"] == **name).unwrap_or_else(|| panic!("{sample:?}"));
        let words = label["words"].as_array();
        assert!(words.is_none_or(|words| words.iter().any(|word| word == value)), "{sample:?}");
    }
}

#[tokio::test]
async fn sessions_streams_and_requests_are_counted() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = legacy(&gateway, "2025-11-25").await;
    for _ in 0..3 {
        assert_eq!(client.call("echo", json!({"nonce": "n"})).await.outcome(), "ok");
    }
    assert_eq!(Told::by(&gateway).await.sum("tollhouse_session_active", "network_transport", "tcp"), 1.0);
    client.verb("DELETE").send().await;
    let told = Told::by(&gateway).await;
    assert_eq!(told.sum("tollhouse_session_active", "network_transport", "tcp"), 0.0);
    assert_eq!(told.sum("tollhouse_session_ended_total", "outcome", "success"), 1.0);
    assert_eq!(told.sum("mcp_server_session_duration_seconds_count", "mcp_protocol_version", "2025-11-25"), 1.0);
    assert_eq!(told.sum("tollhouse_session_tool_calls_bucket", "le", "2.0"), 0.0);
    assert_eq!(told.sum("tollhouse_session_tool_calls_bucket", "le", "5.0"), 1.0);
    assert_eq!(told.sum("tollhouse_stream_duration_seconds_count", "mcp_method_name", "tools/call"), 3.0);
    assert_eq!(told.sum("http_server_request_duration_seconds_count", "http_response_status_code", "204"), 1.0);
    eventually("the calls are visible", async || {
        let told = Told::by(&gateway).await;
        (told.sum("tollhouse_trace_delay_seconds_count", "stage", "stored") >= 4.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn groups_are_left_out_where_the_environment_says_so() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).env("MCP_METRICS_GROUPS", "session").start().await;
    busy(&gateway).await;
    let told = eventually("the calls are counted", async || {
        let told = Told::by(&gateway).await;
        told.kinds.contains_key("tollhouse_overhead_duration_seconds").then_some(told)
    })
    .await;
    assert!(!told.kinds.contains_key("mcp_server_operation_duration_seconds"));
    assert!(told.kinds.contains_key("tollhouse_session_ended"));
}

#[tokio::test]
async fn the_dashboard_counts_what_is_asked_of_it_and_pages_that_watch() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    busy(&gateway).await;
    for (path, status) in [("/", 200), ("/calls", 200), ("/calls/made-up", 404), ("/api/v1/calls", 200)] {
        let asked = request(gateway.admin, "GET", path).field("Authorization", &format!("Bearer {ADMIN_TOKEN}"));
        assert_eq!(asked.send().await.status(), status, "{path}");
    }
    let dashboard =
        |told: &Told, name: &str, view: &str| told.sum(&format!("tollhouse_dashboard_{name}"), "view", view);
    let told = Told::by(&gateway).await;
    let requests = |view| dashboard(&told, "requests_total", view);
    assert!(requests("overview") >= 1.0 && requests("calls") >= 2.0 && requests("api") >= 1.0);
    assert!(told.sum("tollhouse_dashboard_requests_total", "outcome", "refused") >= 1.0);
    assert_eq!(told.sum("tollhouse_dashboard_requests_total", "outcome", "failed"), 0.0);
    assert_eq!(dashboard(&told, "views_open", "calls"), 0.0);
}
