use opentelemetry_proto::tonic::trace::v1::Status;

use super::*;

fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

fn span(attributes: &[(&str, Value)], error: Option<&str>) -> Span {
    Span {
        start_time_unix_nano: 1_000_000,
        end_time_unix_nano: 3_500_000,
        attributes: attributes
            .iter()
            .map(|(key, value)| KeyValue {
                key: (*key).to_owned(),
                value: Some(AnyValue { value: Some(value.clone()) }),
                ..KeyValue::default()
            })
            .collect(),
        status: error.map(|message| Status { message: message.to_owned(), code: StatusCode::Error as i32 }),
        ..Span::default()
    }
}

/// A span that has everything.
fn full() -> Span {
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
    span(&attributes, Some("no answer within 30 s"))
}

fn named(span: &Span, set: Set) -> Vec<(String, Value)> {
    let mut named = span.clone();
    name(&mut named, &[set]);
    named
        .attributes
        .split_off(span.attributes.len())
        .into_iter()
        .map(|kv| (kv.key, kv.value.unwrap().value.unwrap()))
        .collect()
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
                ("mcp.error", text("no answer within 30 s")),
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
                ("status_description", text("no answer within 30 s")),
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
                ("mcp.tool.result.error", text("no answer within 30 s")),
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
        assert_eq!(named(&full(), set), attributes, "{set:?}");
    }
}

#[test]
fn what_a_span_does_not_know_has_no_other_name_either() {
    let bare = span(&[("mcp.method.name", text("ping"))], None);
    for (set, names) in [
        (Set::Dashboard, &["mcp.latency_ms"][..]),
        (Set::Gateway, &[]),
        (Set::Proxy, &["mcp.method", "mcp.status"]),
        (Set::Tools, &[]),
    ] {
        let found: Vec<_> = named(&bare, set).into_iter().map(|(name, _)| name).collect();
        assert_eq!(found, names, "{set:?}");
    }
}

#[test]
fn a_name_is_given_once() {
    let mut all = full();
    all.attributes.push(KeyValue {
        key: "mcp.session.id".to_owned(),
        value: Some(AnyValue { value: Some(text("own")) }),
        ..KeyValue::default()
    });
    name(&mut all, &Set::ALL);
    let mut names: Vec<_> = all.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    assert_eq!(find(&all, "mcp.session_id"), Some(&text("own")));
}
