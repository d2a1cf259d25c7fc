//! What leaves for a collector: which spans a call has, and that no collector, however bad, is noticed by calls.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::header::HeaderValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::client::{legacy, modern};
use crate::gateway::{Builder, Gateway, gateway};
use crate::http::request;
use crate::sink::{Does, Sink, certificate_path, texts};
use crate::stdio::child;
use crate::upstream::{self, Step, event, honest, text};
use crate::wait::{eventually, until};

const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const INTERNAL: i32 = 1;

/// A gateway that exports there, without waiting for more.
fn exporting(sink: &Sink) -> Builder {
    gateway().env("OTEL_EXPORTER_OTLP_ENDPOINT", &sink.url()).env("OTEL_BSP_SCHEDULE_DELAY", "10")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// What `/metrics` says of items of spans, by outcome and reason.
async fn items(gateway: &Gateway) -> BTreeMap<String, u64> {
    let response = request(gateway.admin, "GET", "/metrics").send().await;
    let text = String::from_utf8_lossy(&response.body).into_owned();
    let of = |line: &str| -> Option<(String, u64)> {
        let (labels, value) = line.strip_prefix("tollhouse_otlp_items_total{")?.split_once("} ")?;
        let label = |name: &str| {
            let (_, rest) = labels.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value)
        };
        (label("signal") == Some("traces")).then(|| {
            let key = label("reason").or(label("outcome")).unwrap_or_default().to_owned();
            (key, value.split(['.', ' ']).next().and_then(|whole| whole.parse().ok()).unwrap_or_default())
        })
    };
    text.lines().filter_map(of).collect()
}

#[tokio::test]
async fn all_signals_leave_as_json_where_it_is_asked_for() {
    let sink = Sink::http().await;
    sink.does(Does::Rejects(1));
    let upstream = upstream::echo().start().await;
    let builder = exporting(&sink).env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
    let builder = builder.env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip").env("OTEL_LOGS_EXPORTER", "otlp");
    let builder = builder.env("OTEL_BLRP_SCHEDULE_DELAY", "10").env("OTEL_METRIC_EXPORT_INTERVAL", "1000");
    let gateway = builder.with(&upstream).start().await;
    let context = "\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"";
    modern(&gateway).tool("echo").raw_arguments("{}").meta("traceparent", context).send().await;
    let items = |signal: &str, place: &str| -> Vec<Value> {
        let got = sink.got();
        let of = got.json.iter().filter(|(path, _)| path == &format!("/v1/{signal}"));
        let items = of.filter_map(|(_, document)| document.pointer(place)?.as_array().cloned());
        items.flatten().collect()
    };
    let spans = eventually("both sides of the call arrive", async || {
        let spans = items("traces", "/resourceSpans/0/scopeSpans/0/spans");
        let spans: Vec<_> = spans.into_iter().filter(|span| span["name"] == "tools/call echo").collect();
        (spans.len() == 2).then_some(spans)
    })
    .await;
    let span = spans.iter().find(|span| span["kind"] == SERVER).expect("the served side");
    assert_eq!(span["traceId"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!((&span["parentSpanId"], span["spanId"].as_str().map(str::len)), (&json!("b7ad6b7169203331"), Some(16)));
    let nanos = |name: &str| span[name].as_str().and_then(|nanos| nanos.parse::<u64>().ok()).expect("a string");
    assert!(nanos("startTimeUnixNano") <= nanos("endTimeUnixNano"));
    let size = span["attributes"].as_array().into_iter().flatten().find(|told| told["key"] == "tollhouse.request.size");
    assert!(size.and_then(|size| size["value"]["intValue"].as_str()).is_some_and(|size| size.parse::<u64>().is_ok()));
    let record = eventually("the line of the call arrives", async || {
        let records = items("logs", "/resourceLogs/0/scopeLogs/0/logRecords");
        records.into_iter().find(|record| record["traceId"] == "0af7651916cd43dd8448eb211c80319c")
    })
    .await;
    assert!(record["body"]["stringValue"].is_string() && record["timeUnixNano"].is_string(), "{record}");
    eventually("the call is counted", async || {
        let metrics = items("metrics", "/resourceMetrics/0/scopeMetrics/0/metrics");
        let metric = metrics.into_iter().find(|metric| metric["name"] == "mcp.server.operation.duration")?;
        assert_eq!(metric.pointer("/histogram/dataPoints/0/count"), Some(&json!("1")), "{metric}");
        Some(())
    })
    .await;
    assert_eq!(sink.got().raw.len(), 0, "nothing is sent as protobuf");
    eventually("what the collector rejects is counted", async || {
        items_rejected(&gateway).await.filter(|rejected| *rejected > 0)
    })
    .await;
}

async fn items_rejected(gateway: &Gateway) -> Option<u64> {
    items(gateway).await.get("rejected").copied()
}

#[tokio::test]
async fn a_call_arrives_as_a_span_of_each_side_below_its_callers() {
    for grpc in [false, true] {
        let sink = if grpc { Sink::grpc().await } else { Sink::http().await };
        let upstream = upstream::echo().start().await;
        let builder = exporting(&sink).env("OTEL_EXPORTER_OTLP_PROTOCOL", if grpc { "grpc" } else { "http/protobuf" });
        let builder = builder.env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip").env("OTEL_SERVICE_NAME", "the-gateway");
        let gateway = builder.env("OTEL_EXPORTER_OTLP_HEADERS", "x-scope=one").with(&upstream).start().await;
        let context = "\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"";
        modern(&gateway).tool("echo").raw_arguments("{}").meta("traceparent", context).send().await;
        let spans = sink.spans(2).await;
        let [served, sent] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!((served.kind, sent.kind), (SERVER, CLIENT));
        assert_eq!(hex(&served.trace_id), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(hex(&served.parent_span_id), "b7ad6b7169203331");
        assert_eq!((&sent.trace_id, &sent.parent_span_id), (&served.trace_id, &served.span_id));
        let told = upstream.last_call().meta("traceparent");
        assert_eq!(
            told,
            json!(format!("00-{}-{}-01", hex(&served.trace_id), hex(&sent.span_id))),
            "the server is told of ours"
        );
        assert!(served.start_time_unix_nano <= sent.start_time_unix_nano);
        assert!(sent.end_time_unix_nano <= served.end_time_unix_nano);
        {
            let got = sink.got();
            assert_eq!(got.resource["service.name"], "the-gateway");
            assert_eq!(got.headers.get("x-scope").map(HeaderValue::as_bytes), Some(&b"one"[..]));
        }
        let first = gateway.stderr().lines().next().unwrap_or_default().to_owned();
        let (protocol, path) = if grpc { ("grpc", "") } else { ("http/protobuf", "/v1/traces") };
        let url = sink.url();
        assert_eq!(first, format!("[telemetry] OpenTelemetry initialized — endpoint={url}{path} protocol={protocol}"));
        gateway.ends_well(&["ok"]).await;
    }
}

#[tokio::test]
async fn without_an_endpoint_nothing_leaves_and_nothing_is_told() {
    let upstream = upstream::echo().start().await;
    for (name, value) in [("OTEL_SERVICE_NAME", "x"), ("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
        let sink = Sink::http().await;
        let mut builder = gateway().env(name, value).with(&upstream);
        if name != "OTEL_SERVICE_NAME" {
            builder = builder.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &sink.url());
        }
        let gateway = builder.start().await;
        let context = "\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"";
        modern(&gateway).tool("echo").raw_arguments("{}").meta("traceparent", context).send().await;
        let passed = upstream.last_call().meta("traceparent").to_string();
        assert_eq!(passed, context, "what the caller says goes on as it came");
        assert!(!gateway.stderr().contains("[telemetry]"));
        assert_eq!(items(&gateway).await, BTreeMap::new());
        gateway.ends_well(&["ok"]).await;
        assert_eq!(sink.got().connections, 0, "{name}");
    }
}

#[tokio::test]
async fn a_repeated_call_has_a_span_for_each_attempt() {
    let sink = Sink::http().await;
    let upstream = upstream::echo().closed();
    // A server that was away for longer than all pauses is not asked again, so these are long.
    let gateway = exporting(&sink).with(&upstream).retry("{attempts: 2, backoff: 1s}").start().await;
    let answer = modern(&gateway).call("echo", json!({})).await;
    assert_eq!(answer.outcome(), "not_executed");
    let spans = sink.spans(4).await;
    let attempts: Vec<_> =
        spans.iter().filter(|span| span.kind == CLIENT).map(|span| texts(&span.attributes)).collect();
    let of = |key: &str| attempts.iter().map(|attempt| attempt[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("tollhouse.attempt"), ["#1", "#2", "#3"]);
    assert_eq!(of("error.type"), ["connection_refused"; 3]);
    let served = spans.iter().find(|span| span.kind == SERVER).expect("a span of the call");
    let served = texts(&served.attributes);
    assert_eq!((served["error.type"].as_str(), served["tollhouse.fault"].as_str()), ("5030", "connection_refused"));
    gateway.ends_well(&["not_executed"]).await;
}

#[tokio::test]
async fn a_list_of_several_servers_has_a_span_for_each_of_them() {
    let sink = Sink::http().await;
    let (near, far, dead) =
        (upstream::echo().start().await, upstream::echo().legacy_only().start().await, upstream::echo().closed());
    let builder = exporting(&sink).alone().server("near", &near).server("far", &far).server("dead", &dead);
    let gateway = builder.start().await;
    let context = "\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"";
    let modern = modern(&gateway).at("/mcp");
    let listed = modern.message("tools/list").meta("traceparent", context).send().await;
    assert_eq!(crate::aggregate::names(&listed), ["near__echo", "far__echo"]);
    let spans = sink.spans_of(4, |name| name == "tools/list").await;
    let (served, legs): (Vec<_>, Vec<_>) = spans.iter().partition(|span| span.kind == SERVER);
    let [served] = served[..] else { panic!("one call: {spans:?}") };
    assert_eq!(hex(&served.parent_span_id), "b7ad6b7169203331");
    let attributes = texts(&served.attributes);
    assert_eq!((attributes["tollhouse.aggregate.missing"].as_str(), attributes.get("error.type")), ("#1", None));
    let of = |server: &str| {
        let leg = legs.iter().find(|leg| texts(&leg.attributes)["tollhouse.server.name"] == server);
        *leg.unwrap_or_else(|| panic!("no leg of {server}: {spans:?}"))
    };
    for leg in ["near", "far", "dead"].map(of) {
        assert_eq!((leg.name.as_str(), leg.kind, &leg.parent_span_id), ("tools/list", CLIENT, &served.span_id));
        assert_eq!(leg.trace_id, served.trace_id);
        assert!(served.start_time_unix_nano <= leg.start_time_unix_nano);
        assert!(leg.start_time_unix_nano <= leg.end_time_unix_nano);
        assert!(leg.end_time_unix_nano <= served.end_time_unix_nano);
    }
    let errors = ["near", "far", "dead"].map(|server| texts(&of(server).attributes).get("error.type").cloned());
    assert_eq!(errors, [None, None, Some("connection_refused".to_owned())]);
    for (server, name) in [(&near, "near"), (&far, "far")] {
        let told = format!("00-{}-{}-01", hex(&served.trace_id), hex(&of(name).span_id));
        let asked = server.received("tools/list");
        let asked = asked.iter().find(|asked| asked.head.get("traceparent") == told);
        let asked = asked.unwrap_or_else(|| panic!("{name} was not told {told}"));
        assert_eq!(asked.meta("traceparent"), json!(told), "{}", asked.body);
        assert_eq!(asked.body.matches("traceparent").count(), 1, "{}", asked.body);
    }
    // Having no prompts is no failure of the list, though the server answers with an error.
    modern.message("prompts/list").send().await;
    let spans = sink.spans_of(4, |name| name == "prompts/list").await;
    let types: BTreeMap<_, _> = spans
        .iter()
        .map(|span| texts(&span.attributes))
        .map(|told| {
            let name = told.get("tollhouse.server.name").cloned().unwrap_or_default();
            (name, (told.get("error.type").cloned(), told.get("tollhouse.aggregate.missing").cloned()))
        })
        .collect();
    assert_eq!(types["near"].0.as_deref(), Some("-32601"));
    assert_eq!(types[""], (None, Some("#1".to_owned())), "only who is dead is missing");
    let metrics = request(gateway.admin, "GET", "/metrics").send().await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    for (method, server, error) in
        [("tools/list", "near", ""), ("tools/list", "dead", "connection_refused"), ("prompts/list", "near", "-32601")]
    {
        let line = metrics.lines().find(|line| {
            let has = |label: &str, value: &str| line.contains(&format!("{label}=\"{value}\""));
            line.starts_with("mcp_client_operation_duration_seconds_count{")
                && has("mcp_method_name", method)
                && has("tollhouse_server_name", server)
                && (error.is_empty() || has("error_type", error))
        });
        assert!(line.is_some_and(|line| line.ends_with(" 1") || line.ends_with(" 1.0")), "{method} {server}: {line:?}");
    }
}

#[tokio::test]
async fn a_trace_is_given_out_with_the_ids_that_were_exported() {
    let sink = Sink::http().await;
    let (near, dead) = (upstream::echo().start().await, upstream::echo().closed());
    let builder = exporting(&sink).alone().server("near", &near).server("dead", &dead);
    let gateway = builder.retry("{attempts: 1, backoff: 100ms}").start().await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let context = format!("\"00-{trace}-b7ad6b7169203331-01\"");
    let modern = modern(&gateway).at("/mcp");
    modern.message("tools/list").meta("traceparent", &context).send().await;
    modern.tool("near__echo").raw_arguments("{}").meta("traceparent", &context).send().await;
    let lone = modern.at("/servers/dead/mcp");
    lone.tool("echo").raw_arguments("{}").meta("traceparent", &context).send().await;
    let exported = sink.spans_of(7, |name| name.starts_with("tools/")).await;
    let mut exported: Vec<_> = exported
        .iter()
        .map(|span| {
            assert_eq!(hex(&span.trace_id), trace);
            let micros = |nanos: u64| nanos / 1000;
            let took = micros(span.end_time_unix_nano) - micros(span.start_time_unix_nano);
            (hex(&span.span_id), hex(&span.parent_span_id), span.kind, span.name.clone(), took)
        })
        .collect();
    exported.sort();
    let given = eventually("the calls are kept", async || {
        let path = format!("/api/v1/traces/{trace}?format=otlp");
        let document = request(gateway.admin, "GET", &path).send().await.json();
        let spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array()?.clone();
        (spans.len() == exported.len()).then_some(spans)
    })
    .await;
    let text = |span: &Value, key: &str| span[key].as_str().unwrap_or_default().to_owned();
    let micros = |span: &Value, key: &str| text(span, key).parse::<u64>().expect("a number in a string") / 1000;
    let mut given: Vec<_> = given
        .iter()
        .map(|span| {
            let took = micros(span, "endTimeUnixNano") - micros(span, "startTimeUnixNano");
            let kind = span["kind"].as_i64().and_then(|kind| i32::try_from(kind).ok()).unwrap_or_default();
            (text(span, "spanId"), text(span, "parentSpanId"), kind, text(span, "name"), took)
        })
        .collect();
    given.sort();
    assert_eq!(given.len(), exported.len());
    for (given, exported) in given.iter().zip(&exported) {
        assert_eq!((&given.0, &given.1, given.2), (&exported.0, &exported.1, exported.2));
        assert!(given.3 == exported.3 || exported.3.ends_with("_OTHER"), "{} for {}", given.3, exported.3);
        assert!(given.4.abs_diff(exported.4) <= 2, "{} µs for {}", given.4, exported.4);
    }
}

#[tokio::test]
async fn a_collector_is_reached_over_tls_with_the_certificates_that_are_named() {
    let upstream = upstream::echo().start().await;
    for grpc in [false, true] {
        let sink = Sink::tls(grpc).await;
        let protocol = if grpc { "grpc" } else { "http/protobuf" };
        let with = |names: &[(&str, &str)]| {
            let builder = exporting(&sink).env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
            names.iter().fold(builder, |builder, (name, file)| builder.env(name, &certificate_path(file)))
        };
        let trusted = ("OTEL_EXPORTER_OTLP_CERTIFICATE", "collector.pem");
        let (own, key) = ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_KEY");
        let gateway = with(&[trusted, (own, "gateway.pem"), (key, "gateway.key.pem")]).with(&upstream).start().await;
        modern(&gateway).call("echo", json!({"nonce": "n"})).await;
        assert_eq!(sink.spans(2).await.len(), 2);
        gateway.ends_well(&["ok"]).await;
        // Without one of them nothing arrives, and the call does not notice.
        for names in [&[trusted][..], &[(own, "gateway.pem"), (key, "gateway.key.pem")]] {
            sink.got().spans.clear();
            let gateway = with(names).with(&upstream).start().await;
            assert_eq!(modern(&gateway).call("echo", json!({"nonce": "n"})).await.outcome(), "ok");
            let said = |text: &str| gateway.stderr().contains(text);
            until("the failure is told", || said("OTEL:") && said("WARNING")).await;
            gateway.ends_well(&["ok"]).await;
            assert_eq!(sink.got().spans.len(), 0, "{names:?}");
        }
    }
}

/// Log records by the name of their event.
async fn told_as(sink: &Sink, event: &str) -> BTreeMap<String, String> {
    eventually(&format!("{event} arrives"), async || {
        let got = sink.got();
        let record = got.logs.iter().find(|record| record.event_name == event)?;
        Some(texts(&record.attributes))
    })
    .await
}

#[tokio::test]
async fn what_happens_beside_calls_leaves_as_events_by_name() {
    let sink = Sink::http().await;
    let upstream = upstream::echo().start().await;
    let builder = exporting(&sink).env("OTEL_LOGS_EXPORTER", "otlp").env("OTEL_BLRP_SCHEDULE_DELAY", "10");
    let gateway = builder.with(&upstream).start().await;
    let changed = told_as(&sink, "tollhouse.server.state_changed").await;
    assert_eq!(changed["tollhouse.state"], "connected");
    assert!(["tested", "neighbour"].contains(&changed["tollhouse.server.name"].as_str()), "{changed:?}");
    let client = legacy(&gateway, "2025-11-25").await;
    let started = told_as(&sink, "tollhouse.session.started").await;
    assert_eq!(started["mcp.protocol.version"], "2025-11-25");
    client.call("echo", json!({"nonce": "n"})).await;
    client.verb("DELETE").send().await;
    let ended = told_as(&sink, "tollhouse.session.ended").await;
    assert_eq!(ended["tollhouse.session.id"], started["tollhouse.session.id"]);
    assert_eq!((ended["tollhouse.outcome"].as_str(), ended["tollhouse.calls"].as_str()), ("success", "#1"));
    told_as(&sink, "tollhouse.call").await;
}

#[tokio::test]
async fn captured_content_is_told_where_it_is_asked_for_and_without_secrets() {
    let upstream = upstream::echo().start().await;
    for (wanted, in_spans, in_events) in [
        ("SPAN_ONLY", true, false),
        ("EVENT_ONLY", false, true),
        ("SPAN_AND_EVENT", true, true),
        ("NO_CONTENT", false, false),
    ] {
        let sink = Sink::http().await;
        let builder = exporting(&sink).env("OTEL_LOGS_EXPORTER", "otlp").env("OTEL_BLRP_SCHEDULE_DELAY", "10");
        let builder = builder.env("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", wanted);
        let gateway = builder.with(&upstream).start().await;
        modern(&gateway).call("echo", json!({"nonce": "seen", "password": "hunter2-hunter2"})).await;
        let spans = sink.spans(2).await;
        let served = spans.iter().find(|span| span.kind == SERVER).expect("a span of the call");
        told_as(&sink, "tollhouse.call").await;
        let given = texts(&served.attributes).get("gen_ai.tool.call.arguments").cloned();
        assert_eq!(given.is_some_and(|given| given.contains("seen")), in_spans, "{wanted}");
        if in_events {
            let told = told_as(&sink, "tollhouse.content").await;
            assert!(told["gen_ai.tool.call.arguments"].contains("seen"), "{told:?}");
            assert!(told["gen_ai.tool.call.result"].contains("seen"), "{told:?}");
            assert_eq!(
                (told["gen_ai.tool.name"].as_str(), told["tollhouse.content.truncated"].as_str()),
                ("echo", "false")
            );
        }
        gateway.ends_well(&["ok"]).await;
        let got = sink.got();
        let events = got.logs.iter().filter(|record| record.event_name == "tollhouse.content");
        let mut same = events.clone().map(|record| (&record.trace_id, &record.span_id));
        assert_eq!(events.clone().count(), usize::from(in_events), "{wanted}");
        assert!(same.all(|ids| ids == (&served.trace_id, &served.span_id)));
        let holds = |bytes: &Vec<u8>| bytes.windows(7).any(|window| window == b"hunter2");
        assert!(!got.raw.iter().any(holds), "{wanted}: a password left");
    }
}

#[tokio::test]
async fn what_else_is_said_of_a_trace_stands_in_spans_and_goes_on() {
    let sink = Sink::http().await;
    let upstream = upstream::echo().start().await;
    let gateway = exporting(&sink).with(&upstream).start().await;
    // The message names one trace, the request that carries it another.
    let context = "\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"";
    let other = "00-11112222333344445555666677778888-1234567812345678-01";
    let client = modern(&gateway);
    let call = client.tool("echo").raw_arguments("{}").meta("traceparent", context).meta("tracestate", "\"a=1,b=2\"");
    call.field("traceparent", other).field("tracestate", "c=3").send().await;
    let spans = sink.spans(2).await;
    let [served, sent] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((served.trace_state.as_str(), sent.trace_state.as_str()), ("a=1,b=2", "a=1,b=2"));
    let [link] = &served.links[..] else { panic!("one link: {served:?}") };
    assert_eq!(format!("00-{}-{}-01", hex(&link.trace_id), hex(&link.span_id)), other);
    assert_eq!((link.flags & 0x300, sent.links.len()), (0x300, 0), "it is of another process");
    assert_eq!(upstream.last_call().meta("tracestate"), json!("a=1,b=2"));
    assert_eq!(upstream.last_call().head.get("tracestate"), "", "of another trace than the one that goes on");
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_call_with_a_trace_of_its_own_is_linked_to_the_root_of_its_session() {
    let sink = Sink::http().await;
    let upstream = upstream::echo().start().await;
    let gateway = exporting(&sink).with(&upstream).start().await;
    let client = legacy(&gateway, "2025-11-25").await;
    client.call("echo", json!({"nonce": "n"})).await;
    let spans = sink.spans(3).await;
    let root = spans.iter().find(|span| span.kind == INTERNAL).expect("a root").clone();
    let context = "\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"";
    client.tool("echo").raw_arguments("{}").meta("traceparent", context).send().await;
    let spans = sink.spans(5).await;
    let own = spans.iter().find(|span| span.kind == SERVER && hex(&span.trace_id).starts_with("0af765"));
    let [link] = &own.expect("a span of the call").links[..] else { panic!("one link: {own:?}") };
    assert_eq!((&link.trace_id, &link.span_id), (&root.trace_id, &root.span_id));
    gateway.ends_well(&["ok", "ok"]).await;
}

#[tokio::test]
async fn where_a_ratio_decides_its_threshold_is_told() {
    let sink = Sink::http().await;
    let upstream = upstream::echo().start().await;
    let builder = exporting(&sink).env("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
    let gateway = builder.env("OTEL_TRACES_SAMPLER_ARG", "0.5").with(&upstream).start().await;
    let client = modern(&gateway);
    for _ in 0..40 {
        client.tool("echo").raw_arguments("{}").send().await;
    }
    let told: Vec<_> = upstream
        .received("tools/call")
        .iter()
        .map(|call| (call.head.get("traceparent").ends_with("-01"), call.head.get("tracestate").to_owned()))
        .collect();
    let (sampled, not): (Vec<_>, Vec<_>) = told.iter().partition(|(sampled, _)| *sampled);
    // Lists go to each server by themselves, and say the same.
    let at_all = modern(&gateway).at("/mcp");
    for _ in 0..20 {
        at_all.message("tools/list").send().await;
    }
    let asked = upstream.received("tools/list");
    let asked = asked.iter().filter(|asked| asked.meta("traceparent").is_string());
    let lists: Vec<_> = asked
        .map(|asked| (asked.meta("traceparent").to_string().ends_with("-01\""), asked.meta("tracestate")))
        .collect();
    assert!(lists.len() >= 20, "{lists:?}");
    assert!(lists.iter().all(|(sampled, state)| *sampled == (*state == json!("ot=th:8"))), "{lists:?}");
    // Two in a trillion runs have none of one kind.
    assert!(!sampled.is_empty() && !not.is_empty(), "{told:?}");
    assert!(sampled.iter().all(|(_, state)| state == "ot=th:8"), "{told:?}");
    assert!(not.iter().all(|(_, state)| state.is_empty()), "{told:?}");
    // The first calls of a tool are told anyway; of them nobody had decided.
    let spans = eventually("both spans of each that was chosen arrive", async || {
        let spans = sink.spans(2).await;
        let chosen = spans.iter().filter(|span| span.trace_state == "ot=th:8").count();
        (chosen == 2 * sampled.len()).then_some(spans)
    })
    .await;
    assert!(spans.iter().all(|span| span.trace_id[9] >= 0x80 || span.trace_state.is_empty()));
}

#[tokio::test]
async fn what_a_server_asks_back_is_a_span_of_each_side_below_the_call_it_serves() {
    let sink = Sink::http().await;
    let inner = r#"{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}"#;
    let question = |id: &str, meta: &str| {
        let params = format!(r#"{{"message":"who?","_meta":{meta}}}"#);
        event(&format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"elicitation/create","params":{params}}}"#))
    };
    let steps = [question("q1", "{}"), question("q2", inner), Step::Released, honest()];
    let upstream = upstream::echo().legacy_only().streams(steps).start().await;
    let gateway = exporting(&sink).with(&upstream).start().await;
    let client = legacy(&gateway, "2025-06-18").await;
    let mut stream = client.tool("echo").raw_arguments(r#"{"nonce":"n"}"#).open().await;
    let mut asked: Vec<Value> = Vec::new();
    while asked.len() < 2 {
        let event = stream.next().await.expect("questions come before the end");
        asked.extend(serde_json::from_str::<Value>(&event.data).ok());
    }
    let answers = [r#""result":{"action":"accept","content":{}}"#, r#""error":{"code":-32603,"message":"no"}"#];
    for (question, answer) in asked.iter().zip(answers) {
        client.body(&format!(r#"{{"jsonrpc":"2.0","id":{},{answer}}}"#, question["id"])).send().await;
    }
    until("both are answered", || upstream.answers().len() == 2).await;
    upstream.release(1);
    assert_eq!(stream.rest().await.text(), "n");
    let spans = sink.spans_of(4, |name| name == "elicitation/create").await;
    let attempt = sink.spans(3).await.into_iter().find(|span| span.kind == CLIENT).expect("the call was sent");
    let error = |span: &Span| texts(&span.attributes).get("error.type").cloned();
    let served: Vec<_> = spans.iter().filter(|span| span.kind == SERVER).collect();
    let sent: Vec<_> = spans.iter().filter(|span| span.kind == CLIENT).collect();
    assert_eq!((served.len(), sent.len()), (2, 2));
    for span in &spans {
        assert_eq!(span.trace_id, attempt.trace_id);
        assert!(span.start_time_unix_nano >= attempt.start_time_unix_nano);
        assert!(span.end_time_unix_nano <= attempt.end_time_unix_nano);
    }
    for served in &served {
        // A trace that is another than the call's is nobody's parent here.
        assert_eq!(served.parent_span_id, attempt.span_id);
        assert_eq!(sent.iter().filter(|sent| sent.parent_span_id == served.span_id).count(), 1);
    }
    let mut errors: Vec<_> = sent.iter().map(|span| error(span)).collect();
    errors.sort();
    assert_eq!(errors, [None, Some("-32603".to_owned())]);
    // The client is told of ours in the place of what the server named.
    let told = asked[1]["params"]["_meta"]["traceparent"].as_str().unwrap_or_default().to_owned();
    let ours = sent.iter().map(|span| format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id)));
    assert!(ours.clone().any(|ours| ours == told), "{told}");
    assert_eq!(asked[0]["params"]["_meta"], json!({}));
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_call_that_brings_what_another_was_asked_for_is_linked_to_it() {
    let question =
        r#"{"resultType":"input_required","requestState":"s\u002f1","inputRequests":{"k":{"method":"roots/list"}}}"#;
    for front in ["/mcp", "/servers/tested/mcp"] {
        let sink = Sink::http().await;
        let upstream = upstream::echo().modern_only().asks(question).start().await;
        let gateway = exporting(&sink).with(&upstream).start().await;
        let client = modern(&gateway).at(front);
        let tool = if front == "/mcp" { "tested__echo" } else { "echo" };
        let asked = client.call(tool, json!({"nonce": "n"})).await.json();
        let state = asked["result"]["requestState"].clone();
        assert!(state.is_string(), "{asked}");
        let params = format!(r#"{{"requestState":{state},"inputResponses":{{"k":{{"roots":[]}}}}}}"#);
        let answer = client.tool(tool).arguments(&json!({"nonce": "n"})).params(&params).send().await;
        assert_eq!(answer.text(), "n", "{answer:?}");
        let spans = sink.spans(4).await;
        let served: Vec<_> = spans.iter().filter(|span| span.kind == SERVER).collect();
        let [first, second] = served[..] else { panic!("two calls: {spans:?}") };
        assert_eq!((first.links.len(), second.links.len()), (0, 1), "{front}");
        assert_eq!((&second.links[0].trace_id, &second.links[0].span_id), (&first.trace_id, &first.span_id));
        assert_eq!(texts(&first.attributes)["tollhouse.result.type"], "input_required");
    }
}

/// A server that is misunderstood at once.
fn answering(answer: &str) -> upstream::Builder {
    upstream::echo().answers([text(answer)])
}

#[tokio::test]
async fn every_span_is_as_the_conventions_have_it() {
    let error = |code: i64| format!(r#"{{"jsonrpc":"2.0","id":$ID,"error":{{"code":{code},"message":"no"}}}}"#);
    let failed = r#"{"jsonrpc":"2.0","id":$ID,"result":{"content":[],"isError":true}}"#;
    // What the server answers; then error.type and code of the attempt, and of the call.
    let rows: [(&str, [Option<&str>; 4]); 6] = [
        ("$FINAL", [None; 4]),
        (failed, [Some("tool_error"), None, Some("tool_error"), None]),
        (&error(-32602), [Some("-32602"), Some("-32602"), None, Some("-32602")]),
        (&error(-32603), [Some("-32603"), Some("-32603"), Some("-32603"), Some("-32603")]),
        (&error(77), [Some("77"), Some("77"), Some("77"), Some("77")]),
        ("no JSON", [Some("invalid_response"), None, Some("5041"), None]),
    ];
    for (answer, expected) in rows {
        let sink = Sink::http().await;
        let upstream = answering(answer).start().await;
        let gateway = exporting(&sink).with(&upstream).start().await;
        let call = modern(&gateway).call("echo", json!({"secret": "canary-4711"})).await;
        let outcome = call.outcome();
        let spans = sink.spans(2).await;
        let [served, sent] = &spans[..] else { panic!("{spans:?}") };
        let of = |span: &Span, key: &str| texts(&span.attributes).get(key).cloned();
        let (error, code) = ("error.type", "rpc.response.status_code");
        let found = [of(sent, error), of(sent, code), of(served, error), of(served, code)];
        assert_eq!(found.each_ref().map(Option::as_deref), expected, "{answer}");
        gateway.ends_well(&[&outcome]).await;
        sink.got().spans.iter().for_each(conforms);
    }
}

/// Attributes there may be: on which kind of span, and of which type (`s`, `#`, `~`).
const ATTRIBUTES: &[(&str, &[i32], char)] = &[
    ("mcp.method.name", &[SERVER, CLIENT], 's'),
    ("mcp.protocol.version", &[SERVER, CLIENT, INTERNAL], 's'),
    ("mcp.session.id", &[SERVER, CLIENT, INTERNAL], 's'),
    ("mcp.resource.uri", &[SERVER, CLIENT], 's'),
    ("gen_ai.tool.name", &[SERVER, CLIENT], 's'),
    ("gen_ai.prompt.name", &[SERVER, CLIENT], 's'),
    ("gen_ai.operation.name", &[SERVER, CLIENT], 's'),
    ("gen_ai.conversation.id", &[SERVER, CLIENT], 's'),
    ("error.type", &[SERVER, CLIENT], 's'),
    ("rpc.response.status_code", &[SERVER, CLIENT], 's'),
    ("jsonrpc.request.id", &[SERVER], 's'),
    ("network.transport", &[SERVER, CLIENT, INTERNAL], 's'),
    ("network.protocol.name", &[SERVER, CLIENT, INTERNAL], 's'),
    ("server.address", &[CLIENT], 's'),
    ("server.port", &[CLIENT], '#'),
    ("enduser.pseudo.id", &[SERVER], 's'),
    ("tollhouse.session.id", &[SERVER, CLIENT, INTERNAL], 's'),
    ("tollhouse.session.source", &[SERVER, CLIENT, INTERNAL], 's'),
    ("tollhouse.server.name", &[SERVER, CLIENT], 's'),
    ("tollhouse.server.tool.name", &[SERVER, CLIENT], 's'),
    ("tollhouse.decision", &[SERVER], 's'),
    ("tollhouse.fault", &[SERVER, CLIENT], 's'),
    ("tollhouse.attempt", &[CLIENT], '#'),
    ("tollhouse.request.size", &[SERVER], '#'),
    ("tollhouse.response.size", &[SERVER], '#'),
    ("tollhouse.content.request.hash", &[SERVER], 's'),
    ("tollhouse.content.response.hash", &[SERVER], 's'),
    ("tollhouse.result.type", &[SERVER], 's'),
    ("tollhouse.recovery.action", &[SERVER, CLIENT], 's'),
    ("tollhouse.recovery.outcome", &[SERVER, CLIENT], 's'),
    ("tollhouse.time_to_first_output", &[SERVER, CLIENT], '~'),
    ("tollhouse.overhead.duration", &[SERVER], '~'),
    ("tollhouse.sampling.reason", &[SERVER], 's'),
];

/// Attributes that a span of that kind must have.
const REQUIRED: &[(&str, &[i32])] = &[
    ("mcp.method.name", &[SERVER, CLIENT]),
    ("mcp.protocol.version", &[SERVER, CLIENT, INTERNAL]),
    ("network.transport", &[SERVER, CLIENT, INTERNAL]),
    ("tollhouse.session.id", &[SERVER, CLIENT, INTERNAL]),
    ("tollhouse.decision", &[SERVER]),
    ("tollhouse.request.size", &[SERVER]),
    ("tollhouse.attempt", &[CLIENT]),
    ("tollhouse.server.name", &[CLIENT]),
];

/// Is the span as the catalogue has it?
fn conforms(span: &Span) {
    let attributes = texts(&span.attributes);
    assert_eq!(attributes.len(), span.attributes.len(), "no attribute stands there twice: {span:?}");
    for (key, value) in &attributes {
        let row = ATTRIBUTES.iter().find(|(name, ..)| name == key);
        let Some((_, kinds, kind)) = row else { panic!("nobody knows the attribute {key} of {span:?}") };
        assert!(kinds.contains(&span.kind), "{key} on a span of kind {}", span.kind);
        let of = value.chars().next().filter(|first| matches!(first, '#' | '~')).unwrap_or('s');
        assert_eq!(of, *kind, "the type of {key}");
        assert!(!value.contains("canary-4711"), "{key} holds an argument");
    }
    for (key, kinds) in REQUIRED {
        assert!(!kinds.contains(&span.kind) || attributes.contains_key(*key), "{key} is missing on {span:?}");
    }
    let method = attributes.get("mcp.method.name").map_or("tollhouse.session", String::as_str);
    let named = attributes.get("gen_ai.tool.name").or(attributes.get("gen_ai.prompt.name"));
    let with = named.map(|name| format!("{method} {name}"));
    assert!(
        span.name == method || span.name == format!("{method} _OTHER") || Some(&span.name) == with.as_ref(),
        "{span:?}"
    );
    assert_eq!(named.is_some(), matches!(method, "tools/call" | "prompts/get"));
    assert_eq!(attributes.contains_key("gen_ai.operation.name"), method == "tools/call");
    let failed = span.status.as_ref().is_some_and(|status| status.code == 2);
    assert_eq!(failed, attributes.contains_key("error.type"), "{span:?}");
    assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
    assert!(matches!(span.parent_span_id.len(), 0 | 8) && span.start_time_unix_nano <= span.end_time_unix_nano);
    assert_eq!(span.flags & 0xff, 1, "only sampled spans are told");
}

#[tokio::test]
async fn calls_of_a_session_stand_below_its_root() {
    let sink = Sink::http().await;
    let upstream = upstream::echo().start().await;
    let gateway = exporting(&sink).with(&upstream).start().await;
    let client = legacy(&gateway, "2025-11-25").await;
    for _ in 0..3 {
        client.call("echo", json!({})).await;
    }
    let spans = sink.spans(7).await;
    let root = spans.iter().find(|span| span.kind == INTERNAL).expect("a root");
    assert!(root.parent_span_id.is_empty());
    for served in spans.iter().filter(|span| span.kind == SERVER) {
        assert_eq!((&served.trace_id, &served.parent_span_id), (&root.trace_id, &root.span_id));
    }
    sink.got().spans.iter().for_each(conforms);
    gateway.ends_well(&["ok"; 3]).await;
}

#[tokio::test]
async fn calls_over_a_pipe_stand_below_the_root_of_their_process() {
    let sink = Sink::http().await;
    let server = child();
    let builder = exporting(&sink).with(&server).alone();
    let mut process = builder.run("stdio", std::process::Stdio::piped());
    let mut input = process.child.stdin.take().expect("it is piped");
    let version = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
    let client = r#""io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}"#;
    for id in 1..=3 {
        let call = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","arguments":{{}},"_meta":{{{version},{client}}}}}}}"#
        );
        input.write_all(format!("{call}\n").as_bytes()).await.expect("it reads");
    }
    let spans = sink.spans(7).await;
    let root = spans.iter().find(|span| span.kind == INTERNAL).expect("a root");
    let of_root = texts(&root.attributes);
    assert_eq!((of_root["network.transport"].as_str(), root.parent_span_id.len()), ("pipe", 0));
    for span in spans.iter().filter(|span| span.kind == SERVER) {
        assert_eq!((&span.trace_id, &span.parent_span_id), (&root.trace_id, &root.span_id));
    }
    for span in spans.iter().filter(|span| span.kind == CLIENT) {
        assert_eq!(texts(&span.attributes)["network.transport"], "pipe");
    }
    sink.got().spans.iter().for_each(conforms);
    drop(input);
    process.exit().await;
}

#[tokio::test]
async fn what_waits_leaves_at_the_end() {
    let sink = Sink::http().await;
    let upstream = upstream::echo().start().await;
    let builder = gateway().env("OTEL_EXPORTER_OTLP_ENDPOINT", &sink.url()).env("OTEL_BSP_SCHEDULE_DELAY", "600000");
    let mut gateway = builder.with(&upstream).start().await;
    modern(&gateway).call("echo", json!({})).await;
    gateway.signal(Signal::TERM);
    gateway.process.exit().await;
    assert_eq!(sink.spans(2).await.len(), 2);
    let got = sink.got();
    assert!(got.metrics.iter().any(|name| name == "mcp.server.operation.duration"), "{:?}", got.metrics);
}

#[tokio::test]
async fn samplers_and_lists_choose_and_errors_are_kept() {
    let sink = Sink::http().await;
    let good = upstream::echo().start().await;
    let bad = answering(r#"{"jsonrpc":"2.0","id":$ID,"result":{"content":[],"isError":true}}"#).start().await;
    let builder =
        exporting(&sink).env("OTEL_TRACES_SAMPLER", "parentbased_traceidratio").env("OTEL_TRACES_SAMPLER_ARG", "0");
    let builder = builder.env("MCP_TRACING_DISABLED_TOOLS", "hid*").with(&good).server("bad", &bad);
    let gateway = builder.server("hidden", &bad).start().await;
    let client = modern(&gateway);
    // The first calls of a tool are told whatever the sampler says.
    for _ in 0..12 {
        client.call("echo", json!({})).await;
    }
    assert_eq!(upstream_flag(&good), "00", "the server is told that nothing is recorded");
    modern(&gateway).at("/servers/hidden/mcp").call("echo", json!({})).await;
    modern(&gateway).at("/servers/bad/mcp").call("echo", json!({})).await;
    let spans = sink.spans(22).await;
    let reasons: Vec<_> =
        spans.iter().filter_map(|span| texts(&span.attributes).get("tollhouse.sampling.reason").cloned()).collect();
    assert_eq!((reasons.iter().filter(|why| *why == "new").count(), reasons.len()), (10, 11), "{reasons:?}");
    assert_eq!(reasons.last().map(String::as_str), Some("error"));
    let servers: Vec<_> = spans.iter().map(|span| texts(&span.attributes)["tollhouse.server.name"].clone()).collect();
    assert!(!servers.contains(&"hidden".to_owned()), "{servers:?}");
}

/// The flags that the server was told.
fn upstream_flag(upstream: &upstream::Upstream) -> String {
    let told = upstream.last_call().head.get("traceparent").to_owned();
    told.rsplit('-').next().unwrap_or_default().to_owned()
}

/// A collector as it must not be, and the reason drops are counted under.
enum Bad {
    Dead,
    Does(Does),
}

#[tokio::test]
async fn a_81_no_collector_is_noticed_by_calls_and_drops_are_counted_by_their_reason() {
    for (bad, reason) in [
        (Bad::Dead, "unavailable"),
        (Bad::Does(Does::Stalls), "timeout"),
        (Bad::Does(Does::Refuses(401)), "refused"),
        (Bad::Does(Does::Refuses(503)), "unavailable"),
        (Bad::Does(Does::Rejects(1)), "rejected"),
    ] {
        let sink = Sink::http().await;
        let mut url = sink.url();
        match bad {
            // Port 1 of the loopback: reserved, and refused at once.
            Bad::Dead => url = "http://127.0.0.1:1".to_owned(),
            Bad::Does(does) => sink.does(does),
        }
        let upstream = upstream::echo().start().await;
        let builder = gateway().env("OTEL_EXPORTER_OTLP_ENDPOINT", &url).env("OTEL_BSP_SCHEDULE_DELAY", "10");
        let builder = builder.env("OTEL_BSP_EXPORT_TIMEOUT", "1500").env("OTEL_METRICS_EXPORTER", "none");
        let builder = builder.env("OTEL_EXPORTER_OTLP_TIMEOUT", "1000").env("OTEL_BSP_MAX_QUEUE_SIZE", "64");
        let gateway = builder.with(&upstream).start().await;
        let client = modern(&gateway);
        let mut outcomes = Vec::new();
        let began = std::time::Instant::now();
        for _ in 0..100 {
            outcomes.push(client.call("echo", json!({})).await.outcome());
        }
        // A call that waited for a second would make them far longer.
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        assert_eq!(outcomes, ["ok"; 100]);
        let counted = eventually("drops are counted", async || {
            let items = items(&gateway).await;
            items.get(reason).is_some_and(|count| *count > 0).then_some(items)
        })
        .await;
        assert!(counted.values().sum::<u64>() <= 200, "{counted:?}");
        gateway.ends_well(&["ok"; 100]).await;
    }
}

#[tokio::test]
async fn a_collector_that_comes_back_gets_what_follows() {
    let sink = Sink::http().await;
    sink.does(Does::Refuses(401));
    let upstream = upstream::echo().start().await;
    let gateway = exporting(&sink).with(&upstream).start().await;
    let client = legacy(&gateway, "2025-11-25").await;
    client.call("echo", json!({})).await;
    until("a request was refused", || sink.got().requests > 0).await;
    eventually("drops are counted", async || items(&gateway).await.get("refused").filter(|count| **count > 0).copied())
        .await;
    sink.does(Does::Takes);
    client.call("echo", json!({})).await;
    let spans = sink.spans(3).await;
    let root = spans.iter().find(|span| span.kind == INTERNAL).expect("its root was lost, and is told again");
    assert!(spans.iter().filter(|span| span.kind == SERVER).all(|span| span.parent_span_id == root.span_id));
    gateway.ends_well(&["ok"; 2]).await;
}

#[tokio::test]
async fn what_cannot_be_followed_is_warned_of_and_costs_no_start() {
    let upstream = upstream::echo().start().await;
    let builder = gateway().env("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://user:s3cret@somewhere");
    let gateway = builder.env("OTEL_TRACES_SAMPLER", "s3cret").with(&upstream).start().await;
    assert_eq!(modern(&gateway).call("echo", json!({})).await.outcome(), "ok");
    let told = gateway.stderr();
    let lines: Vec<Value> = told.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let warned = |text: &str| {
        lines
            .iter()
            .any(|line| line["level"] == "WARNING" && line["message"].as_str().is_some_and(|said| said.contains(text)))
    };
    assert!(warned("OTEL: Failed to create exporter, falling back to noop tracer"), "{told}");
    assert!(warned("OTEL: OTEL_TRACES_SAMPLER"), "{told}");
    assert!(!told.contains("s3cret"));
    gateway.ends_well(&["ok"]).await;
}
