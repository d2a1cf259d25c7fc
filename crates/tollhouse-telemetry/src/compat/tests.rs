use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;

use super::*;
use crate::environment::Limits;
use crate::spans::written::Place;

fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

fn span(attributes: &[(&'static str, Value)], failed: bool) -> Written {
    let mut span = Written::new(Limits::default());
    let kind = SpanKind::Server;
    let (start_nanos, end_nanos) = (1_000_000, 3_500_000);
    let place =
        Place { trace: [1; 16], span: [1; 8], parent: [0; 8], parent_is_remote: false, kind, start_nanos, end_nanos };
    span.begin(&place, &["tools/call read"]);
    for (key, value) in attributes {
        match value {
            Value::StringValue(text) => span.text(key, text),
            Value::IntValue(number) => span.number(key, u64::try_from(*number).unwrap()),
            Value::DoubleValue(number) => span.fraction(key, *number),
            Value::BoolValue(truth) => span.truth(key, *truth),
            other => panic!("{other:?}"),
        }
    }
    if failed {
        span.failed();
    }
    span
}

fn attributes(span: &mut Written) -> Vec<(String, Value)> {
    let span = Span::decode(span.finish()).unwrap();
    span.attributes.into_iter().map(|kv| (kv.key, kv.value.unwrap().value.unwrap())).collect()
}

/// A span that has everything.
fn full() -> Written {
    let attributes = [
        ("mcp.method.name", text("tools/call")),
        ("gen_ai.tool.name", text("files__read")),
        ("tollhouse.server.tool.name", text("read")),
        ("tollhouse.server.name", text("files")),
        ("tollhouse.session.id", text("s1")),
        ("tollhouse.request.size", Value::IntValue(120)),
        ("tollhouse.response.size", Value::IntValue(300)),
        ("tollhouse.content.request.hash", text("abcd")),
        ("tollhouse.content.truncated", Value::BoolValue(true)),
        ("tollhouse.request.tokens", Value::IntValue(30)),
        ("tollhouse.response.tokens", Value::IntValue(70)),
        ("tollhouse.cost.amount", Value::DoubleValue(0.5)),
        ("gen_ai.tool.call.result", text("{\"ok\":1}")),
        ("network.transport", text("pipe")),
        ("error.type", text("timeout")),
        ("enduser.pseudo.id", text("anonymous")),
        ("http.request.method", text("POST")),
        ("url.full", text("https://files.example/mcp")),
        ("http.response.status_code", Value::IntValue(200)),
        ("http.response.body.size", Value::IntValue(300)),
        ("server.address", text("files.example")),
        ("tollhouse.policy.action", text("allow")),
        ("tollhouse.policy.content.size", Value::IntValue(1)),
        ("tollhouse.policy.risk_factor", Value::DoubleValue(0.1)),
    ];
    span(&attributes, true)
}

fn named(mut span: Written, sets: &[Set]) -> Vec<(String, Value)> {
    let own = attributes(&mut span).len();
    Names::of(sets).add(&mut span);
    attributes(&mut span).split_off(own)
}

#[test]
fn each_set_says_what_its_document_says() {
    let expected: [(Set, &[(&str, Value)]); 4] = [
        (
            Set::Dashboard,
            &[
                ("mcp.server", text("files")),
                ("mcp.tool", text("read")),
                ("mcp.session_id", text("s1")),
                ("mcp.tool_input", text("{\"size\":120,\"hash\":\"abcd\"}")),
                ("mcp.tool_output", text("{\"ok\":1}")),
                ("mcp.error", text("timeout")),
                ("mcp.latency_ms", Value::DoubleValue(2.5)),
                ("mcp.token_count", Value::IntValue(100)),
                ("mcp.cost_usd", Value::DoubleValue(0.5)),
            ],
        ),
        (
            Set::Gateway,
            &[
                ("tool_name", text("files__read")),
                ("arguments", text("{\"size\":120,\"hash\":\"abcd\"}")),
                ("result_size", Value::IntValue(300)),
                ("status_description", text("timeout")),
            ],
        ),
        (
            Set::Proxy,
            &[
                ("mcp.server", text("files")),
                ("mcp.tool", text("read")),
                ("mcp.method", text("tools/call")),
                ("mcp.transport", text("serve:stdio")),
                ("mcp.status", text("error")),
                ("mcp.identity", text("anonymous")),
            ],
        ),
        (
            Set::Tools,
            &[
                ("mcp.session.id", text("s1")),
                ("mcp.tool.name", text("files__read")),
                ("mcp.tool.arguments", text("{\"size\":120,\"hash\":\"abcd\"}")),
                ("mcp.tool.arguments.truncated", Value::BoolValue(true)),
                ("mcp.tool.result.success", Value::BoolValue(false)),
                ("mcp.tool.result.error", text("timeout")),
                ("mcp.tool.result.truncated", Value::BoolValue(true)),
                ("http.method", text("POST")),
                ("http.url", text("https://files.example/mcp")),
                ("http.status_code", Value::IntValue(200)),
                ("http.response.size", Value::IntValue(300)),
                ("net.peer.name", text("files.example")),
                ("security.action", text("allow")),
                ("security.content.size", Value::IntValue(1)),
                ("security.risk.factor", Value::DoubleValue(0.1)),
            ],
        ),
    ];
    for (set, attributes) in expected {
        let attributes: Vec<_> = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        assert_eq!(named(full(), &[set]), attributes, "{set:?}");
    }
}

#[test]
fn what_a_span_does_not_know_has_no_other_name_either() {
    for (set, names) in [
        (Set::Dashboard, &["mcp.latency_ms"][..]),
        (Set::Gateway, &[]),
        (Set::Proxy, &["mcp.method", "mcp.status"]),
        (Set::Tools, &[]),
    ] {
        let found: Vec<_> = named(span(&[("mcp.method.name", text("ping"))], false), &[set])
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(found, names, "{set:?}");
    }
}

#[test]
fn a_name_is_given_once() {
    let mut all = full();
    all.text("mcp.session.id", "own");
    Names::of(&Set::ALL).add(&mut all);
    let all = attributes(&mut all);
    let mut names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    let session = all.iter().find(|(name, _)| name == "mcp.session_id").map(|(_, value)| value);
    assert_eq!(session, Some(&text("own")));
}
