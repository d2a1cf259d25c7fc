//! A trace as OTLP in JSON, to be read by whatever reads traces: a server span for each call and a client span for each time
//! it was sent, and for each server that was asked for a list of several.
//!
//! What is exported while calls pass says more of each; this is what the store still knows. Where spans leave, ids are those
//! that were exported and that servers were told of; elsewhere they are made of the call's id, so that the same trace is
//! always written the same way.

use serde_json::{Value, json};
use tollhouse_core::era::Era;
use tollhouse_core::trace::{Hex, SpanId};
use tollhouse_store::{Call, Sending};

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
    let sent = call.sendings.iter().enumerate().map(|(nth, sending)| client(call, sending, nth));
    // When it was sent is not kept of one that was sent once and told nobody: it ended with the call, or just before.
    let only = Sending {
        span: [0; 8],
        leg: None,
        from_us: call.total_us.saturating_sub(call.upstream_us),
        long_us: call.upstream_us,
        error: call.error.clone(),
    };
    let only = (call.sendings.is_empty() && call.attempts > 0).then(|| client(call, &only, 0));
    std::iter::once(server(call)).chain(sent).chain(only).collect()
}

/// The call as its caller sees it.
fn server(call: &Call) -> Value {
    let mut attributes = vec![
        text("mcp.method.name", &call.method),
        text("mcp.protocol.version", call.version.as_str()),
        text("jsonrpc.request.id", call.request_id.trim_matches('"')),
        text("tollhouse.call.id", &call.id.to_string()),
        text("tollhouse.outcome", &call.outcome),
        text("tollhouse.session.id", &call.session),
        text("tollhouse.session.source", &call.session_source),
        number("tollhouse.request.size", call.request_bytes),
        number("tollhouse.response.size", call.response_bytes),
    ];
    if call.version.era() == Era::Legacy && &*call.session_source == "protocol" {
        attributes.push(text("mcp.session.id", &call.session));
    }
    attributes.extend(subject(call, call.asked_as.as_deref().or(call.name.as_deref())));
    for (key, value) in [
        ("tollhouse.server.name", &call.server),
        ("tollhouse.client.name", &call.client),
        ("error.type", &call.error),
        ("tollhouse.fault", &call.fault),
        ("tollhouse.arguments.shape", &call.seen.shape),
    ] {
        attributes.extend(value.as_deref().map(|value| text(key, value)));
    }
    for (key, hash) in [
        ("tollhouse.content.request.hash", call.seen.request_hash),
        ("tollhouse.content.response.hash", call.seen.response_hash),
    ] {
        attributes.extend(hash.map(|hash| text(key, &Hex(&hash.0).to_string())));
    }
    let name = call.asked_as.as_deref().or(call.name.as_deref());
    let place = Place { span: call.span_id(), parent: call.parent, from_us: call.at_us, long_us: call.total_us };
    span(call, &titled(&call.method, name), SERVER, &place, &attributes, call.failed())
}

/// The `nth` time that it, or something for it, was sent.
fn client(call: &Call, sending: &Sending, nth: usize) -> Value {
    let leg = sending.leg.as_ref();
    let method = leg.map_or(&call.method, |leg| &leg.method);
    let name = call.name.as_deref().filter(|_| leg.is_none());
    let server = leg.map(|leg| &leg.server).or(call.server.as_ref());
    let mut attributes = vec![text("mcp.method.name", method)];
    if leg.is_none() {
        attributes.extend(subject(call, name));
        let before = call.sendings.iter().take(nth).filter(|sending| sending.leg.is_none()).count();
        attributes.push(number("tollhouse.attempt", before as u64 + 1));
    }
    for (key, value) in [("tollhouse.server.name", server), ("error.type", sending.error.as_ref())] {
        attributes.extend(value.map(|value| text(key, value)));
    }
    let parent = call.span_id();
    let made = || u64::from_be_bytes(parent).rotate_left(32).wrapping_add(nth as u64 + 1).to_be_bytes();
    let place = Place {
        span: if sending.span == [0; 8] { made() } else { sending.span },
        parent,
        from_us: call.at_us.saturating_add(sending.from_us),
        long_us: sending.long_us,
    };
    span(call, &titled(method, name), CLIENT, &place, &attributes, sending.error.is_some())
}

/// What it was about, by this name.
fn subject(call: &Call, name: Option<&str>) -> Option<Value> {
    let key = match &*call.method {
        "tools/call" => "gen_ai.tool.name",
        "prompts/get" => "gen_ai.prompt.name",
        "resources/read" => "mcp.resource.uri",
        _ => return None,
    };
    Some(text(key, name?))
}

/// The name of a span.
fn titled(method: &str, name: Option<&str>) -> String {
    match (method, name) {
        ("tools/call" | "prompts/get", Some(name)) => format!("{method} {name}"),
        _ => method.to_owned(),
    }
}

/// Where a span stands, and when.
struct Place {
    span: SpanId,
    parent: SpanId,
    from_us: u64,
    long_us: u64,
}

fn span(call: &Call, name: &str, kind: u8, place: &Place, attributes: &[Value], failed: bool) -> Value {
    let parent = if place.parent == [0; 8] { String::new() } else { Hex(&place.parent).to_string() };
    json!({
        "traceId": Hex(&call.trace).to_string(),
        "spanId": Hex(&place.span).to_string(),
        "parentSpanId": parent,
        "name": name,
        "kind": kind,
        "startTimeUnixNano": nanos(place.from_us),
        "endTimeUnixNano": nanos(place.from_us.saturating_add(place.long_us)),
        "attributes": attributes,
        "status": if failed { json!({"code": ERROR}) } else { json!({}) },
    })
}

#[cfg(test)]
mod tests {
    use tollhouse_store::conformance::call;

    use super::*;

    fn spans_of(call: &Call) -> Vec<Value> {
        let document = document(std::slice::from_ref(call), "1.2.3");
        document["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().cloned().unwrap_or_default()
    }

    #[test]
    fn a_call_is_two_spans_of_which_one_is_the_others_child() {
        let call = Call { error: Some("tool_error".into()), span: [0; 8], sendings: Box::default(), ..call(4) };
        let spans = spans_of(&call);
        assert_eq!(spans.len(), 2);
        assert_eq!((spans[0]["kind"].as_u64(), spans[1]["kind"].as_u64()), (Some(2), Some(3)));
        assert_eq!(spans[1]["parentSpanId"], spans[0]["spanId"]);
        assert_ne!(spans[1]["spanId"], spans[0]["spanId"]);
        assert_eq!(spans[0]["traceId"].as_str().map(str::len), Some(32));
        assert_eq!(spans[0]["startTimeUnixNano"], (call.at_us * 1000).to_string());
        assert_eq!((&spans[0]["status"]["code"], &spans[1]["status"]["code"]), (&json!(2), &json!(2)));
        assert_eq!(spans_of(&call), spans, "the same once more");
        assert_eq!(spans_of(&Call { attempts: 0, ..call }).len(), 1);
    }

    #[test]
    fn ids_are_those_that_were_exported_and_each_sending_has_its_own() {
        let call = call(5);
        assert_eq!(call.sendings.len(), 2, "it was sent twice");
        let spans = spans_of(&call);
        let ids: Vec<_> = spans.iter().map(|span| span["spanId"].as_str().unwrap_or_default().to_owned()).collect();
        let expected = std::iter::once(call.span).chain(call.sendings.iter().map(|sending| sending.span));
        assert_eq!(ids, expected.map(|span| Hex(&span).to_string()).collect::<Vec<_>>());
        assert!(spans[1..].iter().all(|span| span["parentSpanId"] == ids[0].as_str()));
    }
}
