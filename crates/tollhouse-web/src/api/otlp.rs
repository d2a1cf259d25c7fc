//! A trace as OTLP in JSON, to be read by whatever reads traces: a server span for each call and a client span for what was
//! sent of it.
//!
//! What is exported while calls pass says more of each; this is what the store still knows. Span ids are made of the call's
//! id, so that the same trace is always exported the same way.

use serde_json::{Value, json};
use tollhouse_core::trace::Hex;
use tollhouse_store::Call;

/// Kinds and states of spans, as their numbers (opentelemetry-proto, trace.proto).
const SERVER: u8 = 2;
const CLIENT: u8 = 3;
const ERROR: u8 = 2;

/// The document.
pub(super) fn document(calls: &[Call], version: &str) -> Value {
    let spans: Vec<Value> = calls.iter().flat_map(spans).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": [text("service.name", "tollhouse"), text("service.version", version)]},
        "scopeSpans": [{"scope": {"name": "tollhouse", "version": version}, "spans": spans}],
    }]})
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// 64-bit numbers are strings in OTLP's JSON.
fn number(key: &str, value: u64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}

fn nanos(us: u64) -> String {
    us.saturating_mul(1000).to_string()
}

fn spans(call: &Call) -> Vec<Value> {
    let ours = call.id.salt();
    let name = match (&*call.method, call.name.as_deref()) {
        ("tools/call" | "prompts/get", Some(name)) => format!("{} {name}", call.method),
        (method, _) => method.to_owned(),
    };
    let mut attributes = vec![
        text("mcp.method.name", &call.method),
        text("mcp.session.id", &call.session),
        text("mcp.protocol.version", call.version.as_str()),
        text("jsonrpc.request.id", &call.request_id),
        text("tollhouse.call.id", &call.id.to_string()),
        text("tollhouse.outcome", &call.outcome),
        number("tollhouse.request.size", call.request_bytes),
        number("tollhouse.response.size", call.response_bytes),
    ];
    let named = match &*call.method {
        "tools/call" => Some("gen_ai.tool.name"),
        "prompts/get" => Some("gen_ai.prompt.name"),
        "resources/read" => Some("mcp.resource.uri"),
        _ => None,
    };
    attributes.extend(named.zip(call.name.as_deref()).map(|(key, name)| text(key, name)));
    for (key, value) in [
        ("tollhouse.server.name", &call.server),
        ("tollhouse.client.name", &call.client),
        ("error.type", &call.error),
        ("tollhouse.arguments.shape", &call.shape),
    ] {
        attributes.extend(value.as_deref().map(|value| text(key, value)));
    }
    let status = if call.failed() { json!({"code": ERROR}) } else { json!({}) };
    let trace = Hex(&call.trace).to_string();
    let server = json!({
        "traceId": trace,
        "spanId": Hex(&ours.to_be_bytes()).to_string(),
        "parentSpanId": if call.parent == [0; 8] { String::new() } else { Hex(&call.parent).to_string() },
        "name": name,
        "kind": SERVER,
        "startTimeUnixNano": nanos(call.at_us),
        "endTimeUnixNano": nanos(call.ended_us()),
        "attributes": attributes,
        "status": status,
    });
    let Some(upstream) = call.server.as_deref().filter(|_| call.attempts > 0) else { return vec![server] };
    // When it was sent is not kept: it ended with the call, or just before.
    let sent = call.ended_us().saturating_sub(call.upstream_us);
    let client = json!({
        "traceId": trace,
        "spanId": Hex(&ours.rotate_left(32).wrapping_add(1).to_be_bytes()).to_string(),
        "parentSpanId": Hex(&ours.to_be_bytes()).to_string(),
        "name": name,
        "kind": CLIENT,
        "startTimeUnixNano": nanos(sent),
        "endTimeUnixNano": nanos(call.ended_us()),
        "attributes": [
            text("mcp.method.name", &call.method),
            text("tollhouse.server.name", upstream),
            number("tollhouse.attempts", call.attempts.into()),
        ],
        "status": status,
    });
    vec![server, client]
}

#[cfg(test)]
mod tests {
    use tollhouse_store::conformance::call;

    use super::*;

    #[test]
    fn a_call_is_two_spans_of_which_one_is_the_others_child() {
        let call = Call { error: Some("tool_error".into()), ..call(4) };
        let document = document(std::slice::from_ref(&call), "1.2.3");
        let spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().cloned().unwrap_or_default();
        assert_eq!(spans.len(), 2);
        assert_eq!((spans[0]["kind"].as_u64(), spans[1]["kind"].as_u64()), (Some(2), Some(3)));
        assert_eq!(spans[1]["parentSpanId"], spans[0]["spanId"]);
        assert_ne!(spans[1]["spanId"], spans[0]["spanId"]);
        assert_eq!(spans[0]["traceId"].as_str().map(str::len), Some(32));
        assert_eq!(spans[0]["startTimeUnixNano"], (call.at_us * 1000).to_string());
        assert_eq!(spans[0]["status"]["code"], 2);
        let refused = Call { attempts: 0, ..call };
        let document = super::document(&[refused], "1.2.3");
        assert_eq!(document["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().map(Vec::len), Some(1));
    }
}
